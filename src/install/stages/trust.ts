import { raw, sh } from "../../plan/shell.ts";
import type { Wave } from "../../plan/stage.ts";
import { fileStep, type Step } from "../../plan/step.ts";
import { type Context, familyOf, wave } from "../context.ts";

/** The authority of the server that we start; package managers are told this file. */
export const SITE_CA = "/etc/airgap/ca.crt";
/** The authority of the site's registry; runtimes are told this file. */
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
    wave(context.cluster.hosts, (host) => [
      ...authorities.map((authority) =>
        fileStep({
          id: authority.id,
          title: `${authority.file} is the site's authority`,
          path: authority.file,
          content: authority.pem,
        }),
      ),
      ...distinct.map((authority) =>
        storeStep(authority, context.cluster.name, familyOf(context.factsOf(host))),
      ),
    ]),
  ];
}

/**
 * The system's own store, for curl, git and people. A host without the tool for it has no store
 * that programs would look at; package managers and runtimes are told the file itself.
 */
function storeStep({ id, pem }: Authority, cluster: string, family: "deb" | "rpm" | undefined): Step {
  const deb = family === "deb";
  const file = deb
    ? `/usr/local/share/ca-certificates/airgap-${cluster}-${id}.crt`
    : `/etc/pki/ca-trust/source/anchors/airgap-${cluster}-${id}.crt`;
  const tool = deb ? "update-ca-certificates" : "update-ca-trust";
  // Links of certificates that are gone are cleared away only when all are made anew.
  const anew = deb ? `${tool} --fresh` : tool;
  const bundle = deb ? "/etc/ssl/certs/ca-certificates.crt" : "/etc/pki/tls/certs/ca-bundle.crt";
  // A whole line of a certificate's end, where its signature is, is nobody else's.
  const line = pem.split("\n").findLast((each) => each.length === 64) ?? "";
  const placed = fileStep({
    id: `${id}-store`,
    title: "The system trusts the site's authority",
    path: file,
    content: pem,
    after: sh`if have ${tool}; then ${tool}; fi`,
  });
  return {
    ...placed,
    check: `${placed.check}\n${sh`! have ${tool} || grep -qF ${line} ${bundle} || fail "the system's bundle does not have it"`}`,
    undo: sh`
      rm -f ${file}
      if have ${tool}; then ${raw(anew)}; fi`,
  };
}
