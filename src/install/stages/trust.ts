import { call } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import { fileStep, type Step } from "../../plan/step.ts";
import { type Context, wave } from "../context.ts";
import type { TrustStore } from "../systems/system.ts";

/** The authority of the server that airgap starts; package managers get this file. */
export const SITE_CA = "/etc/airgap/ca.crt";
/** The authority of the site's registry; container runtimes get this file. */
export const REGISTRY_CA = "/etc/airgap/registry-ca.crt";

interface Authority {
  id: string;
  file: string;
  pem: string;
}

/** Every host trusts the site's authorities. */
export function trustStage(context: Context): Wave[] {
  const { tls, registryCa } = context.secrets;
  const authorities: Authority[] = [
    ...(tls ? [{ id: "ca", file: SITE_CA, pem: tls.ca }] : []),
    ...(registryCa ? [{ id: "registry-ca", file: REGISTRY_CA, pem: registryCa }] : []),
  ];
  const distinct = authorities.filter(
    ({ pem }, i) => authorities.findIndex((other) => other.pem === pem) === i,
  );
  return [
    wave(context.reached, (host) => [
      ...authorities.map((authority) =>
        fileStep({
          id: authority.id,
          title: `${authority.file} is the site's authority`,
          path: authority.file,
          content: authority.pem,
        }),
      ),
      ...distinct.map((authority) =>
        storeStep(authority, context.cluster.name, context.systemOf(host).trust),
      ),
    ]),
  ];
}

/**
 * The system's own store, for curl, git and people. A host without the tool for it does not have a store
 * that programs read; package managers and runtimes get the file itself.
 */
function storeStep(
  { id, pem }: Authority,
  cluster: string,
  { folder, bundle, update, rebuild }: TrustStore,
): Step {
  const file = `${folder}/airgap-${cluster}-${id}.crt`;
  // The last whole line of a certificate is part of its signature: no other certificate has it.
  const line = pem.split("\n").findLast((each) => each.length === 64) ?? "";
  const placed = fileStep({
    id: `${id}-store`,
    title: "The system trusts the site's authority",
    path: file,
    content: pem,
    after: call("update_trust_store", ...update),
  });
  return {
    ...placed,
    check: `${placed.check}\n${call("trust_store_has", update[0], bundle, line)}`,
    undo: call("remove_from_trust_store", file, ...rebuild),
  };
}
