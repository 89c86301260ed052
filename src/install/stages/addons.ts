import type { Context } from "../context.ts";
import { parseManifests, printManifests, workloads } from "../manifest.ts";
import type { Wave } from "../stage.ts";
import type { Step } from "../step.ts";
import { withDashboardAccess } from "./dashboard.ts";
import { applySteps, manifestOf } from "./network.ts";
import { rewriteImages } from "./rewrite.ts";

/** What runs on the cluster from the first day, in the order of the cluster file; each is waited for. */
export function addonsStage(context: Context): Wave[] {
  return [[{ host: context.first.name, steps: context.cluster.addons.flatMap((addon) => addonSteps(context, addon)) }]];
}

function addonSteps(context: Context, addon: Context["cluster"]["addons"][number]): Step[] {
  const [name, files] =
    "name" in addon ? [addon.name, manifestOf(context, addon.name, "addons")] : [nameOf(addon.manifest), context.userManifests[addon.manifest] ?? []];
  const parsed = parseManifests(files);
  rewriteImages(parsed, context);
  const documents = name === "dashboard" ? withDashboardAccess(parsed) : parsed;
  return applySteps(name, printManifests(documents), workloads(documents));
}

/** `apps/` → `apps` */
const nameOf = (path: string): string =>
  path
    .replace(/\/+$/, "")
    .replace(/^.*\//, "")
    .replace(/\.(?:ya?ml|json)$/i, "")
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, "-");
