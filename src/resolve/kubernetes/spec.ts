/** An entry of `kubernetes:` in the bundle spec. */
export interface KubernetesSpec {
  /** As for kubeadm's `--kubernetes-version`. */
  version: string;
  /** Path of a kubeadm configuration file, relative to the spec. */
  config?: string;
}
