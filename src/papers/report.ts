import { formatBytes } from "../format.ts";
import type { Lock } from "../lock/lock.ts";
import type { Digest } from "../oci/digest.ts";
import { contentsOf, type KnownFacts, type PaperEntry } from "./contents.ts";

export interface ReportSubject {
  lock: Lock;
  lockDigest: Digest;
  /** Whose signatures count on the machine that made the report. */
  signedBy: string[];
  /** What the bundle says beyond its lock. */
  facts?: KnownFacts | undefined;
  /** Who made the report, where and when. */
  made?: { by: string; on: Date; version: string } | undefined;
  /** An earlier lock: what it has already is marked. */
  since?: Lock | undefined;
}

const KINDS: Record<PaperEntry["kind"], string> = {
  image: "Images · 镜像",
  manifests: "Manifests · 清单",
  chart: "Charts · Chart",
  packages: "Package sets · 软件包集",
  package: "Packages · 软件包",
  file: "Files · 文件",
  self: "airgap",
};

const escaped = (text: string): string =>
  text
    .replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
    .replace(/[\p{Cc}\p{Cf}]/gu, "\ufffd");

const keyOf = ({ kind, set, name }: PaperEntry): string => `${kind} ${set ?? ""} ${name}`;

interface Changes {
  /** `new`, `changed` or nothing, against an earlier lock. */
  mark(entry: PaperEntry): string;
  removed: PaperEntry[];
}

function changesSince(since: Lock | undefined, entries: PaperEntry[]): Changes {
  if (since === undefined) return { mark: () => "", removed: [] };
  const before = contentsOf(since);
  // Of a package, several versions may be carried.
  const digests = Map.groupBy(before, keyOf);
  const now = new Set(entries.map(keyOf));
  return {
    mark: (entry) => {
      const known = digests.get(keyOf(entry));
      if (known === undefined) return "new";
      return known.some(({ digest }) => digest === entry.digest) ? "" : "changed";
    },
    removed: before.filter((entry) => !now.has(keyOf(entry))),
  };
}

const MARKS: Record<string, string> = { new: "new · 新增", changed: "changed · 变更", "": "" };

/** The page has no script and loads nothing; it prints on A4. */
const STYLE = `
@page { size: A4; margin: 15mm }
body { font: 10pt/1.4 system-ui, "Noto Sans CJK SC", sans-serif; max-width: 190mm; margin: auto; padding: 1em; color: #000 }
table { border-collapse: collapse; width: 100%; table-layout: fixed }
th, td { text-align: left; vertical-align: top; border-bottom: 1px solid #bbb; padding: 2px 4px; overflow-wrap: anywhere }
tr { break-inside: avoid } h2 { break-after: avoid } code { font-size: 8pt }
.sign td { height: 15mm }
`;

interface Column {
  title: string;
  /** HTML. */
  cell(entry: PaperEntry): string;
}

const text = (title: string, of: (entry: PaperEntry) => string | undefined): Column => ({
  title,
  cell: (entry) => escaped(of(entry) ?? ""),
});
const name = text("Name · 名称", (entry) => entry.name);
const version = text("Version · 版本", (entry) => entry.version);
const size = text("Size · 大小", ({ bytes }) => (bytes === undefined ? "" : formatBytes(bytes)));
const license = text("Licence · 许可证", (entry) => entry.license);
const digest: Column = { title: "Digest · 摘要", cell: (entry) => `<code>${entry.digest}</code>` };
const wanted = text("Wanted by · 来源", ({ wantedBy }) => wantedBy.slice(0, 3).join("; "));
const origin = text("From · 取自", ({ origins }) => origins.join("; "));
const files: Column = {
  title: "Files · 文件",
  cell: (entry) =>
    (entry.files ?? []).map((file) => `${escaped(file.name)}<br><code>${file.digest}</code>`).join("<br>"),
};

/** What is shown of each kind. */
const COLUMNS: Record<PaperEntry["kind"], Column[]> = {
  image: [
    name,
    text("Platforms · 平台", ({ platforms }) => platforms?.join(", ")),
    size,
    digest,
    license,
    text("Publisher's key · 发布者密钥", ({ signer }) => signer),
    origin,
    wanted,
  ],
  package: [
    name,
    version,
    text("Arch · 架构", ({ arch }) => arch),
    size,
    digest,
    license,
    text("Vendor · 厂商", ({ vendor }) => vendor),
    text("Signer · 签名者", ({ signer }) => signer),
    text("Required by · 被谁需要", ({ wantedBy }) => wantedBy[0]),
    text("Set · 集", ({ set }) => set),
  ],
  manifests: [name, digest, files, origin, wanted],
  chart: [name, version, digest, files, origin, wanted],
  packages: [name, size, digest, wanted],
  file: [name, size, digest, origin, wanted],
  self: [name, size, digest, origin, wanted],
};

function table(columns: Column[], entries: PaperEntry[], mark: (entry: PaperEntry) => string): string {
  const head = columns.map(({ title }) => `<th>${title}</th>`).join("");
  const rows = entries.map(
    (entry) =>
      `<tr>${columns.map(({ cell }) => `<td>${cell(entry)}</td>`).join("")}<td>${MARKS[mark(entry)]}</td></tr>`,
  );
  return `<table><thead><tr>${head}<th></th></tr></thead><tbody>${rows.join("")}</tbody></table>`;
}

/** Hosts and files that content was read from. */
function sourcesOf(entries: PaperEntry[]): string[] {
  const places = entries
    .flatMap(({ origins }) => origins)
    .map((each) => /^[a-z-]+:\/\/[^/]+/.exec(each)?.[0]);
  return [...new Set(places.filter((each) => each !== undefined))].toSorted();
}

/** One self-contained page, in English and Chinese, for the people who let a bundle in. */
export function reportHtml(subject: ReportSubject): string {
  const { lock, lockDigest, signedBy, since, facts, made } = subject;
  const entries = contentsOf(lock, facts);
  const { mark, removed } = changesSince(since, entries);
  const bytes = lock.blobs.reduce((sum, { size: each }) => sum + each, 0);
  const had = new Set(since?.blobs.map((blob) => blob.digest));
  const fresh = lock.blobs.reduce((sum, blob) => (had.has(blob.digest) ? sum : sum + blob.size), 0);
  const row = (title: string, value: string): string => `<tr><th>${title}</th><td>${value}</td></tr>`;
  const groups = [...Map.groupBy(entries, ({ kind }) => kind)];
  const tables = groups.map(
    ([kind, list]) => `<h2>${KINDS[kind]} (${list.length})</h2>${table(COLUMNS[kind], list, mark)}`,
  );
  const totals = groups.map(([kind, list]) => `${KINDS[kind]}: ${list.length}`).join("; ");
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"><meta name="viewport" content="width=device-width"><title>${escaped(lock.name)}</title><style>${STYLE}</style></head><body>
<h1>${escaped(lock.name)}</h1>
<table><tbody>
${row("Lock · 锁定摘要", `<code>${lockDigest}</code>`)}
${row("Number · 序号", String(lock.sequence ?? 0))}
${row("Signed by · 签名", signedBy.length > 0 ? escaped(signedBy.join(", ")) : "nobody who counts here · 无有效签名")}
${made ? row("Report made by · 报告制作", escaped(`${made.by}, ${made.on.toISOString().slice(0, 16).replace("T", " ")} UTC, airgap ${made.version}`)) : ""}
${row("Sources · 内容来源", escaped(sourcesOf(entries).join(", ")))}
${row("Platforms · 平台", escaped(lock.platforms.join(", ")))}
${row("Contents · 内容", escaped(totals))}
${row("Size · 大小", `${formatBytes(bytes)}, ${lock.blobs.length} blobs`)}
${since ? row("New since the earlier lock · 新增内容", formatBytes(fresh)) : ""}
</tbody></table>
${removed.length > 0 ? `<h2>No longer carried · 不再包含 (${removed.length})</h2>${table([{ title: "Kind · 类别", cell: ({ kind }) => KINDS[kind] }, name, version, digest], removed, () => "")}` : ""}
${tables.join("\n")}
<h2>Approval · 审批</h2>
<table class="sign"><tbody><tr><td>Name · 姓名</td><td>Date · 日期</td><td>Signature · 签字</td></tr></tbody></table>
</body></html>
`;
}

/** RFC 4180. A cell never begins with what a spreadsheet takes for a formula. */
const cell = (value: string): string => {
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

/** Columns of the table for spreadsheets. */
const CSV: [string, (entry: PaperEntry) => string | undefined][] = [
  ["kind", ({ kind }) => kind],
  ["name", (entry) => entry.name],
  ["version", (entry) => entry.version],
  ["arch", ({ arch }) => arch],
  ["platforms", ({ platforms }) => platforms?.join(" ")],
  ["bytes", ({ bytes }) => bytes?.toString()],
  ["digest", (entry) => entry.digest],
  ["purl", ({ purl }) => purl],
  ["license", (entry) => entry.license],
  ["vendor", ({ vendor }) => vendor],
  ["source", ({ source }) => source],
  ["signer", ({ signer }) => signer],
  ["set", ({ set }) => set],
  ["wantedBy", ({ wantedBy }) => wantedBy.join("; ")],
  ["origins", ({ origins }) => origins.join("; ")],
];

/** The same as a table for spreadsheets; what an earlier lock had and this one has not comes last. */
export function reportCsv({ lock, since, facts }: ReportSubject): string {
  const entries = contentsOf(lock, facts);
  const { mark, removed } = changesSince(since, entries);
  const line = (entry: PaperEntry, change: string): string[] => [
    ...CSV.map(([, of]) => of(entry) ?? ""),
    change,
  ];
  const rows = [
    [...CSV.map(([title]) => title), "change"],
    ...entries.map((entry) => line(entry, mark(entry))),
    ...removed.map((entry) => line(entry, "removed")),
  ];
  return rows.map((each) => `${each.map(cell).join(",")}\r\n`).join("");
}
