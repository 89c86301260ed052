import type { Document } from "yaml";
import type { Addon, Cluster } from "../../cluster/cluster.ts";
import { call } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import type { Context } from "../context.ts";
import { parseManifests } from "../manifest.ts";
import { withDashboardAccess } from "./dashboard.ts";
import { withKubeletAccess } from "./metrics-server.ts";
import { type Applied, applying, manifestOf, onPlanes } from "./network.ts";

/** Add-ons that need more than their own manifest to work on a kubeadm cluster. */
const TUNED: Record<
  string,
  (documents: Document[], cluster: Cluster, namespace: string | undefined) => Document[]
> = {
  dashboard: (documents, _cluster, namespace) => withDashboardAccess(documents, namespace),
  "metrics-server": withKubeletAccess,
};

/** Add-ons are applied in the order of the cluster file; airgap waits until each one runs. */
export function addonsStage(context: Context): Wave[] {
  return [
    onPlanes(
      context,
      context.cluster.addons.map((addon) => addonPart(context, addon)),
    ),
  ];
}

/** A node that has just joined makes a complete DaemonSet incomplete again. */
const settled = ({ cluster, nodes }: Context): string =>
  cluster.network === undefined ? "" : call("let_nodes_settle", ...nodes.map(({ name }) => name));

function addonPart(context: Context, addon: Addon): Applied {
  if ("manifest" in addon) {
    const files = (context.userManifests.files[addon.manifest] ?? []).map((file) =>
      context.images.rewrite(file),
    );
    return applying(nameOf(addon.manifest), parseManifests(files), {
      namespace: undefined,
      before: settled(context),
    });
  }
  const { files, namespace } = manifestOf(context, addon.name, "addons");
  const documents = parseManifests(files);
  const tuned = TUNED[addon.name]?.(documents, context.cluster, namespace) ?? documents;
  return applying(addon.name, tuned, { namespace, before: settled(context) });
}

/** `apps/` → `apps` */
const nameOf = (path: string): string =>
  path
    .replace(/\/+$/, "")
    .replace(/^.*\//, "")
    .replace(/\.(?:ya?ml|json)$/i, "")
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, "-");
