import type { Document } from "yaml";
import { AirgapError } from "../../errors.ts";
import { call } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import { fileStep, type Step } from "../../plan/step.ts";
import { nearest } from "../../schema/nearest.ts";
import { localName, type Manifests } from "../bundle.ts";
import { type Context, wave } from "../context.ts";
import { parseManifests, printManifests, type Workload, workloads } from "../manifest.ts";
import { tuneCalico } from "./calico.ts";
import { tuneFlannel } from "./flannel.ts";

const DIR = "/var/lib/airgap/manifests";

/** The pod network, from the manifest that the bundle has under its name, and the site's names in the cluster's DNS. */
export function networkStage(context: Context): Wave[] {
  return [onPlanes(context, networkParts(context), dnsStep(context))];
}

/** @throws AirgapError `not-closed` when the bundle has nothing of that name */
export function manifestOf({ bundle, images }: Context, name: string, wanted: string): Manifests {
  const found = bundle.manifests[name];
  if (found !== undefined && found.files.length > 0)
    return { ...found, files: found.files.map((file) => images.rewrite(file)) };
  const near = nearest(name, Object.keys(bundle.manifests));
  throw new AirgapError("not-closed", `${wanted}: ${localName(bundle)} has no manifests named ${name}`, {
    suggestions: [
      near ? `did you mean ${near}?` : "name them in the bundle's spec: `manifests: [{ path: …, as: NAME }]`",
    ],
  });
}

function networkParts(context: Context): Applied[] {
  const { network } = context.cluster;
  if (network === undefined) return [];
  const { files, namespace } = manifestOf(context, network.name, "network");
  const documents = parseManifests(files);
  if (network.name.includes("flannel")) tuneFlannel(documents, context);
  else if (network.name.includes("calico")) tuneCalico(documents, context);
  const ready: Step = {
    id: "ready",
    title: "The first node is ready",
    check: call("nodes_are_ready", context.first.name),
    apply: call("kubectl", "wait", "--for=condition=Ready", `node/${context.first.name}`, "--timeout=300s"),
  };
  const { file, steps } = applying(network.name, documents, {
    namespace,
    waits: ({ name }) => name.startsWith("daemonset/"),
  });
  return [{ file, steps: [...steps, ready] }];
}

/** How a manifest is applied to the cluster. */
export interface Applying {
  /** The namespace of objects that do not name one. */
  namespace: string | undefined;
  /** The workloads to wait for. Default: all. */
  waits?: (workload: Workload) => boolean;
  /** Calls that come before. */
  before?: string;
}

/** A manifest that the cluster has: its file on a control plane, and what is done with it. */
export interface Applied {
  file: Step;
  steps: Step[];
}

/**
 * The first control plane applies manifests; the others have the files too, because each of them may be the first in a
 * later run.
 * @param after steps of the first control plane
 */
export function onPlanes(context: Context, parts: readonly Applied[], after: readonly Step[] = []): Wave {
  const others = context.hosts("control-plane").filter(({ name }) => name !== context.first.name);
  const steps = [...parts.flatMap(({ file, steps }) => [file, ...steps]), ...after];
  return [{ host: context.first.name, steps }, ...wave(others, () => parts.map(({ file }) => file))];
}

/** Applies a manifest to the cluster, and waits until its workloads run. */
export function applying(
  name: string,
  documents: Document[],
  { namespace, waits = () => true, before }: Applying,
): Applied {
  const path = `${DIR}/${name}.yaml`;
  const waitFor = workloads(documents, namespace).filter(waits);
  const where = namespace ? [path, namespace] : [path];
  return {
    file: fileStep({
      id: `${name}-file`,
      title: `The manifest of ${name} is on the host`,
      path,
      content: printManifests(documents),
      // Manifests may hold Secrets.
      mode: "600",
      closed: true,
    }),
    steps: [
      {
        id: name,
        title: `${name} runs in the cluster`,
        check: [
          call("manifest_is_applied", ...where),
          ...waitFor.map((each) => call("rolled_out", each.namespace, each.name)),
        ].join("\n"),
        apply: [
          ...(before ? [before] : []),
          call("apply_manifest", ...where),
          ...waitFor.map((each) => call("roll_out", each.namespace, each.name, 300)),
        ].join("\n"),
        timeoutMs: 1_800_000,
      },
    ],
  };
}

/** Names of the site in the cluster's DNS. */
function dnsStep({ cluster }: Context): Step[] {
  const names = Object.entries(cluster.kubernetes.dnsHosts);
  if (names.length === 0) return [];
  const entries = names.map(([name, address]) => `${address} ${name}`);
  return [
    {
      id: "dns-hosts",
      title: `The cluster's DNS knows ${names.map(([name]) => name).join(", ")}`,
      check: call("coredns_knows", ...entries),
      apply: call("tell_coredns", ...entries),
    },
  ];
}
