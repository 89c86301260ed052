import { X509Certificate } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { makeCertificate } from "../../../src/pki/certificate.ts";
import type { Host } from "./host.ts";

const PKI = "/etc/kubernetes/pki";
/** A second. */
const SHORT = 1 / 86_400;

/** What kubeadm made, by the authority that signed it. */
const SIGNED: Record<string, string[]> = {
  ca: ["apiserver", "apiserver-kubelet-client"],
  "front-proxy-ca": ["front-proxy-client"],
};
const KUBECONFIGS = ["admin", "controller-manager", "scheduler"];

async function authority(host: Host, name: string) {
  const [cert, key] = [await host.sh(`cat ${PKI}/${name}.crt`), await host.sh(`cat ${PKI}/${name}.key`)];
  const commonName = /CN=(.*)/.exec(new X509Certificate(cert).subject)?.[1] ?? "";
  return { cert, key, name: { commonName } };
}

/** The same certificate, with a new key, that ends in a second. */
async function shortLived(by: Awaited<ReturnType<typeof authority>>, cert: string) {
  const { subject, subjectAltName = "" } = new X509Certificate(cert);
  const part = (name: string): string | undefined => new RegExp(`^${name}=(.*)$`, "m").exec(subject)?.[1];
  const organization = part("O");
  return makeCertificate(by, {
    commonName: part("CN") ?? "",
    ...(organization ? { organization } : {}),
    days: SHORT,
    hosts: [...subjectAltName.matchAll(/(?:DNS|IP Address):([^,]+)/g)].map(([, name = ""]) => name.trim()),
    usage: subjectAltName === "" ? ["client"] : ["server"],
  });
}

/** Lets every certificate of a control plane expire that somebody has to renew, its kubelet's too, and restarts all of it. */
export async function letExpire(host: Host): Promise<void> {
  for (const [name, files] of Object.entries(SIGNED)) {
    const by = await authority(host, name);
    for (const file of files) {
      const { cert, key } = await shortLived(by, await host.sh(`cat ${PKI}/${file}.crt`));
      await host.sh(`cat >${PKI}/${file}.crt`, { input: cert });
      await host.sh(`cat >${PKI}/${file}.key`, { input: key });
    }
  }
  const by = await authority(host, "ca");
  const field = (name: string, file: string): string => `sed -n 's/^ *${name}: *//p' ${file} | base64 -d`;
  for (const name of KUBECONFIGS) {
    const file = `/etc/kubernetes/${name}.conf`;
    const made = await shortLived(by, await host.sh(field("client-certificate-data", file)));
    for (const [what, text] of Object.entries({
      "client-certificate-data": made.cert,
      "client-key-data": made.key,
    }))
      await host.sh(`sed -i 's|^\\( *${what}: *\\).*|\\1${Buffer.from(text).toString("base64")}|' ${file}`);
  }
  const kubelet = "/var/lib/kubelet/pki/kubelet-client-current.pem";
  const { cert, key } = await shortLived(by, await host.sh(`cat ${kubelet}`));
  await host.sh(`cat >/var/lib/kubelet/pki/expired.pem && ln -sfn expired.pem ${kubelet}`, {
    input: `${cert}${key}`,
  });
  await host.sh(
    "systemctl stop kubelet; crictl ps -q | xargs -r crictl stop -t 1 >/dev/null; systemctl start kubelet || true",
  );
  // The last one was made a moment ago.
  await sleep(2000);
}
