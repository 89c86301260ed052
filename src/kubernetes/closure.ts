import { listKubeadmImages } from "./list.ts";

/** What of a lock's item it takes to know kubeadm's images again. */
interface NamedItem {
  kind: string;
  name: string;
  wantedBy: string[];
}

const ALWAYS = /\/(?:kube-apiserver|kube-controller-manager|kube-scheduler|pause)[:@][^/]*$/;

const component = (reference: string): string => reference.replace(/[:@][^/]*$/, "").replace(/^.*\//, "");

/**
 * What kubeadm of the lock's versions asks for, worked out again. A configuration may have moved
 * images to another registry or done without CoreDNS, kube-proxy or etcd, so an image that the same
 * version asked for stands for the one of that name, and only what every cluster needs is missed.
 */
export function kubernetesWants(
  versions: string[],
  items: NamedItem[],
): { reference: string; wantedBy: string[] }[] {
  return versions.flatMap((version) => {
    const wantedBy = `kubernetes ${version}`;
    const own = new Map(
      items
        .filter((item) => item.kind === "image" && item.wantedBy.includes(wantedBy))
        .map(({ name }) => [component(name), name]),
    );
    return listKubeadmImages({ version }).images.flatMap((image) => {
      const reference =
        own.get(component(image)) ?? (ALWAYS.test(image) && !own.has("hyperkube") ? image : undefined);
      return reference === undefined ? [] : [{ reference, wantedBy: [wantedBy] }];
    });
  });
}
