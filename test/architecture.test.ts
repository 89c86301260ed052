import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "..");

/** Who may import whom: a room may import from itself, from these rooms, and from nothing else of ours. docs/architecture.md. */
const MAY: Record<string, string[]> = {
  "src/errors.ts": [],
  "src/atomic.ts": [],
  "src/events.ts": [],
  "src/address.ts": [],
  "src/format.ts": [],
  "src/origin.ts": [],
  "src/pace.ts": [],
  "src/retry.ts": ["src/events.ts"],
  "src/tls.ts": ["src/retry.ts", "src/errors.ts"],
  "src/http.ts": [
    "src/tls.ts",
    "src/origin.ts",
    "src/pace.ts",
    "src/retry.ts",
    "src/errors.ts",
    "src/events.ts",
  ],
  "src/oci": ["src/errors.ts"],
  "src/schema": ["src/errors.ts"],
  "src/pki": ["src/address.ts"],
  "src/trust": ["src/schema", "src/atomic.ts", "src/errors.ts", "src/events.ts", "src/format.ts"],
  "src/transport": [
    "src/tls.ts",
    "src/oci",
    "src/http.ts",
    "src/origin.ts",
    "src/pace.ts",
    "src/retry.ts",
    "src/atomic.ts",
    "src/errors.ts",
    "src/events.ts",
  ],
  "src/copy.ts": ["src/transport", "src/oci", "src/errors.ts", "src/events.ts"],
  "src/copy-image.ts": ["src/copy.ts", "src/transport", "src/oci", "src/errors.ts", "src/events.ts"],
  "src/names": ["src/oci", "src/errors.ts"],
  "src/state": ["src/oci", "src/atomic.ts", "src/errors.ts"],
  "src/host": ["src/errors.ts"],
  "src/lock": [
    "src/names",
    "src/transport",
    "src/schema",
    "src/oci",
    "src/http.ts",
    "src/errors.ts",
    "src/events.ts",
    "src/format.ts",
  ],
  "src/kubernetes": ["src/oci", "src/errors.ts"],
  "src/packages": [
    "src/lock",
    "src/state",
    "src/transport",
    "src/schema",
    "src/oci",
    "src/http.ts",
    "src/atomic.ts",
    "src/errors.ts",
    "src/events.ts",
    "src/format.ts",
  ],
  "src/discovery": [
    "src/lock",
    "src/kubernetes",
    "src/names",
    "src/host",
    "src/transport",
    "src/oci",
    "src/http.ts",
    "src/errors.ts",
    "src/events.ts",
    "src/format.ts",
  ],
  "src/resolve": [
    "src/trust",
    "src/lock",
    "src/kubernetes",
    "src/packages",
    "src/discovery",
    "src/host",
    "src/state",
    "src/transport",
    "src/oci",
    "src/http.ts",
    "src/atomic.ts",
    "src/errors.ts",
    "src/format.ts",
  ],
  "src/inside": ["src/packages", "src/state", "src/lock", "src/transport", "src/oci", "src/errors.ts"],
  "src/papers": ["src/inside", "src/lock", "src/oci", "src/format.ts"],
  "src/bundle": [
    "src/trust",
    "src/lock",
    "src/resolve",
    "src/packages",
    "src/discovery",
    "src/kubernetes",
    "src/transport",
    "src/host",
    "src/schema",
    "src/oci",
    "src/http.ts",
    "src/atomic.ts",
    "src/errors.ts",
    "src/events.ts",
    "src/format.ts",
  ],
  "src/site": [
    "src/inside",
    "src/trust",
    "src/resolve",
    "src/copy-image.ts",
    "src/host",
    "src/origin.ts",
    "src/bundle",
    "src/lock",
    "src/names",
    "src/copy.ts",
    "src/transport",
    "src/pki",
    "src/oci",
    "src/http.ts",
    "src/atomic.ts",
    "src/errors.ts",
    "src/events.ts",
    "src/format.ts",
    "registry",
  ],
  "src/plan": [
    "src/atomic.ts",
    "src/transport",
    "src/host",
    "src/state",
    "src/errors.ts",
    "src/events.ts",
    "src/format.ts",
  ],
  "src/cluster": [
    "src/kubernetes",
    "src/plan",
    "src/host",
    "src/names",
    "src/pki",
    "src/schema",
    "src/oci",
    "src/address.ts",
    "src/errors.ts",
    "src/events.ts",
  ],
  "src/install": [
    "src/trust",
    "src/transport",
    "src/cluster",
    "src/plan",
    "src/kubernetes",
    "src/bundle",
    "src/lock",
    "src/discovery",
    "src/host",
    "src/state",
    "src/names",
    "src/schema",
    "src/pki",
    "src/oci",
    "src/address.ts",
    "src/errors.ts",
    "src/events.ts",
    "src/format.ts",
    "src/http.ts",
  ],
  "src/init": ["src/install", "src/kubernetes", "src/schema", "src/errors.ts"],
  "src/doctor": [
    "src/discovery",
    "src/transport",
    "src/trust",
    "src/state",
    "src/host",
    "src/schema",
    "src/errors.ts",
    "src/format.ts",
  ],
  "src/packing": ["src/transport", "src/oci", "src/atomic.ts"],
  "src/rehearse": [
    "src/install",
    "src/bundle",
    "src/cluster",
    "src/plan",
    "src/packages",
    "src/lock",
    "src/host",
    "src/state",
    "src/transport",
    "src/oci",
    "src/http.ts",
    "src/address.ts",
    "src/errors.ts",
    "src/events.ts",
    "src/format.ts",
  ],
  "src/report": ["src/errors.ts", "src/events.ts", "src/format.ts", "src/schema/nearest.ts"],
  "src/cluster-command.ts": ["src/command.ts", "src/cluster/flags.ts"],
  "src/bundle-flags.ts": ["src/bundle", "src/trust", "src/events.ts"],
  "src/command.ts": ["src/report", "src/errors.ts", "src/events.ts", "src/format.ts"],
  "src/quickstart": [
    "registry",
    "src/report",
    "src/bundle",
    "src/site",
    "src/copy.ts",
    "src/transport",
    "src/oci",
    "src/errors.ts",
    "src/format.ts",
  ],
  registry: ["src/oci", "src/names", "src/transport", "src/errors.ts", "src/format.ts"],
};

/** What only some may import of others' packages. */
const ONLY: [RegExp, RegExp][] = [
  [/^@oclif\//, /^src\/(commands\/|(cluster-)?command\.ts|bundle-flags\.ts)/],
  [/^(node:child_process|ssh2(\/.*)?)$/, /^src\/host\//],
  [/^dockerode(\/|$)/, /^src\/transport\//],
  [/^undici(\/|$)/, /^src\/http\.ts$/],
  [/^(node:sqlite|sqlite3(\/.*)?)$/, /^src\/state\//],
  [/^@inquirer\//, /^src\/commands\/init\.ts$/],
];

interface Import {
  from: string;
  to: string;
}

const files = ["src", "registry"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(folder, name)),
);

function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), "utf8");
  const found = text.matchAll(
    /^(?:import|export)\s+(type\s)?[^;'"]*?from\s+["']([^"']+)["']|\b(?:import|require|require\.resolve)\(\s*["']([^"']+)["']\s*\)|^import\s+["']([^"']+)["']/gm,
  );
  return [...found].map(([, , fromText, dynamic, bare]) => {
    const target = fromText ?? dynamic ?? bare ?? "";
    const to = target.startsWith(".") ? normalize(join(dirname(file), target)) : target;
    return { from: file, to };
  });
}

const all = files.flatMap(importsOf);
const ours = (path: string): boolean => path.startsWith("src/") || path.startsWith("registry/");

/** The room of a file: the longest key of MAY that it lies in. */
function roomOf(path: string): string | undefined {
  return Object.keys(MAY)
    .filter((room) => path === room || path.startsWith(`${room}/`))
    .toSorted((a, b) => b.length - a.length)[0];
}

const lies = (path: string, place: string): boolean => path === place || path.startsWith(`${place}/`);

describe("the architecture", () => {
  it("lets each room import only what it may", () => {
    const wrong = all
      .filter(({ from, to }) => ours(to) && !from.startsWith("src/commands/"))
      .filter(({ from, to }) => {
        const room = roomOf(from);
        return room === undefined || (!lies(to, room) && !(MAY[room] ?? []).some((place) => lies(to, place)));
      })
      .map(({ from, to }) => `${from} → ${to}`);
    expect(wrong).toEqual([]);
  });

  it("keeps commands out of everything else", () => {
    expect(
      all
        .filter(({ from, to }) => lies(to, "src/commands") && !lies(from, "src/commands"))
        .map(({ from, to }) => `${from} → ${to}`),
    ).toEqual([]);
  });

  it("keeps oclif, child processes, the Docker client, undici, SQLite and prompts in their rooms", () => {
    const wrong = all
      .filter(({ from, to }) => ONLY.some(([name, where]) => name.test(to) && !where.test(from)))
      .map(({ from, to }) => `${from} → ${to}`);
    expect(wrong).toEqual([]);
  });

  it("prints in src/report only", () => {
    // What stands in template strings is text, also when it is a program for a host.
    const wrong = files.filter(
      (file) =>
        !lies(file, "src/report") &&
        /\bconsole\.|process\.(stdout|stderr)\.write/.test(
          readFileSync(join(root, file), "utf8").replace(/`(?:[^`\\]|\\.)*`/gs, ""),
        ),
    );
    expect(wrong).toEqual([]);
  });

  it("has no circles, those of types included", () => {
    const graph = new Map(
      files.map((file) => [
        file,
        importsOf(file)
          .filter(({ to }) => ours(to))
          .map(({ to }) => to),
      ]),
    );
    const state = new Map<string, "open" | "done">();
    const cycles: string[] = [];
    const visit = (file: string, path: string[]): void => {
      if (state.get(file) === "done") return;
      if (state.get(file) === "open") {
        cycles.push([...path.slice(path.indexOf(file)), file].join(" → "));
        return;
      }
      state.set(file, "open");
      for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
      state.set(file, "done");
    };
    for (const file of files) visit(file, []);
    expect(cycles).toEqual([]);
  });

  it("has small files", () => {
    const large = files
      .map((file) => ({ file, lines: readFileSync(join(root, file), "utf8").split("\n").length - 1 }))
      .filter(({ lines }) => lines > 400);
    expect(large).toEqual([]);
  });

  it("allows no import that nobody makes", () => {
    const idle = Object.entries(MAY).flatMap(([room, allowed]) =>
      allowed
        .filter((place) => !all.some(({ from, to }) => roomOf(from) === room && lies(to, place)))
        .map((place) => `${room} → ${place}`),
    );
    expect(idle).toEqual([]);
  });

  it("tells in each room's README what it imports", () => {
    const name = (place: string): string => place.replace(/^src\//, "").replace(/\.ts$/, "");
    const wrong = Object.entries(MAY)
      .filter(([room]) => !room.endsWith(".ts"))
      .flatMap(([room, allowed]) => {
        const line = `Imports: ${allowed.map(name).join(", ") || "nothing of ours"}.`;
        const text = readFileSync(join(root, room, "README.md"), "utf8");
        return text.split("\n").includes(line) ? [] : [`${room}/README.md: ${line}`];
      });
    expect(wrong).toEqual([]);
  });

  it("tells in each room what it owns", () => {
    const rooms = Object.keys(MAY).filter((room) => !room.endsWith(".ts"));
    const without = rooms.filter(
      (room) =>
        files.some((file) => lies(file, room)) && !readdirSync(join(root, room)).includes("README.md"),
    );
    expect(without).toEqual([]);
  });
});
