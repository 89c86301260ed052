import { Flags } from "@oclif/core";
import { BaseCommand, withEnv } from "../../command.ts";
import { type KubeadmList, listKubeadmImages } from "../../kubernetes/list.ts";
import { readKubeadmConfig } from "../../resolve/kubernetes.ts";

export default class ImagesList extends BaseCommand<KubeadmList> {
  static override summary = "Print kubeadm's own image list, without kubeadm and without a network";

  static override description =
    "Prints what `kubeadm config images list` of that version prints, in the same order. v1.28 and stable-1.28 mean the newest known patch.";

  static override examples = [
    "<%= config.bin %> images list --kubernetes-version v1.28.2",
    "<%= config.bin %> images list --kubernetes-version v1.23.9 --image-repository registry.aliyuncs.com/google_containers",
    "<%= config.bin %> images list --config kubeadm.yaml",
  ];

  static override flags = withEnv({
    "kubernetes-version": Flags.string({
      description:
        "Kubernetes version, as kubeadm takes it (default: that of --config, else the newest known)",
    }),
    "image-repository": Flags.string({
      description: "Registry and path to use instead of kubeadm's default",
    }),
    config: Flags.string({ description: "A kubeadm configuration file, v1beta1 to v1beta4" }),
  });

  async run(): Promise<KubeadmList> {
    const { flags } = await this.parse(ImagesList);
    const list = listKubeadmImages({
      ...(flags["kubernetes-version"] ? { version: flags["kubernetes-version"] } : {}),
      ...(flags["image-repository"] ? { imageRepository: flags["image-repository"] } : {}),
      ...(flags.config ? { config: await readKubeadmConfig(flags.config) } : {}),
    });
    for (const message of list.notes) this.emit({ type: "note", message });
    for (const message of list.warnings) this.emit({ type: "warning", message });
    for (const image of list.images) this.report.line(image);
    return list;
  }
}
