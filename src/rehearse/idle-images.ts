import { type Cluster, hostsOf, nodesOf } from "../cluster/cluster.ts";
import { messageOf } from "../errors.ts";
import type { Emit } from "../events.ts";
import { count } from "../format.ts";
import { askedName } from "../install/node-images.ts";
import { imageCalls } from "../install/stages/runtime.ts";
import { type ImageItem, itemsOf, type Lock } from "../lock/lock.ts";
import { withLibrary } from "../plan/script.ts";
import { call } from "../plan/shell.ts";
import type { Engine } from "../transport/engine.ts";
import type { RunningHost } from "./hosts.ts";

/** What came of images that no pod has wanted. Names are the bundle's. */
export interface Pulls {
  /** The node that was told to pull them. */
  host: string;
  pulled: string[];
  failed: { image: string; why: string }[];
  /** Not pulled, since they are for other platforms than the hosts', or for none that is known. */
  passedOver: string[];
}

/** What hosts have, by their name. */
type Held = ReadonlyMap<string, { images: readonly { digest: string }[] }>;

/** Images of a bundle that no node has. */
export function idleImages(lock: Lock, cluster: Cluster, held: Held): ImageItem[] {
  const digests = new Set<string>(
    nodesOf(cluster).flatMap(({ name }) => (held.get(name)?.images ?? []).map(({ digest }) => digest)),
  );
  return itemsOf(lock, "image").filter(
    ({ root, original }) => !digests.has(root.digest) && !(original && digests.has(original.digest)),
  );
}

export interface PullSettings {
  cluster: Cluster;
  lock: Lock;
  /** Of an image by its name: `linux/amd64`. */
  platforms: ReadonlyMap<string, readonly string[]>;
  hosts: readonly RunningHost[];
  /** What hosts have now. */
  held: Held;
  /** What hosts are: `linux/amd64`. */
  platform: string;
  emit: Emit;
  signal?: AbortSignal | undefined;
}

/** Most minutes that one image may take. */
const PULL_MS = 600_000;

/** Has a node pull the images that no pod has wanted: by the names, and with the settings, with which it pulls for pods. */
export async function pullIdle(
  engine: Engine,
  { cluster, lock, platforms, hosts, held, platform, emit, signal }: PullSettings,
): Promise<Pulls | undefined> {
  const idle = idleImages(lock, cluster, held);
  const names = [...hostsOf(cluster, "worker"), ...nodesOf(cluster)].map(({ name }) => name);
  const node = hosts.find(({ name }) => name === names[0]);
  if (idle.length === 0 || node === undefined) return undefined;
  const fits = ({ name }: ImageItem): boolean =>
    platforms.get(name)?.some((each) => each === platform || each.startsWith(`${platform}/`)) === true;
  const pulls: Pulls = {
    ...{ host: node.name, pulled: [], failed: [] },
    passedOver: idle.filter((item) => !fits(item)).map(({ name }) => name),
  };
  const wanted = idle.filter(fits).map(({ name }) => name);
  emit({
    ...{ type: "phase", name: "images" },
    detail: `${node.name} pulls ${count(wanted.length, "image")} that no pod has wanted`,
  });
  for (const image of wanted) {
    signal?.throwIfAborted();
    const why = await pull(engine, node, { cluster, lock }, image);
    if (why === undefined) pulls.pulled.push(image);
    else pulls.failed.push({ image, why });
  }
  return pulls;
}

/** Characters of one argument, which may have 128 KiB: execve(2). The library of steps is larger. */
const PART = 32_000;

/** A command that runs a script of any size. */
export function shellCommand(script: string): string[] {
  const parts = script.match(new RegExp(`[^]{1,${PART}}`, "gu")) ?? [];
  return ["/bin/sh", "-c", 'IFS=; whole=$*; unset IFS; eval "$whole"', "sh", ...parts];
}

/** @returns why it did not work */
async function pull(
  engine: Engine,
  { id }: RunningHost,
  { cluster, lock }: Pick<PullSettings, "cluster" | "lock">,
  image: string,
): Promise<string | undefined> {
  const script = withLibrary(call(...imageCalls(cluster).pull, askedName(cluster, lock, image)));
  try {
    const { code, stderr } = await engine.exec(id, shellCommand(script), PULL_MS);
    return code === 0 ? undefined : stderr.trim().split("\n").at(-1) || `exit ${code}`;
  } catch (error) {
    return messageOf(error);
  }
}
