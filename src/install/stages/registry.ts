import { registryName } from "../../cluster/cluster.ts";
import { here, raw, sh } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import { type Step, shortHash } from "../../plan/step.ts";
import type { Context } from "../context.ts";
import { bundleOnHost, toolOnHost } from "./serve.ts";
import { REGISTRY_CA } from "./trust.ts";

/** A registry that others fill has every image of the bundle under the name by which it will be asked for. */
export function registryStage(context: Context): Wave[] {
  const { registry, repository } = context.cluster;
  return registry.mode === "external" ? [[{ host: repository.host, steps: [imagesStep(context)] }]] : [];
}

/** `airgap push --dry-run` looks at each reference, on the host that has the bundle anyway. */
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
    check: sh`[ "$(cat "$airgap_home/stamps/registry-images" 2>/dev/null)" = ${stamp} ]`,
    apply: sh`
      DOCKER_CONFIG=$(mktemp -d)
      export DOCKER_CONFIG
      trap 'rm -rf "$DOCKER_CONFIG"' EXIT
      cat >"$DOCKER_CONFIG/config.json" ${here(login)}
      found=$(${toolOnHost(context)}/bin/airgap push ${bundleOnHost(context)} ${target} --dry-run --quiet ${flags}) || fail "$found"
      missing=$(printf '%s\n' "$found" | awk '$1 == "would-push" { print $2 }')
      [ -z "$missing" ] || fail ${`the registry does not have, or has something else under these names; airgap push BUNDLE ${target} sends them:`} "$missing"
      ${raw(`stamp registry-images ${stamp}`)}`,
    timeoutMs: 900_000,
  };
}
