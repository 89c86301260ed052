import { createReadStream, statSync } from "node:fs";
import { Readable } from "node:stream";
import type { Attempt } from "../bundle/rehearsal.ts";
import { END_OF_ARCHIVE, entryHeader, padded } from "../bundle/tar.ts";
import { AirgapError } from "../errors.ts";
import { shipped, shippedPath } from "../host/shipped.ts";
import type { Engine } from "../transport/engine.ts";
import type { RunningHost } from "./hosts.ts";

interface Question {
  from: string;
  name: string;
  type: string;
}

const FOLDER = "/rehearsal";

/** Systems lack it, and a Node may need it. */
function libatomic(): string[] {
  const report = process.report.getReport() as { sharedObjects?: string[] };
  return (report.sharedObjects ?? []).filter((path) => /\/libatomic\.so\.1(\.|$)/.test(path)).slice(0, 1);
}

/** This Node and the name server, as an archive: the image needs neither. */
async function* archive(): AsyncGenerator<Buffer> {
  yield* entry("node", process.execPath);
  for (const path of libatomic()) yield* entry("libatomic.so.1", path);
  yield* entry("names.mjs", shippedPath("rehearse/names.mjs"));
  yield END_OF_ARCHIVE;
}

async function* entry(name: string, path: string): AsyncGenerator<Buffer> {
  const { size } = statSync(path);
  yield entryHeader(`${FOLDER.slice(1)}/${name}`, size);
  yield* createReadStream(path) as AsyncIterable<Buffer>;
  yield Buffer.alloc(padded(size) - size);
}

/**
 * The place where everything goes that hosts of a rehearsal send to nobody of them: their name server, and their way
 * out, which is none.
 */
export class Outside {
  readonly #engine: Engine;
  readonly #id: string;

  private constructor(engine: Engine, id: string) {
    this.#engine = engine;
    this.#id = id;
  }

  /** @throws AirgapError `environment` when the image lacks what it takes */
  static async start(
    engine: Engine,
    settings: {
      name: string;
      image: string;
      network: string;
      address: string;
      labels: Record<string, string>;
    },
  ): Promise<Outside> {
    const { name, image, network, address, labels } = settings;
    const start = `chmod 0755 ${FOLDER}/node && exec ${FOLDER}/node ${FOLDER}/names.mjs`;
    const id = await engine.create({
      ...{ name, image, hostname: "outside", labels, env: { LD_LIBRARY_PATH: FOLDER } },
      command: ["/bin/sh", "-c", start],
      network: { name: network, address },
    });
    await engine.put(id, Readable.from(archive()), "/");
    await engine.start(id);
    const { code, stderr } = await engine.exec(id, ["/bin/sh", "-c", shipped("rehearse/outside.sh")]);
    if (code !== 0 || !(await engine.isRunning(id)))
      throw new AirgapError(
        "environment",
        `The name server of the rehearsal does not run in ${image}: ${`${stderr}\n${await engine.logs(id)}`.trim().slice(-500)}`,
        { suggestions: ["--image SYSTEM=IMAGE with a C library that airgap's Node runs with"] },
      );
    return new Outside(engine, id);
  }

  /** Everything that hosts have tried until now, and the hosts on which only names were recorded. */
  async attempts(hosts: readonly RunningHost[]): Promise<{ attempts: Attempt[]; uncounted: string[] }> {
    const named = new Map(
      hosts.flatMap(({ name, address, also }) =>
        [address, also ?? address].map((each) => [each, name] as const),
      ),
    );
    const names = questionsIn(await this.#engine.logs(this.#id)).map(
      ({ from, name, type }): Attempt => ({
        host: named.get(from) ?? from,
        kind: "name",
        to: name,
        what: type,
        times: 1,
      }),
    );
    const uncounted: string[] = [];
    const packets = await Promise.all(
      hosts.map(async ({ id, name }) => {
        const table = ["nft", "-j", "list", "table", "ip", "rehearsal"];
        const { code, stdout } = await this.#engine.exec(id, table).catch(() => ({ code: 1, stdout: "" }));
        if (code !== 0) uncounted.push(name);
        return packetsIn(stdout).map((each) => ({ ...each, host: name }));
      }),
    );
    return { attempts: merged([...names, ...packets.flat()]), uncounted };
  }
}

/** Same host, same place: one line. */
function merged(attempts: Attempt[]): Attempt[] {
  const found = new Map<string, Attempt>();
  for (const each of attempts) {
    const key = `${each.host}\0${each.kind}\0${each.to}\0${each.kind === "address" ? each.what : ""}`;
    const first = found.get(key);
    if (first === undefined) found.set(key, { ...each });
    else {
      first.times += each.times;
      if (!first.what.split(" ").includes(each.what)) first.what = `${first.what} ${each.what}`;
    }
  }
  return [...found.values()].toSorted(
    (a, b) => a.host.localeCompare(b.host) || a.kind.localeCompare(b.kind) || a.to.localeCompare(b.to),
  );
}

/** The lines of the name server; what hosts sent is theirs to choose, so each is checked. */
export function questionsIn(log: string): Question[] {
  return log.split("\n").flatMap((line): Question[] => {
    try {
      const { from, name, type } = JSON.parse(line) as Partial<Record<keyof Question, unknown>>;
      return typeof from === "string" && typeof name === "string" && typeof type === "string" && name !== ""
        ? [{ from, name: name.slice(0, 255), type: type.slice(0, 10) }]
        : [];
    } catch {
      return [];
    }
  });
}

type Element = { elem?: { val?: { concat?: unknown[] }; counter?: { packets?: number } } };

/** What nft's sets have recorded: `nft -j`, libnftables-json(5). */
export function packetsIn(json: string): Attempt[] {
  let document: { nftables?: { set?: { name?: string; elem?: Element[] } }[] };
  try {
    document = JSON.parse(json) as typeof document;
  } catch {
    return [];
  }
  return (document.nftables ?? []).flatMap(({ set }) =>
    (set?.elem ?? []).flatMap(({ elem }): Attempt[] => {
      const [from, to, protocol, port] = (elem?.val?.concat ?? []).map(String);
      if (from === undefined || to === undefined || protocol === undefined) return [];
      const what = port === undefined ? protocol : `${protocol}/${port}`;
      return [{ host: from, kind: "address", to, what, times: elem?.counter?.packets ?? 1 }];
    }),
  );
}
