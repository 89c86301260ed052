import { ordinal } from "../ordinal.ts";

/** What the database container of a minor version of Harbor does with the folder that it finds. */
interface Postgres {
  /** The version that it runs: its folder is `database/pgNN`. */
  own: number;
  /** The only other version that it upgrades from. With any older one it starts an empty database beside the full one. */
  from?: number;
}

/** By the minor version of Harbor 2 from which on it holds: docker-entrypoint.sh of harbor-db at each release's tag. */
const POSTGRES: [since: number, Postgres][] = [
  [15, { own: 18, from: 15 }],
  [11, { own: 15, from: 14 }],
  [9, { own: 14, from: 13 }],
  [7, { own: 13 }],
  [3, { own: 13, from: 96 }],
];
/** The newest minor version whose database is known here. */
const NEWEST = 15;
const OLDEST = 3;
/** Minor versions that an upgrade may span: https://goharbor.io/docs/main/administration/upgrade/ */
const SPAN = 2;

export const isHarborVersion = (text: string): boolean =>
  /^v2\.\d{1,3}\.\d{1,3}(?:[-+.][\w.+-]*)?$/.test(text);

const minorOf = (version: string): number => Number(/^v2\.(\d+)/.exec(version)?.[1] ?? Number.NaN);
const patchOf = (version: string): number => Number(/^v2\.\d+\.(\d+)/.exec(version)?.[1] ?? 0);

/** Undefined for versions that came after this one of airgap, and for those before 2.3. */
export function postgresOf(version: string): Postgres | undefined {
  const minor = minorOf(version);
  return minor > NEWEST ? undefined : POSTGRES.find(([since]) => minor >= since)?.[1];
}

/** Versions of PostgreSQL whose data this Harbor takes over. */
export function takenOver(version: string): number[] {
  const { own, from } = postgresOf(version) ?? {};
  return [own, from].filter((each) => each !== undefined);
}

/** The oldest Docker that runs the images: glibc in them calls clone3, which Docker before 20.10.10 answers with EPERM. */
export const oldestDocker = (version: string): string => (minorOf(version) >= 9 ? "20.10.10" : "17.6.0");

/** The oldest docker-compose 1: files without `version:` are read from 1.27 on. */
export const oldestCompose = (version: string): string => (minorOf(version) >= 12 ? "1.27.0" : "1.18.0");

/** Whether one dotted version is older than another, to the third number. */
export function isOlder(version: string, than: string): boolean {
  const third = (text: string): number => Number.parseInt(text.split(/[.+~-]/)[2] ?? "0", 10) || 0;
  const [own, least] = [ordinal(version), ordinal(than)];
  return own < least || (own === least && third(version) < third(than));
}

/** The versions on the way, each by its minor: `2.10`. The last is the goal. */
function ladder(from: number, to: number): string[] {
  const rungs: string[] = [];
  for (let minor = Math.min(from + SPAN, to); ; minor = Math.min(minor + SPAN, to)) {
    rungs.push(`2.${minor}`);
    if (minor === to) return rungs;
  }
}

/** What an installation does with the Harbor that is there. */
export type Change = { kind: "none" | "upgrade" } | { kind: "refused"; why: string; way: string };

/** Whether airgap takes a Harbor from one version to another. */
export function changeOf(from: string, to: string): Change {
  if (from === to) return { kind: "none" };
  const [old, next] = [minorOf(from), minorOf(to)];
  if (next < old || (next === old && patchOf(to) < patchOf(from)))
    return {
      kind: "refused",
      why: `Harbor is at ${from}, and the bundle has the older ${to}: Harbor's database cannot go back`,
      way: `carry Harbor ${from} or a newer one, at most ${SPAN} minor versions above`,
    };
  if (!(old >= OLDEST))
    return {
      kind: "refused",
      why: `This airgap upgrades Harbor from 2.${OLDEST} on, not from ${from}`,
      way: "upgrade it by hand as Harbor's documentation says",
    };
  if (next - old > SPAN)
    return {
      kind: "refused",
      why: `Harbor is at ${from}, and the bundle has ${to}: Harbor upgrades over at most ${SPAN} minor versions. A longer step starts with an empty database, and the projects are out of sight`,
      way: `go in steps, with a bundle and an installation for each: ${ladder(old, next).join(", then ")}`,
    };
  if (postgresOf(to) === undefined)
    return {
      kind: "refused",
      why: `this version of airgap knows Harbor up to 2.${NEWEST}, and not what the database of ${to} can be upgraded from`,
      way: "use a newer airgap",
    };
  return { kind: "upgrade" };
}
