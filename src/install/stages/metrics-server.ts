import { type Document, isSeq } from "yaml";
import type { Cluster } from "../../cluster/cluster.ts";
import { containersOf, textAt, wordsOf } from "../manifest.ts";

const INSECURE = "--kubelet-insecure-tls";
const DECIDED = /^--kubelet-(?:insecure-tls|certificate-authority)(?:=|$)/;

/**
 * kubeadm's kubelets have certificates that they signed themselves, which metrics-server refuses: it
 * would never be ready. It is told to take them, unless the manifest or the cluster file has chosen
 * otherwise.
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
