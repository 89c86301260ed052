import { registryName } from "../../cluster/cluster.ts";
import { call, callWithInput } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import { type Step, shortHash } from "../../plan/step.ts";
import type { Context } from "../context.ts";
import { harborWaves } from "./harbor.ts";
import { bundleOnHost, toolOnHost } from "./serve.ts";
import { REGISTRY_CA } from "./trust.ts";

const NOTE = "stamps/registry-images";

/** The registry has every image of the bundle under the name that the cluster pulls: one that others fill is asked for them. */
export function registryStage(context: Context): Wave[] {
  const { registry, repository } = context.cluster;
  if (registry.mode === "harbor") return harborWaves(context);
  return registry.mode === "external" ? [[{ host: repository.host, steps: [imagesStep(context)] }]] : [];
}

/** `airgap push --dry-run` checks each reference, on the host that has the bundle. */
function imagesStep(context: Context): Step {
  const { cluster, secrets, bundle } = context;
  const { registry } = cluster;
  const target = `${registryName(registry)}${registry.prefix ? `/${registry.prefix}` : ""}`;
  const flags = [
    `--layout=${registry.layout}`,
    ...registry.map.map(({ text }) => `--map=${text}`),
    ...(secrets.registryCa ? [`--ca-file=${REGISTRY_CA}`] : []),
    ...(registry.scheme === "http" ? ["--insecure"] : []),
  ];
  const stamp = shortHash(bundle.lockDigest, target, ...flags);
  const auth = Buffer.from(`${registry.user ?? ""}:${secrets.registryPassword ?? ""}`).toString("base64");
  const login =
    registry.user === undefined ? "{}" : JSON.stringify({ auths: { [registryName(registry)]: { auth } } });
  return {
    id: "images",
    title: `${target} has every image of the bundle`,
    check: call("is_noted", NOTE, stamp),
    apply: [
      callWithInput(
        login,
        "registry_has_bundle",
        toolOnHost(context),
        bundleOnHost(context),
        target,
        ...flags,
      ),
      call("note", NOTE, stamp),
    ].join("\n"),
    timeoutMs: 900_000,
  };
}
