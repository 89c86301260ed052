import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeBundleFile } from "../support/install/bundle-file.ts";
import { clusterText, siteOf } from "../support/install/site.ts";
import { RAW } from "../support/install/systems.ts";

/** How long steps take on a host of its own: what a machine with a disk needs for them. Seconds; others take none. */
export const SECONDS: Readonly<Record<string, number>> = {
  "packages/install": 4,
  "runtime/service": 1,
  "runtime/pull": 1,
  "control-plane/init": 4,
  "workers/join": 2,
};

/** A host of the cluster file, and what facts.sh prints there. */
export interface RecordedHost {
  name: string;
  address: string;
  roles: string[];
  hostKey?: string;
}

/** One control plane that is the registry too, and workers. */
export const recordedHosts = (count: number, addressOf: (i: number) => string): RecordedHost[] =>
  Array.from({ length: count }, (_, i) => ({
    name: i === 0 ? "cp1" : `w${i}`,
    address: addressOf(i),
    roles: i === 0 ? ["control-plane", "registry"] : ["worker"],
  }));

const RECORDED = readFileSync(join(RAW, "rocky-9.4.txt"), "utf8");

/** Facts that were recorded on one host, with what no two hosts share made this one's own. */
export function factsOf({ address }: RecordedHost, i: number, now: string): string {
  const number = i.toString(16).padStart(12, "0");
  const mac = number.replace(/..(?=.)/g, "$&:");
  return RECORDED.replaceAll("10.0.0.12", address)
    .replace(/^machine-id\|.*$/m, `machine-id|${number.padStart(32, "a")}`)
    .replace(/^product-uuid\|.*$/m, `product-uuid|${number}`)
    .replace(/^mac\|.*$/m, `mac|${mac}`)
    .replace(/^address\|.* fd.*\n/gm, "")
    .replace(/^time\|.*$/m, `time|${now}`)
    .replace(/^end\|.*$/m, `end|${now}`);
}

/** Writes `cluster.yaml` and `site.tar` into a folder: all that `install` needs for an installation from its beginning to its end. */
export async function writeSite(
  dir: string,
  hosts: RecordedHost[],
  ssh: Record<string, unknown> = {},
): Promise<void> {
  mkdirSync(dir, { recursive: true });
  const cluster = { name: "many", hosts, ...(Object.keys(ssh).length > 0 ? { ssh } : {}) };
  writeFileSync(join(dir, "cluster.yaml"), clusterText(cluster));
  // A plan needs one host of each system, and no more.
  await writeBundleFile(join(dir, "site.tar"), siteOf().bundle);
}
