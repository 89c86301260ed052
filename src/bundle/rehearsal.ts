import { replaceFileSync } from "../atomic.ts";
import { AirgapError, messageOf } from "../errors.ts";
import { LOCK_LIMITS, readLimitedJson } from "../lock/json.ts";
import { Cursor, count, digest, flag, line, lines, listOf, object, oneOf, parsed } from "../lock/shape.ts";
import { canonicalBytes, canonicalJson } from "../oci/canonical-json.ts";
import type { Digest } from "../oci/digest.ts";
import { type CheckedSignature, described } from "../trust/trust.ts";
import type { Opening } from "./reader.ts";

/** A throw-away host, and what it took. Sizes in bytes. */
export interface RehearsedHost {
  name: string;
  /** As the cluster file says it, and here. */
  asked: string;
  address: string;
  /** As package sets name it: `debian-12`. */
  system: string;
  /** The engine's image, by its id, which follows from its content. */
  image: string;
  /** Written to its disk, the bundle on the serving host among it. */
  diskBytes: number;
  /** The most that was seen. */
  memoryBytes: number;
  receivedBytes: number;
  sentBytes: number;
  /** Packages and images that it has now, and had not before. */
  packages: number;
  images: number;
}

/** What a host tried to reach that is not on the hosts' network. */
export interface Attempt {
  host: string;
  /** A name that was asked for, or an address that packets went to. */
  kind: "name" | "address";
  /** `telemetry.example.com`, `192.0.2.7`. */
  to: string;
  /** `tcp/443`, `udp/123`; of a name the types of the questions: `A AAAA`. */
  what: string;
  times: number;
}

/** Something that was looked at when all had been installed. */
export interface Proved {
  what: string;
  good: boolean;
  /** In words. */
  detail: string;
}

/** A rehearsal that ran: of which bundle, against what, with which end. */
export interface RehearsalFacts {
  /** The bundle's name, and the digest of its lock. */
  bundle: string;
  lockDigest: Digest;
  /** The bundle from which the cluster was taken to this one's version. */
  from?: { bundle: string; lockDigest: Digest };
  cluster: string;
  kubernetes: string;
  passed: boolean;
  /** When it ended. ISO 8601 in UTC, whole seconds. */
  finished: string;
  seconds: number;
  /** Version of airgap. */
  airgap: string;
  engine: { name: string; version: string; kernel: string };
  hosts: RehearsedHost[];
  stages: { stage: string; ms: number }[];
  proved: Proved[];
  outside: Attempt[];
  /** What was set otherwise than in the cluster file. */
  adjusted: string[];
  /** What such hosts cannot show. */
  notShown: string[];
  /** Why it did not pass. */
  failure?: string;
}

/** Its record: what is signed and carried. */
export interface Rehearsal extends RehearsalFacts {
  apiVersion: "airgap/v1";
  kind: "Rehearsal";
}

const finished = parsed(
  (text) => (/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text) && Date.parse(text) ? text : undefined),
  "a time like 2026-01-31T00:00:00Z",
);

const rehearsal = object<Rehearsal>(
  {
    apiVersion: oneOf(["airgap/v1"]),
    kind: oneOf(["Rehearsal"]),
    bundle: line,
    lockDigest: digest,
    cluster: line,
    kubernetes: line,
    passed: flag,
    finished,
    seconds: count,
    airgap: line,
    engine: object<Rehearsal["engine"]>({ name: line, version: line, kernel: line }, {}),
    hosts: listOf(
      object<RehearsedHost>(
        {
          ...{ name: line, asked: line, address: line, system: line, image: line },
          ...{ diskBytes: count, memoryBytes: count, receivedBytes: count, sentBytes: count },
          ...{ packages: count, images: count },
        },
        {},
      ),
      10_000,
    ),
    stages: listOf(object<Rehearsal["stages"][number]>({ stage: line, ms: count }, {}), 1000),
    proved: listOf(object<Proved>({ what: line, good: flag, detail: lines }, {}), 1000),
    outside: listOf(
      object<Attempt>(
        { host: line, kind: oneOf(["name", "address"]), to: line, what: line, times: count },
        {},
      ),
      LOCK_LIMITS.items,
    ),
    adjusted: listOf(line, 1000),
    notShown: listOf(line, 1000),
  },
  {
    from: object<NonNullable<Rehearsal["from"]>>({ bundle: line, lockDigest: digest }, {}),
    failure: lines,
  },
);

/** What is signed of a rehearsal. */
export const encodeRehearsal = (value: Rehearsal): Buffer => canonicalBytes(value);

/** The file is indented, so that people can read what they carry. @throws AirgapError `disk` */
export function writeRehearsal(path: string, value: Rehearsal): void {
  try {
    replaceFileSync(path, `${JSON.stringify(JSON.parse(canonicalJson(value)), undefined, 1)}\n`);
  } catch (cause) {
    throw new AirgapError("disk", `Cannot write ${path}: ${messageOf(cause)}`, { cause });
  }
}

/** A rehearsal in a file; undefined when the file is another kind of JSON. @throws AirgapError `corrupt`, `disk` */
export function readRehearsal(path: string): Rehearsal | undefined {
  const value = readLimitedJson(path);
  return value["kind"] === "Rehearsal" ? rehearsal(value, new Cursor(`The rehearsal ${path}`)) : undefined;
}

/** What a rehearsal says about a bundle that is at hand. */
export interface RehearsedProof {
  file: string;
  finished: string;
  cluster: string;
  kubernetes: string;
  engine: string;
  /** Systems of its hosts. */
  systems: string[];
  hosts: number;
  outside: number;
  /** Names of the keys of this machine's policy that signed it; empty: nobody vouches for the file. */
  signedBy: string[];
  signatures: CheckedSignature[];
}

/**
 * Checks that a rehearsal is of this bundle and passed.
 * @param name the bundle's, for which keys have to count
 * @throws AirgapError `check-failed` when it is of another bundle, did not pass, or has a bad signature; or none where one is asked for
 */
export function checkRehearsed(
  file: string,
  { name, lockDigest }: { name: string; lockDigest: Digest },
  { trust }: Opening = {},
): RehearsedProof {
  const found = readRehearsal(file);
  if (found === undefined)
    throw new AirgapError("usage", `${file} is no rehearsal`, {
      suggestions: ["airgap rehearse cluster.yaml --bundle site.tar  # writes one"],
    });
  const examined = trust?.examine(file, encodeRehearsal(found));
  const { signatures, signedBy } = (examined && trust?.settle(examined, name)) ?? {
    signatures: [],
    signedBy: [],
  };
  const refused = (why: string): AirgapError =>
    new AirgapError("check-failed", `${file}: ${why}`, {
      suggestions: ["airgap rehearse cluster.yaml --bundle site.tar  # on the connected side"],
      data: { rehearsed: found.lockDigest, lockDigest },
    });
  if (found.lockDigest !== lockDigest)
    throw refused(
      `another bundle was rehearsed: its lock is ${found.lockDigest}, this one's is ${lockDigest}`,
    );
  if (!found.passed)
    throw refused(`this bundle was rehearsed, and did not pass: ${found.failure ?? "unknown"}`);
  return {
    file,
    finished: found.finished,
    cluster: found.cluster,
    kubernetes: found.kubernetes,
    engine: `${found.engine.name} ${found.engine.version}, kernel ${found.engine.kernel}`,
    systems: [...new Set(found.hosts.map(({ system }) => system))].toSorted(),
    hosts: found.hosts.length,
    outside: found.outside.length,
    signedBy,
    signatures,
  };
}

/** One line for people. */
export function describeRehearsed(proof: RehearsedProof): string {
  const { finished: when, cluster, kubernetes, hosts, systems, engine, outside, signatures } = proof;
  const signed =
    signatures.length === 0
      ? "the file is not signed"
      : signatures.map((each) => `it is ${described(each)}`).join("; ");
  return `Rehearsed: exactly this bundle passed on ${when}: ${cluster}, Kubernetes ${kubernetes}, ${hosts} throw-away hosts with ${systems.join(", ")} (${engine}); ${outside === 0 ? "nothing asked for anything outside" : `${outside} attempts to reach something outside`}; ${signed}`;
}
