import { type Cluster, hostsOf } from "../cluster/cluster.ts";
import { type ConnectOptions, openerFor } from "../cluster/connect.ts";
import { readCluster } from "../cluster/read.ts";
import { AirgapError, isAirgapError } from "../errors.ts";
import type { Emit } from "../events.ts";
import type { Host } from "../host/host.ts";
import { land } from "../names/landing.ts";
import { formatReference, tryParseReference, withDefaultTag } from "../oci/reference.ts";
import { withLibrary } from "../plan/script.ts";
import { joined, Session } from "../plan/session.ts";
import { call } from "../plan/shell.ts";
import { StateDir } from "../plan/state-dir.ts";
import { askJson, at, items, type Json, list, text } from "./ask.ts";
import { landingRules } from "./node-images.ts";
import { BUNDLES, SERVER } from "./stages/serve.ts";

export interface FormerBundlesOptions extends ConnectOptions {
  emit: Emit;
  clusterFile: string;
  dryRun: boolean;
  /** Whether these may go; asked once, after all was shown. */
  sure(bundles: KeptBundle[]): Promise<boolean>;
}

/** A bundle on the host that serves. */
export interface KeptBundle {
  path: string;
  bytes: number;
  /** `served`: the site's bundle; `beside`: it answers for what that one does not have; `former`: nobody gets anything from it. */
  state: "served" | "beside" | "former";
  /** What runs and needs it: images, and nodes at a version that only it has. Empty for one that may go. */
  neededBy: string[];
  removed: boolean;
}

/** What `prune` gives. */
export interface FormerBundlesResult {
  cluster: string;
  host: string;
  bundles: KeptBundle[];
  /** Bytes of what was removed. */
  freed: number;
}

interface Listed extends Omit<KeptBundle, "neededBy" | "removed"> {
  /** Canonical names of images; undefined where the host could not list it. */
  images: ReadonlySet<string> | undefined;
  versions: readonly string[];
}

const UNIT_FILE = `/etc/systemd/system/${SERVER.unit}`;
const WORKLOADS = [
  ...["pods", "replicationcontrollers", "deployments.apps", "daemonsets.apps", "statefulsets.apps"],
  ...["jobs.batch", "cronjobs.batch"],
];

/**
 * Looks which bundles on the serving host are needed by what runs in the cluster, and removes the others when the
 * caller is sure. @throws AirgapError `network`, `refused` when the cluster cannot be asked: then nothing goes
 */
export async function pruneBundles(options: FormerBundlesOptions): Promise<FormerBundlesResult> {
  const { signal } = options;
  const cluster = await readCluster(options.clusterFile);
  const planes = hostsOf(cluster, "control-plane");
  const server = cluster.hosts.find(({ name }) => name === cluster.repository.host);
  if (server === undefined) throw new AirgapError("usage", `${cluster.name} has no host that serves bundles`);
  const open = openerFor(StateDir.open(cluster), options);
  const { session, failures } = await Session.reach([...new Set([server, ...planes])], open);
  try {
    const lost = failures[server.name];
    if (lost) throw joined([lost]);
    const host = session.get(server.name);
    const listed = await listBundles(cluster, host, signal);
    const reached = planes.filter(({ name }) => session.has(name)).map(({ name }) => session.get(name));
    const needs = listed.some(({ state }) => state !== "served") ? await whatRuns(reached, signal) : NOTHING;
    const bundles = judge(listed, needs);
    const result = { cluster: cluster.name, host: server.name, bundles, freed: 0 };
    const going = bundles.filter(({ state, neededBy }) => state !== "served" && neededBy.length === 0);
    if (going.length === 0 || options.dryRun || !(await options.sure(bundles))) return result;
    for (const bundle of going) {
      await must(host, call("forget_bundle", bundle.path, SERVER.unit, UNIT_FILE), signal);
      bundle.removed = true;
      result.freed += bundle.bytes;
    }
    return result;
  } finally {
    await session.close();
  }
}

async function must(host: Host, command: string, signal?: AbortSignal): Promise<string> {
  const { code, stdout, stderr } = await host.run(withLibrary(command), {
    timeoutMs: 300_000,
    ...(signal ? { signal } : {}),
  });
  if (code === 0) return stdout;
  throw new AirgapError("step-failed", `${host.name}: ${stderr.trim() || `it ended with ${code}`}`);
}

async function listBundles(cluster: Cluster, host: Host, signal?: AbortSignal): Promise<Listed[]> {
  const output = await must(host, call("show_bundles", BUNDLES, UNIT_FILE), signal);
  return output
    .split(/^=== /m)
    .slice(1)
    .flatMap((section): Listed[] => {
      const [, path = "", bytes = "", state = "", rest = ""] =
        /^(\S+) (\d+) (served|beside|former)\n([\s\S]*)$/.exec(section) ?? [];
      // It becomes part of a command that removes.
      if (!path.startsWith(`${BUNDLES}/`) || !/^[\w.-]+\.tar$/.test(path.slice(BUNDLES.length + 1)))
        return [];
      const about = parsed(rest);
      const images = about && namesOf(cluster, about);
      return [
        {
          ...{ path, bytes: Number(bytes), state: state as KeptBundle["state"], images },
          versions: stringsOf(at(about, "kubernetes")),
        },
      ];
    });
}

function parsed(output: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(output);
    return Array.isArray(at(value, "items")) ? (value as Json) : undefined;
  } catch {
    return undefined;
  }
}

const stringsOf = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];

/** Names of a bundle's images: upstream, and at the site. */
function namesOf(cluster: Cluster, about: Json): Set<string> {
  const siteName = text(at(about, "siteName"));
  const rules = landingRules(cluster, siteName ? { siteName } : {});
  return new Set(
    list(about, "items").flatMap(({ kind, name }) => {
      const reference = kind === "image" ? tryParseReference(text(name)) : undefined;
      return reference ? [formatReference(reference), formatReference(land(reference, rules))] : [];
    }),
  );
}

interface Needs {
  /** As pods and templates name them. */
  images: string[];
  nodes: { name: string; version: string }[];
}
const NOTHING: Needs = { images: [], nodes: [] };

/** Images of everything that runs or may start, and the versions of nodes. */
async function whatRuns(planes: Host[], signal?: AbortSignal): Promise<Needs> {
  let last: unknown = new AirgapError("network", "No control plane could be reached: nothing is removed");
  for (const plane of planes) {
    try {
      const kinds = WORKLOADS.join(",");
      const all = await askJson(
        plane,
        call("kubectl", "get", kinds, "--all-namespaces", "-o", "json"),
        signal,
      );
      const nodes = await askJson(plane, call("kubectl", "get", "nodes", "-o", "json"), signal);
      return {
        images: [...new Set(items(all).flatMap(imagesIn))],
        nodes: items(nodes).map((node) => ({
          name: text(at(node, "metadata", "name")),
          version: text(at(node, "status", "nodeInfo", "kubeletVersion")),
        })),
      };
    } catch (error) {
      if (!isAirgapError(error)) throw error;
      last = error;
    }
  }
  throw last;
}

/** Every `image:` of containers, wherever the template stands. */
function imagesIn(object: Json): string[] {
  const specs = [
    at(object, "spec"),
    at(object, "spec", "template", "spec"),
    at(object, "spec", "jobTemplate", "spec", "template", "spec"),
  ];
  return specs.flatMap((spec) =>
    ["containers", "initContainers", "ephemeralContainers"].flatMap((key) =>
      list(spec, key).flatMap(({ image }) => text(image) || []),
    ),
  );
}

function judge(listed: Listed[], needs: Needs): KeptBundle[] {
  const served = listed.find(({ state }) => state === "served");
  return listed.map(({ path, bytes, state, images, versions }) => {
    const kept = { path, bytes, state, removed: false };
    if (state === "served") return { ...kept, neededBy: [] };
    if (served?.images === undefined)
      return { ...kept, neededBy: ["the bundle that is served could not be read"] };
    if (images === undefined)
      return { ...kept, neededBy: ["it could not be read, so nobody knows what it has"] };
    const { images: current, versions: own } = served;
    const wanted = needs.images.filter((image) => mayBeIn(image, images) && !current.has(canonical(image)));
    const behind = needs.nodes.filter(({ version }) => versions.includes(version) && !own.includes(version));
    return {
      ...kept,
      neededBy: [...wanted.toSorted(), ...behind.map(({ name, version }) => `${name} is at ${version}`)],
    };
  });
}

function canonical(image: string): string {
  const reference = tryParseReference(image);
  return reference === undefined ? image : formatReference(withDefaultTag(reference));
}

/** Rather one too many than one too few: under whichever name, it ends as that of one of the bundle's. */
function mayBeIn(image: string, names: ReadonlySet<string>): boolean {
  const own = canonical(image);
  const last = own.slice(own.lastIndexOf("/"));
  return names.has(own) || [...names].some((name) => name.endsWith(last));
}

/** For the reader: why a bundle stays. */
export const reasonOf = ({ state, neededBy }: KeptBundle): string =>
  state === "served" ? "served" : neededBy.length > 0 ? `needed by ${neededBy.join(", ")}` : "not needed";
