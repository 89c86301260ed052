import { listKubeadmImages } from "./list.ts";

/** The parts of a lock's item that identify kubeadm's images. */
interface NamedItem {
  kind: string;
  name: string;
  wantedBy: string[];
}

const ALWAYS = /\/(?:kube-apiserver|kube-controller-manager|kube-scheduler|pause)[:@][^/]*$/;

const component = (reference: string): string => reference.replace(/[:@][^/]*$/, "").replace(/^.*\//, "");

/**
 * The images that kubeadm needs for the lock's versions, computed again. A configuration may have moved
 * images to another registry or dropped CoreDNS, kube-proxy or etcd. So an image of the same name that
 * the same version asked for is accepted, and only images that every cluster needs are reported.
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
