import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { AirgapError, messageOf } from "../errors.ts";
import { type Facts, parseFacts } from "../host/facts.ts";
import { shippedPath } from "../host/shipped.ts";
import { pathBelow } from "../lock/titles.ts";
import { regionPieces } from "../transport/region.ts";
import type { ClusterHost } from "./cluster.ts";
import { type PlacedStep, renderScript } from "./script.ts";
import type { Plan, StageName } from "./stage.ts";
import type { Upload } from "./step.ts";

/** One turn of a host: what it does before another host has to do something. */
export interface Turn {
  host: string;
  steps: PlacedStep[];
}

/** Stages that must be over on every host before one may begin with a stage; a host's own order is kept anyway. */
const NEEDS: Partial<Record<StageName, readonly StageName[]>> = {
  repository: ["serve"],
  packages: ["serve"],
  runtime: ["serve"],
  registry: ["serve"],
  "control-plane": ["registry", "load-balancer", "etcd"],
  workers: ["control-plane"],
  addons: ["workers"],
  verify: ["workers", "addons"],
};

interface Unit {
  stage: StageName;
  wave: number;
  host: string;
  steps: PlacedStep[];
}

function unitsOf(plan: Plan): Unit[] {
  return plan.stages.flatMap(({ name, waves }) =>
    waves.flatMap((wave, i) =>
      wave.map(({ host, steps }) => ({
        stage: name,
        wave: i,
        host,
        steps: steps.map((step) => ({ stage: name, step })),
      })),
    ),
  );
}

/** Whether everything that a unit counts on has been done. */
function ready(unit: Unit, pending: Unit[]): boolean {
  const needs = NEEDS[unit.stage] ?? [];
  return !pending.some(
    (other) => needs.includes(other.stage) || (other.stage === unit.stage && other.wave < unit.wave),
  );
}

/**
 * A plan as turns: each host does as much as it can before another has to. In the order given,
 * which is that of the files.
 */
export function turnsOf(plan: Plan, hosts: string[]): Turn[] {
  let pending = unitsOf(plan);
  const turns: Turn[] = [];
  while (pending.length > 0) {
    const host = hosts.find((name) => {
      const next = pending.find((unit) => unit.host === name);
      return next !== undefined && ready(next, pending);
    });
    if (host === undefined) throw new Error("the plan's stages wait for each other");
    const turn: Turn = { host, steps: [] };
    for (;;) {
      const next = pending.find((unit) => unit.host === host);
      if (next === undefined || !ready(next, pending)) break;
      turn.steps.push(...next.steps);
      pending = pending.filter((unit) => unit !== next);
    }
    turns.push(turn);
  }
  return turns;
}

/** Who serves comes first, then control planes, then the others. */
export function scriptOrder(hosts: ClusterHost[], repository: string): string[] {
  const rank = ({ name, roles }: ClusterHost): number =>
    name === repository ? 0 : roles.includes("control-plane") ? 1 : 2;
  return hosts.toSorted((a, b) => rank(a) - rank(b)).map(({ name }) => name);
}

const FACTS = "facts";
export const FACTS_SCRIPT = "facts.sh";

/** Facts that were gathered by hand: `DIR/facts/NAME`, what `facts.sh` printed on that host. */
export function readGatheredFacts(dir: string, host: string): Facts | undefined {
  const file = join(dir, FACTS, host);
  if (!existsSync(file)) return undefined;
  // Whoever carried it took a while: the clock of the host can't be compared with ours.
  const facts = parseFacts(readFileSync(file, "utf8"), host, 0);
  return { ...facts, time: { host: 0, ours: 0 } };
}

/** For hosts that nothing may connect to: says how their facts get here. */
export function askForFacts(dir: string, hosts: string[], cause: unknown): AirgapError {
  mkdirSync(join(dir, FACTS), { recursive: true });
  copyFileSync(shippedPath("host/facts.sh"), join(dir, FACTS_SCRIPT));
  return new AirgapError(
    "check-failed",
    `The facts of ${hosts.join(", ")} are needed, and they can't be reached: ${messageOf(cause)}`,
    {
      cause,
      suggestions: [
        `on each of them, as root: sh ${FACTS_SCRIPT} > NAME (the script is ${join(dir, FACTS_SCRIPT)}), and put what it prints to ${join(dir, FACTS)}/NAME`,
        "then run the same command again",
      ],
    },
  );
}

/** A file that has to lie beside a script when that is run. */
export interface Beside {
  /** Path of the script. */
  script: string;
  /** What the file has to be called there. */
  name: string;
  /** Where it is now. */
  from: string;
}

export interface WrittenScripts {
  /** Paths, in the order in which they are to be run. */
  scripts: string[];
  beside: Beside[];
}

/** A link that is there already is not followed. */
const NEW = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;

/** Writes a stretch of a larger file to a file of its own. */
function cutOut({ from, offset, size }: Upload, to: string): void {
  const [source, target] = [openSync(from, "r"), openSync(to, NEW, 0o600)];
  try {
    let written = 0;
    for (const piece of regionPieces({ fd: source, offset, size }, Buffer.alloc(1 << 20))) {
      writeFileSync(target, piece);
      written += piece.length;
    }
    if (written < size) throw new Error(`${from} ends early`);
  } finally {
    closeSync(source);
    closeSync(target);
  }
}

/** Files that go along as they are stay where they are; what is a part of one is written beside the scripts. */
function besideOf(script: string, steps: PlacedStep[], dir: string): Beside[] {
  return steps.flatMap(({ step: { upload } }) => {
    if (upload === undefined) return [];
    const whole = upload.offset === 0 && statSync(upload.from).size === upload.size;
    const from = whole ? upload.from : pathBelow(dir, upload.beside);
    if (!whole) cutOut(upload, from);
    return [{ script, name: upload.beside, from }];
  });
}

/**
 * Writes one script for each turn, in the order in which they are to be run. They hold secrets.
 * @throws AirgapError `disk`
 */
export function writeScripts(dir: string, turns: Turn[]): WrittenScripts {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const width = Math.max(2, String(turns.length).length);
    const written = turns.map(({ host, steps }, i) => {
      const script = join(dir, `${String(i + 1).padStart(width, "0")}-${host}.sh`);
      writeFileSync(script, renderScript(host, steps), { mode: 0o700 });
      chmodSync(script, 0o700);
      return { script, beside: besideOf(script, steps, dir) };
    });
    return { scripts: written.map(({ script }) => script), beside: written.flatMap(({ beside }) => beside) };
  } catch (cause) {
    throw new AirgapError("disk", `The scripts can't be written to ${dir}: ${messageOf(cause)}`, { cause });
  }
}
