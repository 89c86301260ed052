import { formatBytes } from "../../src/format.ts";
import type { Exchange } from "../exchange.ts";
import type { Library } from "../library.ts";
import { NOTHING, type Overview, type OverviewFile } from "../overview.ts";
import {
  type Address,
  chartLines,
  containerdFiles,
  dockerConfig,
  packageLines,
  pullLines,
  trustLines,
} from "./commands.ts";
import { html, type Markup, sendHtml } from "./html.ts";
import { type Words, wordsFor } from "./words.ts";

/** The authority that signed this server's certificate. */
export interface Authority {
  /** PEM. */
  cert: string;
  /** SHA-256, `AB:CD:…`. */
  fingerprint: string;
}

/** Rows of one list; search finds the others. */
const MAX_ROWS = 500;

interface View {
  address: Address;
  words: Words;
  query: string;
  authority: Authority | undefined;
}

/** A Host header is foreign text: what is not a host and a port is not repeated. */
function addressOf(exchange: Exchange, scheme: "http" | "https"): Address {
  const host = exchange.header("host") ?? "";
  return {
    scheme,
    host: /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/.test(host) ? host : "localhost",
  };
}

const matches = (name: string, query: string): boolean =>
  query
    .toLowerCase()
    .split(/\s+/)
    .every((word) => name.toLowerCase().includes(word));

/** What an overview does not know: images that were pushed to the store. */
async function withPushed(library: Library, overview: Overview): Promise<Overview> {
  const known = new Set(overview.images.map(({ path }) => path.replace(/[:@][^/]*$/, "")));
  const names = (await library.repositories()).filter(
    (name) => !known.has(name) && !name.startsWith("charts/"),
  );
  const pushed = await Promise.all(
    names.slice(0, MAX_ROWS).map(async (name) => {
      const tags = (await (await library.repository(name))?.tags()) ?? [];
      return tags.map((tag) => ({
        name: `${name}:${tag}`,
        path: `${name}:${tag}`,
        digest: "",
        bytes: 0,
        platforms: [],
      }));
    }),
  );
  return { ...overview, images: [...overview.images, ...pushed.flat()] };
}

/** The page at `/`: what is served, and how a host uses it. */
export async function sendHome(
  exchange: Exchange,
  library: Library,
  scheme: "http" | "https",
  authority: Authority | undefined,
): Promise<void> {
  const { lang, words } = wordsFor(exchange.query.get("lang"), exchange.header("accept-language"));
  const view = {
    address: addressOf(exchange, scheme),
    words,
    query: (exchange.query.get("q") ?? "").slice(0, 200).trim(),
    authority,
  };
  const overview = await withPushed(library, (await library.overview?.()) ?? NOTHING);
  await sendHtml(exchange, words.title, body(overview, view), { lang, script: true });
}

/** For somebody who followed an old link or mistyped one. */
export async function sendNotFound(exchange: Exchange): Promise<void> {
  const { lang, words } = wordsFor(exchange.query.get("lang"), exchange.header("accept-language"));
  const page = html`<h1>${words.notFound}</h1><p class="mono">${exchange.path.slice(0, 300)}</p><p><a href="/">${words.toStart}</a></p>`;
  await sendHtml(exchange, words.notFound, page, { lang, status: 404 });
}

function body(overview: Overview, view: View): Markup {
  const { words, query } = view;
  const lists = [
    list(words.images, "images", imageRows(overview, view), view),
    list(words.charts, "charts", chartRows(overview, view), view),
    list(words.packages, "packages", packageRows(overview, view), view),
    list(words.files, "files", fileRows(overview.files, "files/"), view),
    list(words.manifests, "manifests", fileRows(overview.manifests, "manifests/"), view),
  ].filter((each) => each !== undefined);
  const nothing = overview.images.length === 0 && lists.length === 0 && query === "";
  return html`<header><a class="right" href="?lang=${words.otherCode}">${words.other}</a><h1>${words.title}</h1>
${overview.bundles.map((bundle) => html`<dl><dt>${words.bundle}</dt><dd><strong>${bundle.name}</strong> <small>${bundle.file}${bundle.kubernetes.length > 0 ? `, Kubernetes ${bundle.kubernetes.join(", ")}` : ""}</small></dd><dt>${words.lock}</dt><dd class="mono">${bundle.lockDigest}</dd><dt>${words.size}</dt><dd>${formatBytes(bundle.bytes)}</dd><dt>${words.platforms}</dt><dd>${bundle.platforms.join(", ")}</dd></dl>`)}
<nav>${lists.map(({ id, title, count }) => html`<a href="#${id}">${title} <small>${count}</small></a>`)}<a href="#use">${words.use}</a><a href="/healthz">${words.health}</a></nav>
<form method="get" role="search"><input type="search" name="q" value="${query}" placeholder="${words.search}" aria-label="${words.search}"><button class="noscript">${words.searchButton}</button></form></header>
<main>${nothing ? html`<p>${words.empty}</p>` : undefined}${query !== "" && lists.length === 0 ? html`<p>${words.nothingFound}</p>` : undefined}
${lists.map(({ markup }) => markup)}
<section id="use"><h2>${words.use}</h2>${usage(overview, view)}</section></main>`;
}

interface Row {
  /** What search looks at. */
  name: string;
  markup: Markup;
}

/** Without a script, the server itself searches. */
function list(
  title: string,
  id: string,
  rows: Row[],
  { query, words }: View,
): { id: string; title: string; count: number; markup: Markup } | undefined {
  const found = rows.filter(({ name }) => matches(name, query));
  if (found.length === 0) return undefined;
  const more = found.length - MAX_ROWS;
  return {
    id,
    title,
    count: found.length,
    markup: html`<section id="${id}" data-list><h2>${title} <small>${found.length}</small></h2><ul>${found
      .slice(0, MAX_ROWS)
      .map(
        ({ name, markup }) => html`<li data-name="${name.toLowerCase()}">${markup}</li>`,
      )}</ul>${more > 0 ? html`<p class="dim">${words.more(more)}</p>` : undefined}</section>`,
  };
}

/** A text to copy. */
const line = (text: string, { copy, copied }: Words): Markup =>
  html`<div class="line"><pre>${text}</pre><button class="script" data-copy="${copied}">${copy}</button></div>`;

function imageRows({ images }: Overview, { address, words }: View): Row[] {
  return images.map(({ name, path, digest, bytes, platforms }) => ({
    name: `${name} ${path}`,
    markup: html`<details><summary><span class="mono">${name}</span><small>${[bytes > 0 ? formatBytes(bytes) : "", platforms.join(" ")].filter(Boolean).join(", ")}</small></summary>${digest ? html`<p class="mono dim">${digest}</p>` : undefined}${pullLines(address, path).map((each) => line(each, words))}</details>`,
  }));
}

function chartRows({ charts }: Overview, { address, words }: View): Row[] {
  return charts.map(({ name, version }) => ({
    name: `${name} ${version}`,
    markup: html`<details><summary><span class="mono">${name} ${version}</span></summary>${chartLines(address, name, version).map((each) => line(each, words))}</details>`,
  }));
}

/** The sets with their lines; then their packages as rows of their own, so that search finds them. */
function packageRows({ packageSets }: Overview, { address, words }: View): Row[] {
  const heads = packageSets.map((set): Row => {
    const { now, old } = packageLines(address, set);
    return {
      name: `${set.name} ${set.for.join(" ")}`,
      markup: html`<details><summary><strong>${set.name}</strong><small>${set.for.join(", ")}; ${set.arch}; ${words.packageCount(set.packages.length)}, ${formatBytes(set.bytes)}</small></summary><p><a href="/packages/${encodeURIComponent(set.name)}/">/packages/${set.name}/</a></p><p class="dim">${words.install}:</p>${now.map((each) => line(each, words))}${old ? html`<p class="dim">${words.installOld}:</p>${old.map((each) => line(each, words))}` : undefined}</details>`,
    };
  });
  const packages = packageSets.flatMap((set) =>
    set.packages.map(({ name, version, arch, bytes }) => ({
      name: `${name} ${version} ${set.name}`,
      markup: html`<span class="mono">${name} ${version}</span> <small>${arch}, ${formatBytes(bytes)}; ${set.name}</small>`,
    })),
  );
  return [...heads, ...packages];
}

/** A path for a link; an apostrophe is allowed in a path, and would have to be escaped again. */
const pathOf = (path: string): string =>
  path
    .split("/")
    .map((part) => encodeURIComponent(part).replaceAll("'", "%27"))
    .join("/");

const fileRows = (files: OverviewFile[], root: string): Row[] =>
  files.map(({ path, bytes, digest }) => ({
    name: path,
    markup: html`<a class="mono" href="/${pathOf(path)}">${path.slice(root.length)}</a> <small>${formatBytes(bytes)}</small><br><span class="mono dim">${digest}</span>`,
  }));

function usage({ upstreams }: Overview, { address, words, authority }: View): Markup {
  const files = containerdFiles(address, upstreams, authority !== undefined);
  const docker = dockerConfig(address, upstreams);
  return html`${
    authority
      ? html`<h3>${words.trust}</h3><p><a href="/ca.crt">ca.crt</a> <small>${words.fingerprint}:</small> <code>${authority.fingerprint}</code><br><small>${words.compare}</small></p>${trustLines(address).map((each) => line(each, words))}`
      : undefined
  }<h3>${words.containerd}</h3>${files.map(({ folder, content }) => html`<details><summary class="mono">/etc/containerd/certs.d/${folder}/hosts.toml</summary>${line(content, words)}</details>`)}<h3>${words.docker}</h3><p class="mono">/etc/docker/daemon.json</p>${line(docker, words)}<p class="dim">${words.dockerNote}</p>`;
}
