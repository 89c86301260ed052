import { containerdHosts } from "../src/names/containerd-hosts.ts";
import type { Exchange } from "./exchange.ts";
import { escapeHtml, sendHtml } from "./html.ts";
import type { Library } from "./library.ts";

/** Repositories shown with their tags; the rest is counted. */
const MAX_REPOSITORIES = 500;
const MAX_TAGS = 50;

async function repositoryList(library: Library): Promise<string> {
  const names = await library.repositories();
  if (names.length === 0) return "<p>No images yet.</p>";
  const items: string[] = [];
  for (const name of names.slice(0, MAX_REPOSITORIES)) {
    const tags = (await (await library.repository(name))?.tags()) ?? [];
    const shown =
      tags.slice(0, MAX_TAGS).map(escapeHtml).join(", ") +
      (tags.length > MAX_TAGS ? `, and ${tags.length - MAX_TAGS} more` : "");
    items.push(`<li>${escapeHtml(name)} <small>${shown}</small></li>`);
  }
  const rest =
    names.length > MAX_REPOSITORIES
      ? `<p>and ${names.length - MAX_REPOSITORIES} more; see <a href="/v2/_catalog">/v2/_catalog</a></p>`
      : "";
  return `<ul>${items.join("")}</ul>${rest}`;
}

async function treeList(
  library: Library,
  root: "files" | "packages" | "manifests" | "charts",
): Promise<string> {
  const names = (await library.files?.list(root)) ?? [];
  return names
    .map(
      (name) =>
        `<li><a href="/${root}/${encodeURIComponent(name).replace("%2F", "/")}">${escapeHtml(name)}</a></li>`,
    )
    .join("");
}

/** hosts.toml for an upstream registry, asked of us: the same text that `install` writes. */
function containerdHelp(host: string, scheme: "http" | "https"): string {
  const target = { host, prefix: "", layout: "host", byNamespace: true } as const;
  return containerdHosts(["registry.k8s.io"], target, { scheme })[0]?.content ?? "";
}

/** The page at `/`: what is served, and how a host uses it. */
export async function sendHome(
  exchange: Exchange,
  library: Library,
  scheme: "http" | "https",
): Promise<void> {
  const host = exchange.header("host") ?? "localhost";
  const files = await treeList(library, "files");
  const packages = await treeList(library, "packages");
  const manifests = await treeList(library, "manifests");
  const charts = await treeList(library, "charts");
  const parts = [
    `<p>Serving ${escapeHtml(library.name || "an empty registry")}.</p>`,
    `<h2>Images</h2>${await repositoryList(library)}`,
    files && `<h2>Files</h2><ul>${files}</ul>`,
    packages && `<h2>Package repositories</h2><ul>${packages}</ul>`,
    manifests && `<h2>Manifests</h2><ul>${manifests}</ul>`,
    charts && `<h2>Helm charts</h2><ul>${charts}</ul>`,
    `<h2>Use it</h2><p>As a mirror of an upstream registry, in <code>/etc/containerd/certs.d/registry.k8s.io/hosts.toml</code>:</p><pre>${escapeHtml(containerdHelp(host, scheme))}</pre>`,
  ];
  await sendHtml(exchange, "airgap serve", parts.filter(Boolean).join("\n"));
}
