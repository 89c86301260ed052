import { type Document, isSeq } from "yaml";
import type { Cluster } from "../../cluster/cluster.ts";
import { containersOf, textAt, wordsOf } from "../manifest.ts";

const INSECURE = "--kubelet-insecure-tls";
const DECIDED = /^--kubelet-(?:insecure-tls|certificate-authority)(?:=|$)/;

/**
 * kubeadm's kubelets have self-signed certificates, which metrics-server refuses: it
 * would never be ready. airgap makes it accept them, unless the manifest or the cluster file sets this
 * differently.
 * https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/#kubelet-serving-certs
 */
export function withKubeletAccess(documents: Document[], { kubeadm }: Cluster): Document[] {
  if (kubeadm.KubeletConfiguration?.["serverTLSBootstrap"] === true) return documents;
  for (const document of documents) {
    if (textAt(document, "kind") !== "Deployment") continue;
    for (const container of containersOf(document)) {
      if (!/(?:^|\/)metrics-server[:@]/.test(String(container.get("image")))) continue;
      const words = [wordsOf(container, "command"), wordsOf(container, "args")];
      if (words.some((each) => each?.words.some((word) => DECIDED.test(word)))) continue;
      const args: unknown = container.get("args", true);
      if (isSeq(args)) args.add(INSECURE);
      else container.set("args", [INSECURE]);
    }
  }
  return documents;
}
