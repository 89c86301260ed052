import { existsSync, readFileSync, writeFileSync } from "node:fs";
import type { Cost } from "./measure.ts";

/** One run of one tool. */
export interface Run extends Cost {
  /** `build`, `push cold` …: a table of its own. */
  action: string;
  /** The line in between: `bare`, `20 ms`. Tools are compared within it. */
  link: string;
  tool: string;
  ours: boolean;
  /** No peer: others are not compared with it. */
  floor?: boolean;
  /** Runs of one round stand beside each other. */
  round: number;
  requests?: number;
  /** Over the wire, heads included; of a bare line the bodies of answers only. */
  bytes?: number;
  /** Processor time of the registry at the other end. Seconds. */
  serverCpu?: number;
  serverRss?: number;
  /** Why there are no figures. */
  failed?: string;
}

/** All runs of one tool on one line. */
interface Row {
  tool: string;
  ours: boolean;
  runs: Run[];
  /** Own wall or CPU against that of the best peer: median over the rounds. */
  wallRatio?: number;
  cpuRatio?: number;
}

const median = (values: number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
};

const good = ({ runs }: Row): Run[] => runs.filter(({ failed }) => failed === undefined);
const medianOf = (row: Row, value: (run: Run) => number | undefined): number | undefined => {
  const values = good(row).flatMap((run) => value(run) ?? []);
  return values.length > 0 ? median(values) : undefined;
};
const distinct = <T>(values: T[]): T[] => [...new Set(values)];

/** Rows of one table and line; each compared with the fastest peer, round by round. */
export function rowsOf(runs: Run[]): Row[] {
  const rows: Row[] = distinct(runs.map(({ tool }) => tool)).map((tool) => ({
    tool,
    ours: false,
    runs: runs.filter((run) => run.tool === tool),
  }));
  for (const row of rows) row.ours = row.runs[0]?.ours ?? false;
  const peers = rows.filter((row) => !row.ours && !row.runs[0]?.floor && good(row).length > 0);
  const wall = (row: Row): number => medianOf(row, (run) => run.wall) ?? Number.POSITIVE_INFINITY;
  const best = peers.toSorted((a, b) => wall(a) - wall(b))[0];
  for (const row of best ? rows.filter((row) => good(row).length > 0) : []) {
    const ratio = (value: (run: Run) => number): number | undefined => {
      const found = good(row).flatMap((run) => {
        const other = best?.runs.find(({ round, failed }) => round === run.round && failed === undefined);
        return other ? value(run) / value(other) : [];
      });
      return found.length > 0 ? median(found) : undefined;
    };
    const [wallRatio, cpuRatio] = [ratio((run) => run.wall), ratio((run) => run.cpu)];
    if (wallRatio !== undefined) row.wallRatio = wallRatio;
    if (cpuRatio !== undefined) row.cpuRatio = cpuRatio;
  }
  return rows;
}

const shown = (value: number | undefined, digits: number): string =>
  value === undefined ? "–" : value.toFixed(digits);
const megabytes = (bytes: number | undefined): string =>
  bytes === undefined ? "–" : (bytes / 1e6).toFixed(0);

/** The tables of one action, in Markdown: a row for each line and tool. */
export function tableOf(runs: Run[]): string {
  const serves = runs.some(({ serverRss }) => serverRss !== undefined);
  const head = [
    "line",
    "tool",
    "wall s",
    "of the best peer",
    "CPU s",
    "of that peer",
    "RSS MB",
    "requests",
    "MB moved",
    "registry's CPU s",
    ...(serves ? ["registry's RSS MB"] : []),
  ];
  const lines = [head, head.map((_, i) => (i < 2 ? "---" : "--:"))];
  for (const link of distinct(runs.map((run) => run.link))) {
    for (const row of rowsOf(runs.filter((run) => run.link === link))) {
      const tool = row.ours ? `**${row.tool}**` : row.tool;
      const failure = row.runs.find(({ failed }) => failed !== undefined)?.failed;
      if (good(row).length === 0) {
        lines.push([link, tool, failure ?? "", ...head.slice(3).map(() => "–")]);
        continue;
      }
      lines.push([
        link,
        tool,
        shown(
          medianOf(row, (run) => run.wall),
          2,
        ),
        shown(row.wallRatio, 2),
        shown(
          medianOf(row, (run) => run.cpu),
          2,
        ),
        shown(row.cpuRatio, 2),
        megabytes(Math.max(...good(row).map(({ rss }) => rss))),
        shown(
          medianOf(row, (run) => run.requests),
          0,
        ),
        megabytes(medianOf(row, (run) => run.bytes)),
        shown(
          medianOf(row, (run) => run.serverCpu),
          2,
        ),
        ...(serves ? [megabytes(medianOf(row, (run) => run.serverRss))] : []),
      ]);
    }
  }
  // What no tool has a figure for has no column.
  const told = head.map((_, i) => i < 2 || lines.slice(2).some((cells) => cells[i] !== "–"));
  return lines
    .map((cells) => cells.filter((_, i) => told[i]))
    .map((cells) => `| ${cells.join(" | ")} |`)
    .join("\n");
}

/** Replaces what stands between a section's markers, or adds the section; everything else of the page stays. */
export function writeSection(file: string, name: string, text: string): void {
  const [begin, end] = [`<!-- bench:${name} -->`, `<!-- /bench:${name} -->`];
  const page = existsSync(file) ? readFileSync(file, "utf8") : "# Benchmarks\n";
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  const section = `${begin}\n${text.trim()}\n${end}`;
  const changed =
    from >= 0 && to > from
      ? page.slice(0, from) + section + page.slice(to + end.length)
      : `${page.trimEnd()}\n\n## ${name}\n\n${section}\n`;
  writeFileSync(file, changed);
}
