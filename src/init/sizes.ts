import type { Answers } from "./answers.ts";

const MIB = 2 ** 20;

/**
 * About how many bytes the bundle will be: kubeadm's images of one platform are some 250 MiB, flannel's 50
 * and calico's 230; packages with all that they need some 350 MiB; airgap itself 65 MiB. Parts that only the
 * spec's author knows are not counted; `airgap build --dry-run` knows exactly.
 */
export function aboutSize({ archs, network, registry, runtime }: Answers): number {
  const images = 250 + (network === "calico" ? 230 : 50);
  const packages = 350 + (runtime === "docker" ? 100 : 0);
  const perArch = images + packages + 65;
  return (perArch * archs.length + (registry === "harbor" ? 700 : 0)) * MIB;
}
