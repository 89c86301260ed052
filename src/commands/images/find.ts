import { buffer } from "node:stream/consumers";
import { Flags } from "@oclif/core";
import { BaseCommand, withEnv } from "../../command.ts";
import { describePlace, type FoundImages, findImagesAt } from "../../discovery/manifests/find-images.ts";
import { AirgapError, Exit } from "../../errors.ts";
import { count } from "../../format.ts";

export default class ImagesFind extends BaseCommand<FoundImages> {
  static override summary = "Print every image that manifests, charts or kustomizations make a cluster pull";

  static override description =
    "Reads files, folders, URLs, kustomizations and Helm charts (folders, archives, oci://), lists of images and, with -, stdin: also pods, events and nodes of a cluster. Prints certain and likely images on stdout, sorted, one per line, and possible images on stderr. --json gives every location of each image, how it is named there and how sure that is.";

  static override examples = [
    "<%= config.bin %> images find kube-flannel.yml recommended.yaml",
    "<%= config.bin %> images find ./charts/ingress-nginx --values values.yaml --set controller.kind=DaemonSet",
    "<%= config.bin %> images find overlays/site --json",
    "kubectl get pods,events,nodes -A -o json | <%= config.bin %> images find -",
  ];

  static override strict = false;

  static override flags = withEnv({
    values: Flags.string({
      description: "A values file for charts; later files override earlier ones",
      multiple: true,
      multipleNonGreedy: true,
      default: [],
    }),
    set: Flags.string({
      description: "Set a value for charts: key.path=value",
      multiple: true,
      multipleNonGreedy: true,
      default: [],
    }),
    "kubernetes-version": Flags.string({
      description:
        "Kubernetes version to render charts for (default: the newest known version that the chart accepts)",
    }),
  });

  async run(): Promise<FoundImages> {
    const { argv, flags } = await this.parse(ImagesFind);
    if (argv.length === 0)
      throw new AirgapError("usage", "Nothing to search: name at least one file, folder, URL or chart", {
        suggestions: ["airgap images find kube-flannel.yml"],
      });
    const found = await findImagesAt({
      paths: argv.map(String),
      values: flags.values,
      set: flags.set,
      kubeVersion: flags["kubernetes-version"],
      stdin: () => buffer(process.stdin),
      incomplete: () => {
        process.exitCode = Exit.check;
      },
      emit: this.emit,
      signal: this.signal,
    });
    this.#tell(found);
    return found;
  }

  #tell({ images, possible, warnings }: FoundImages): void {
    const { report } = this;
    for (const { reference } of images) report.line(reference);
    for (const message of warnings) this.emit({ type: "warning", message });
    if (images.length + possible.length + warnings.length === 0)
      this.emit({ type: "note", message: "No images found." });
    const off = images.filter(({ behind }) => behind);
    if (off.length > 0)
      report.say(
        `${count(off.length, "image")} of these ${off.length === 1 ? "is" : "are"} used only when a chart value is switched on that is off now; a build carries only what the values switch on:`,
      );
    for (const { reference, places } of off) report.say(`  ${reference} (${places[0]?.behind})`);
    if (possible.length > 0)
      report.say("Possible images; a build carries them only if acceptImages lists them:");
    for (const { reference, places, artifact } of possible)
      report.say(
        `  ${reference}${artifact ? " (an OCI artifact, not a container image)" : ""}: ${places[0] ? describePlace(places[0]) : ""}`,
      );
  }
}
