import { read as readCallback } from "node:fs";
import { promisify } from "node:util";
import { ApiError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { escapeHtml, sendHtml } from "./html.ts";
import type { FileTree, OpenBlob } from "./library.ts";
import { sendBlob } from "./send.ts";

const read = promisify(readCallback);

/** What dnf, apt and people fetch. Everything else is bytes: nothing from a bundle is rendered as a page. */
const TYPES: Record<string, string> = {
  rpm: "application/x-rpm",
  deb: "application/vnd.debian.binary-package",
  xml: "application/xml",
  json: "application/json",
  gz: "application/gzip",
  tgz: "application/gzip",
  xz: "application/x-xz",
  zst: "application/zstd",
  txt: "text/plain; charset=utf-8",
  asc: "text/plain; charset=utf-8",
  repo: "text/plain; charset=utf-8",
  yaml: "text/plain; charset=utf-8",
  yml: "text/plain; charset=utf-8",
};

const typeOf = (path: string): string =>
  TYPES[path.slice(path.lastIndexOf(".") + 1).toLowerCase()] ?? "application/octet-stream";

/** A text with `@URL@` where the address of its package set is to stand: `.repo` and `.sources` files. */
const TEMPLATE = "application/vnd.airgap.template.v1";

/** Puts in the address under which this very client reaches us. */
async function sendTemplate(exchange: Exchange, blob: OpenBlob, path: string, scheme: string): Promise<void> {
  const buffer = Buffer.alloc(blob.size);
  try {
    await read(blob.fd, buffer, 0, blob.size, blob.offset);
  } finally {
    blob.close();
  }
  const set = path.split("/").slice(0, 2).map(encodeURIComponent).join("/");
  const url = `${scheme}://${exchange.header("host") ?? "localhost"}/${set}`;
  await exchange.reply(
    200,
    { "content-type": "text/plain; charset=utf-8" },
    buffer.toString("utf8").replaceAll("@URL@", url),
  );
}

/** Answers GET and HEAD below `/files/`, `/packages/`, `/manifests/` and `/charts/`: files with ranges, directories as lists. */
export async function sendPath(
  exchange: Exchange,
  tree: FileTree | undefined,
  scheme: "http" | "https",
): Promise<void> {
  const path = exchange.path.slice(1).replace(/\/$/, "");
  const file = exchange.path.endsWith("/") ? undefined : await tree?.file(path);
  const blob = file && (await tree?.open(file.digest));
  if (file && blob && file.mediaType === TEMPLATE) return sendTemplate(exchange, blob, path, scheme);
  if (file && blob) return sendBlob(exchange, blob, { mediaType: typeOf(path), digest: file.digest });
  const names = await tree?.list(path);
  if (names === undefined) throw new ApiError(404, "UNSUPPORTED", `nothing is at ${exchange.path}`);
  if (!exchange.path.endsWith("/")) {
    const location = exchange.path.split("/").map(encodeURIComponent).join("/");
    return exchange.reply(301, { location: `${location}/` });
  }
  const items = names.map(
    (name) => `<li><a href="./${encodeURIComponent(name).replace("%2F", "/")}">${escapeHtml(name)}</a></li>`,
  );
  await sendHtml(exchange, exchange.path, `<ul><li><a href="../">../</a></li>${items.join("")}</ul>`);
}
