import { fillFrom } from "../src/transport/region.ts";
import { ApiError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import type { FileTree, OpenBlob } from "./library.ts";
import { html, sendHtml } from "./page/html.ts";
import { sendBlob } from "./send.ts";

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
  let bytes: Buffer;
  try {
    bytes = await fillFrom(blob, Buffer.alloc(blob.size), 0);
  } finally {
    blob.close();
  }
  const set = path.split("/").slice(0, 2).map(encodeURIComponent).join("/");
  const url = `${scheme}://${exchange.header("host") ?? "localhost"}/${set}`;
  await exchange.reply(
    200,
    { "content-type": "text/plain; charset=utf-8" },
    bytes.toString("utf8").replaceAll("@URL@", url),
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
    (name) => html`<li><a href="./${encodeURIComponent(name).replace("%2F", "/")}">${name}</a></li>`,
  );
  await sendHtml(
    exchange,
    exchange.path,
    html`<h1 class="mono">${exchange.path}</h1><ul><li><a href="../">../</a></li>${items}</ul>`,
  );
}
