import type { Proved } from "../bundle/rehearsal.ts";
import { type Cluster, nodesOf, registryName } from "../cluster/cluster.ts";
import { count, someOf } from "../format.ts";
import { itemsOf, type Lock } from "../lock/lock.ts";
import type { Outcome } from "../plan/run.ts";
import type { Engine } from "../transport/engine.ts";
import type { RunningHost } from "./hosts.ts";
import { idleImages, type Pulls } from "./idle-images.ts";

/** What a host has: package ids, and its runtime's images with their digests. */
export interface Holdings {
  packages: Set<string>;
  images: { name: string; digest: string }[];
  /** Bytes on its volume. */
  volumeBytes: number;
}

const LOOK = `
if command -v dpkg-query >/dev/null; then dpkg-query -W -f='\${db:Status-Abbrev} package \${Package}=\${Version}\\n' | sed -n 's/^ii *//p'
elif command -v rpm >/dev/null; then rpm -qa --qf 'package %{NAME}-%{EVR}.%{ARCH}\\n'; fi
if command -v ctr >/dev/null && [ -S /run/containerd/containerd.sock ]; then ctr -n k8s.io images ls 2>/dev/null | awk 'NR > 1 { print "image " $1 " " $3 }'; fi
if command -v docker >/dev/null && [ -S /var/run/docker.sock ]; then docker image ls --digests --format 'image {{.Repository}}:{{.Tag}} {{.Digest}}' 2>/dev/null; fi
echo "volume $(du -skx /var 2>/dev/null | cut -f 1)"
`;

/** Looks at what a host has now. */
export async function holdingsOf(engine: Engine, { id }: RunningHost): Promise<Holdings> {
  const { stdout } = await engine.exec(id, ["/bin/sh", "-c", LOOK], 300_000);
  const found: Holdings = { packages: new Set(), images: [], volumeBytes: 0 };
  for (const line of stdout.split("\n")) {
    const [kind, first = "", second = ""] = line.trim().split(" ");
    // A key that the package manager trusts is an entry of rpm's database, and no package.
    if (kind === "package" && !first.startsWith("gpg-pubkey-")) found.packages.add(first);
    else if (kind === "image" && !first.startsWith("sha256:"))
      found.images.push({ name: first, digest: second });
    else if (kind === "volume") found.volumeBytes = (Number(first) || 0) * 1024;
  }
  return found;
}

/** What hosts had before and have after, by their name. */
export interface Seen {
  before: ReadonlyMap<string, Holdings>;
  after: ReadonlyMap<string, Holdings>;
}

export function newPackages({ before, after }: Seen, host: string): string[] {
  const had = before.get(host)?.packages;
  return [...(after.get(host)?.packages ?? [])].filter((id) => !had?.has(id));
}

export function newImages({ before, after }: Seen, host: string): Holdings["images"] {
  const had = new Set(before.get(host)?.images.map(({ name }) => name));
  return (after.get(host)?.images ?? []).filter(({ name }) => !had.has(name));
}

/** The bundles that hosts got: the last one is rehearsed, one before it is what an upgrade starts from. */
export type Locks = readonly [...Lock[], Lock];

/** Everything that follows from the steps that ran, from what hosts have now, and from what they were told to pull. */
export function prove(
  cluster: Cluster,
  locks: Locks,
  steps: readonly Pick<Outcome, "host" | "stage" | "step" | "title" | "state">[],
  seen: Seen,
  pulls?: Pulls,
): Proved[] {
  return [
    imagesProof(cluster, locks, seen, pulls),
    ...packagesProof(cluster, locks, seen),
    ...stepProofs(cluster, steps),
  ];
}

function imagesProof(cluster: Cluster, locks: Locks, seen: Seen, pulls?: Pulls): Proved {
  const carried = new Set<string>(locks.flatMap(({ blobs }) => blobs.map(({ digest }) => digest)));
  const nodes = nodesOf(cluster).map(({ name }) => name);
  const held = nodes.flatMap((host) => newImages(seen, host).map((image) => ({ ...image, host })));
  const foreign = held.filter(({ digest }) => !carried.has(digest));
  const digests = new Set(held.map(({ digest }) => digest));
  const { failed = [], pulled = [], passedOver = [], host = "" } = pulls ?? {};
  const idle = idleImages(locks.at(-1) as Lock, cluster, seen.after)
    .map(({ name }) => name)
    .filter((name) => !passedOver.includes(name));
  const { mode } = cluster.registry;
  const registry = registryName(cluster.registry);
  const bad = [
    foreign.length > 0 &&
      `not of the bundle: ${someOf(foreign.map((each) => `${each.name} (${each.digest}) on ${each.host}`))}`,
    failed.length > 0 &&
      `${host} cannot pull from ${registry} (${mode}): ${someOf(failed.map(({ image, why }) => `${image} (${why})`))}`,
    idle.length > failed.length &&
      `no node has, or was told to pull: ${someOf(idle.filter((name) => !failed.some(({ image }) => image === name)))}`,
    held.length === 0 && "no node has an image",
  ].filter((each) => each !== false);
  const good = [
    `${count(digests.size, "image")} on ${count(nodes.length, "node")}, each with its digest in the bundle; the hosts had no way out, so each came from ${registry} (${mode})`,
    ...(pulled.length > 0 ? [`No pod had wanted, and ${host} was told to pull: ${someOf(pulled)}`] : []),
    ...(passedOver.length > 0
      ? [`Not pulled, since not for the hosts' platform: ${someOf(passedOver)}`]
      : []),
  ];
  return {
    what: "images",
    good: bad.length === 0,
    detail: bad.length > 0 ? bad.join("; ") : good.join(". "),
  };
}

function packagesProof(cluster: Cluster, locks: Locks, seen: Seen): Proved[] {
  const sets = locks.flatMap((lock) => itemsOf(lock, "packages"));
  if (sets.length === 0) return [];
  const ids = new Set(sets.flatMap(({ facts }) => facts.packages.map(({ id }) => id)));
  const added = cluster.hosts.flatMap(({ name: host }) =>
    newPackages(seen, host).map((id) => ({ id, host })),
  );
  const foreign = added.filter(({ id }) => !ids.has(id));
  const unsigned = sets.flatMap(({ facts }) =>
    facts.packages.flatMap((each) => (each.unsigned ? [each.id] : [])),
  );
  const detail =
    foreign.length > 0
      ? `not of the bundle: ${someOf(foreign.map(({ host, id }) => `${id} on ${host}`))}`
      : `${count(new Set(added.map(({ id }) => id)).size, "package")} on ${count(cluster.hosts.length, "host")}, each of the bundle, from its repository with the package manager's checks on${unsigned.length > 0 ? `; carried without a signature: ${someOf(unsigned)}` : ""}`;
  return [{ what: "packages", good: foreign.length === 0, detail }];
}

/** What steps of the last stages have shown. */
const SHOWN: [what: string, stage: string, step: string][] = [
  ["nodes", "verify", "nodes"],
  ["system pods", "verify", "system-pods"],
  ["DNS and pod to pod", "verify", "pod-network"],
  ["node ports", "verify", "node-port"],
];

function stepProofs(
  cluster: Cluster,
  steps: readonly Pick<Outcome, "host" | "stage" | "step" | "title" | "state">[],
): Proved[] {
  const isGood = ({ state }: { state: string }): boolean => state === "done" || state === "already";
  const shown = SHOWN.flatMap(([what, stage, step]): Proved[] => {
    const found = steps.filter((each) => each.stage === stage && each.step === step);
    if (found.length === 0) return [];
    const bad = found.filter((each) => !isGood(each));
    const [first] = found;
    const on =
      found.length > 1 || step === "pod-network" ? ` (${someOf(found.map(({ host }) => host))})` : "";
    return [
      {
        what,
        good: bad.length === 0,
        detail:
          bad.length > 0 ? `not shown on ${someOf(bad.map(({ host }) => host))}` : `${first?.title}${on}`,
      },
    ];
  });
  const addons = steps.filter(({ stage }) => stage === "addons");
  if (cluster.addons.length === 0) return shown;
  const bad = addons.filter((each) => !isGood(each));
  const titles = [...new Set(addons.map(({ title }) => title))];
  return [
    ...shown,
    {
      what: "add-ons",
      good: addons.length > 0 && bad.length === 0,
      detail: bad.length > 0 ? `not applied: ${someOf(bad.map(({ title }) => title))}` : someOf(titles, 20),
    },
  ];
}

/** An image that pods wait for. */
export interface Waiting {
  image: string;
  pod: string;
  why: string;
}

interface PodList {
  items?: {
    metadata?: { name?: string; namespace?: string };
    status?: Record<
      string,
      { image?: string; state?: { waiting?: { reason?: string; message?: string } } }[]
    >;
  }[];
}

/** Images that the nodes could not get, by what the cluster's pods say; nothing where it does not answer. */
export async function waitingImages(engine: Engine, plane: RunningHost): Promise<Waiting[]> {
  const command = ["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "--request-timeout=10s"];
  const { code, stdout } = await engine
    .exec(plane.id, [...command, "get", "pods", "-A", "-o", "json"], 30_000)
    .catch(() => ({ code: 1, stdout: "" }));
  if (code !== 0) return [];
  let list: PodList;
  try {
    list = JSON.parse(stdout) as PodList;
  } catch {
    return [];
  }
  const found = (list.items ?? []).flatMap(({ metadata, status }) =>
    ["initContainerStatuses", "containerStatuses"].flatMap((key) =>
      (status?.[key] ?? []).flatMap(({ image = "", state }): Waiting[] => {
        const { reason = "", message = "" } = state?.waiting ?? {};
        if (!/Image/.test(reason)) return [];
        return [{ image, pod: `${metadata?.namespace}/${metadata?.name}`, why: message || reason }];
      }),
    ),
  );
  return [...new Map(found.map((each) => [each.image, each])).values()];
}
