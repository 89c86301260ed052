import { existsSync, readdirSync, statSync } from "node:fs";
import type { Opening } from "../bundle/reader.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { readCluster } from "../cluster/read.ts";
import { AirgapError } from "../errors.ts";
import type { Facts } from "../host/facts.ts";
import { nearest } from "../schema/nearest.ts";
import { readBundle } from "./bundle.ts";
import { type Context, makeContext } from "./context.ts";
import { readFactsFile } from "./gathered-facts.ts";
import { imagesFor } from "./node-images.ts";
import { preflightFiles } from "./preflight/files.ts";
import type { Finding } from "./preflight/finding.ts";
import { type DiskNeed, diskNeeds } from "./preflight/hosts.ts";
import { parseIgnored, preflight } from "./preflight/preflight.ts";
import { readUserManifests } from "./user-manifests.ts";

export interface CheckOptions {
  clusterFile: string;
  bundle: string;
  opening?: Opening | undefined;
  /** Folder of what `facts.sh` printed on the hosts, a file a host. */
  facts?: string;
  ignoreChecks: string[];
  signal?: AbortSignal;
}

export interface CheckResult {
  cluster: string;
  bundle: string;
  /** Without those that are ignored. */
  findings: Finding[];
  /** Hosts whose facts were read. */
  known: string[];
  /** Free space that each host needs. */
  disks: ({ host: string } & DiskNeed)[];
}

/**
 * Everything that the cluster file and the bundle tell together, and what the hosts' facts tell where
 * there are files of them. Connects to nothing and writes nothing.
 * @throws AirgapError `spec` for a wrong cluster file, `disk`, `corrupt`
 */
export async function checkFiles(options: CheckOptions): Promise<CheckResult> {
  const cluster = await readCluster(options.clusterFile);
  const ignored = parseIgnored(options.ignoreChecks);
  const bundle = await readBundle(options.bundle, options.signal, options.opening);
  const facts = options.facts === undefined ? {} : readFacts(cluster, options.facts);
  const context: Context = makeContext({
    cluster,
    facts,
    bundle,
    secrets: { ca: "", joinToken: "" },
    images: imagesFor(cluster, bundle.lock),
    userManifests: readUserManifests(cluster, bundle.lock),
    ignored,
  });
  const findings = [...preflight(context), ...preflightFiles(context)];
  return {
    cluster: cluster.name,
    bundle: options.bundle,
    findings: findings.filter(({ check }) => !ignored.includes(check)),
    known: Object.keys(facts),
    disks: cluster.hosts.flatMap((host) =>
      diskNeeds(host, context)
        .filter(({ bytes }) => bytes > 0)
        .map((need) => ({ host: host.name, ...need })),
    ),
  };
}

/** @throws AirgapError `usage` when the folder is missing or a file in it is of no host */
function readFacts({ hosts }: Cluster, folder: string): Record<string, Facts> {
  if (!existsSync(folder) || !statSync(folder).isDirectory())
    throw new AirgapError("usage", `--facts: there is no folder ${folder}`, {
      suggestions: ["on each host, as root: sh facts.sh > NAME; facts.sh is in manifests/host of airgap"],
    });
  const names = hosts.map(({ name }) => name);
  const found = hosts.flatMap(({ name }): [string, Facts][] => {
    const facts = readFactsFile(folder, name);
    return facts ? [[name, facts]] : [];
  });
  if (found.length > 0) return Object.fromEntries(found);
  const [file = ""] = readdirSync(folder);
  const near = nearest(file.replace(/\.txt$/, ""), names);
  throw new AirgapError(
    "usage",
    `--facts: ${folder} has no file that is called as a host of the cluster file (${names.join(", ")})`,
    { suggestions: [near ? `name ${file} ${near}` : "give each file the name of its host"] },
  );
}
