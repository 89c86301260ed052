import { BundleReader, type Opening } from "../bundle/reader.ts";
import type { Attempt, Rehearsal, RehearsedHost } from "../bundle/rehearsal.ts";
import { platformsOf } from "../bundle/sizes.ts";
import { type Cluster, hostsOf } from "../cluster/cluster.ts";
import { AirgapError, messageOf } from "../errors.ts";
import { someOf } from "../format.ts";
import { findSelf } from "../host/shipped.ts";
import type { InstallResult } from "../install/install.ts";
import type { UpgradeResult } from "../install/upgrade/upgrade.ts";
import { itemsOf, type Lock } from "../lock/lock.ts";
import type { Digest } from "../oci/digest.ts";
import { MAX_MANIFEST_SIZE } from "../oci/manifest.ts";
import type { Engine, MachineUsage } from "../transport/engine.ts";
import { ADJUSTED, isForeign } from "./cluster-file.ts";
import { newImages, newPackages, prove, type Seen, waitingImages } from "./evidence.ts";
import type { RunningHost } from "./hosts.ts";
import type { Pulls } from "./idle-images.ts";
import type { RehearsalNetwork } from "./network.ts";
import type { SystemImage } from "./systems.ts";

/** What throw-away hosts on this machine's kernel cannot show. */
const NOT_SHOWN = [
  "SELinux and AppArmor of the real hosts",
  "kernel modules that the real hosts lack, and settings that are the kernel's own",
  "another kernel than this machine's, and a reboot into it",
  "hardware: disks and their speed, network cards, firmware, several CPU kinds",
  "the site's network: its routers, firewalls, MTU, name servers and time servers",
  "the clock: all hosts share this machine's",
];

/** A bundle, as far as a rehearsal looks into it. */
export interface Read {
  lock: Lock;
  lockDigest: Digest;
  /** Of each image, by its name: `linux/amd64`. */
  platforms: ReadonlyMap<string, readonly string[]>;
}

export async function readLock(
  bundle: string,
  { opening, signal }: { opening?: Opening | undefined; signal?: AbortSignal | undefined },
): Promise<Read> {
  const reader = await BundleReader.openUnless(signal, bundle, opening);
  try {
    if (reader.delta && !opening?.bases?.length)
      throw new AirgapError(
        "unsupported",
        `${bundle} is a delta: throw-away hosts have nothing that it could count on`,
        {
          suggestions: ["--base BUNDLE  # the bundle that it counts on"],
        },
      );
    const read = (digest: Digest): Buffer | undefined =>
      reader.has(digest) ? reader.read(digest, MAX_MANIFEST_SIZE) : undefined;
    const platforms = itemsOf(reader.lock, "image").map(
      (item) => [item.name, platformsOf(item, read)] as const,
    );
    return {
      ...{ lock: reader.lock, lockDigest: reader.layout.lockDigest },
      platforms: new Map(platforms),
    };
  } finally {
    reader.close();
  }
}

/** How the installation ended. */
export interface Ended {
  install?: InstallResult;
  upgrade?: UpgradeResult;
  error?: AirgapError;
  stages: Rehearsal["stages"];
}

/** Everything that is known when the installation has ended. */
export interface Finished {
  engine: Engine;
  options: {
    from?: { bundle: string } | undefined;
    mounts: string[];
    opening?: Opening | undefined;
    signal?: AbortSignal | undefined;
  };
  cluster: Cluster;
  older: Cluster | undefined;
  bundle: Read;
  /** By Date.now(). */
  started: number;
  hosts: readonly RunningHost[];
  images: ReadonlyMap<string, SystemImage>;
  network: RehearsalNetwork;
  about: Awaited<ReturnType<Engine["about"]>>;
  ended: Ended;
  usage: ReadonlyMap<string, MachineUsage>;
  seen: Seen;
  /** Images that no pod has wanted. */
  pulls: Pulls | undefined;
  attempts: Attempt[];
  /** Hosts on which packets to addresses outside were not counted. */
  uncounted: string[];
}

/** Looks at what came of it, and writes it down. */
export async function makeRecord(all: Finished): Promise<Rehearsal> {
  const { cluster, bundle, options, engine, about, ended, attempts } = all;
  const steps = [...(ended.install?.steps ?? []), ...(ended.upgrade?.steps ?? [])];
  const from = options.from ? await readLock(options.from.bundle, options) : undefined;
  const proved = ended.error
    ? []
    : prove(cluster, [...(from ? [from.lock] : []), bundle.lock], steps, all.seen, all.pulls);
  const bad = proved.filter(({ good }) => !good);
  const [plane] = all.hosts.filter(({ name }) =>
    hostsOf(cluster, "control-plane").some((host) => host.name === name),
  );
  const waiting = ended.error && plane ? await waitingImages(engine, plane) : [];
  const failure = ended.error
    ? [
        messageOf(ended.error),
        ...waiting.map(({ image, pod, why }) => `${pod} waits for the image ${image}: ${why}`),
      ].join("\n")
    : bad.map(({ what, detail }) => `${what}: ${detail}`).join("\n");
  const hosts = await Promise.all(all.hosts.map((host) => hostRecord(host, all)));
  return {
    ...{ apiVersion: "airgap/v1", kind: "Rehearsal" },
    ...{ bundle: bundle.lock.name, lockDigest: bundle.lockDigest },
    ...(from ? { from: { bundle: from.lock.name, lockDigest: from.lockDigest } } : {}),
    ...{ cluster: cluster.name, kubernetes: cluster.kubernetes.version, passed: failure === "" },
    finished: `${new Date().toISOString().slice(0, 19)}Z`,
    seconds: Math.round((Date.now() - all.started) / 1000),
    airgap: findSelf().version,
    engine: { name: about.name, version: about.version, kernel: about.kernel },
    ...{ hosts, stages: ended.stages, proved, outside: attempts },
    adjusted: adjustedIn(all),
    notShown: [
      ...NOT_SHOWN,
      ...(all.uncounted.length > 0
        ? [`packets to addresses outside, since nft is missing on ${someOf(all.uncounted)}`]
        : []),
    ],
    ...(failure === "" ? {} : { failure }),
  };
}

function adjustedIn({ network, cluster, options, images }: Finished): string[] {
  const mapped = [...network.addresses].filter(([from, to]) => from !== to);
  return [
    ...ADJUSTED,
    ...(mapped.length > 0
      ? [
          `addresses, since ${network.mappedBecause}: ${someOf(mapped.map(([from, to]) => `${from} is ${to}`))}`,
        ]
      : []),
    ...(isForeign(cluster) ? ["endpoint.address: the first control plane holds it"] : []),
    ...options.mounts.map((mount) => `mounted into every host: ${mount}`),
    ...new Set([...images.values()].map(({ made }) => made)),
  ];
}

async function hostRecord(host: RunningHost, all: Finished): Promise<RehearsedHost> {
  const { engine, cluster, older, usage, seen, images } = all;
  const { name, address } = host;
  const asked =
    [...cluster.hosts, ...(older?.hosts ?? [])].find((each) => each.name === name)?.address ?? address;
  const image = images.get(name);
  const volume = (seen.after.get(name)?.volumeBytes ?? 0) - (seen.before.get(name)?.volumeBytes ?? 0);
  return {
    ...{ name, asked, address, system: image?.system ?? "", image: await engine.imageId(host.image) },
    diskBytes: Math.max(0, volume) + (await engine.written(host.id)),
    ...(usage.get(name) ?? { memoryBytes: 0, receivedBytes: 0, sentBytes: 0 }),
    packages: newPackages(seen, name).length,
    images: new Set(newImages(seen, name).map(({ digest }) => digest)).size,
  };
}
