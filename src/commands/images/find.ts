import { buffer } from "node:stream/consumers";
import { Args, Flags } from "@oclif/core";
import { readLockUnless } from "../../bundle/diff.ts";
import { BaseCommand, withEnv } from "../../command.ts";
import type { Comparison } from "../../discovery/cluster/compare.ts";
import {
  type ClusterImages,
  findImagesInCluster,
  findImagesInKept,
} from "../../discovery/cluster/find-images.ts";
import { describePlace, type FoundImages, findImagesAt } from "../../discovery/manifests/find-images.ts";
import { AirgapError, Exit } from "../../errors.ts";
import { count } from "../../format.ts";
import { run } from "../../host/process.ts";

/** The answer is not whole, or not yes. */
const incomplete = (): void => {
  process.exitCode = Exit.check;
};

export default class ImagesFind extends BaseCommand<FoundImages | ClusterImages> {
  static override summary =
    "Print every image that manifests, charts or kustomizations make a cluster pull, or that a cluster uses";

  static override description =
    "Reads files, folders, URLs, kustomizations and Helm charts (folders, archives, oci://), lists of images and, with -, stdin: also pods, events and nodes of a cluster. Prints certain and likely images on stdout, sorted, one per line, and possible images on stderr. --json gives every location of each image, how it is named there and how sure that is. --cluster asks a running cluster instead, by kubectl: images of pods, of templates that have no pod now, of custom resources and of operators' settings, with the digests that run; --bundle then compares them with a bundle and exits with 3 if it lacks one. With paths, --cluster reads what kubectl get -o json printed, kept in files.";

  static override examples = [
    "<%= config.bin %> images find kube-flannel.yml recommended.yaml",
    "<%= config.bin %> images find ./charts/ingress-nginx --values values.yaml --set controller.kind=DaemonSet",
    "<%= config.bin %> images find overlays/site --json",
    "<%= config.bin %> images find --cluster --bundle site.tar",
    "<%= config.bin %> images find --cluster --context prod --spec > images.yaml",
    "<%= config.bin %> images find --cluster pods.json cronjobs.json --bundle site.tar",
    "kubectl get pods,events,nodes -A -o json | <%= config.bin %> images find -",
  ];

  static override strict = false;

  static override args = {
    path: Args.string({ description: "Files, folders, URLs, kustomizations or charts; - for stdin" }),
  };

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
    cluster: Flags.boolean({
      description:
        "Ask a running cluster, by kubectl with your own login; with PATH: files that kubectl get -o json wrote",
    }),
    context: Flags.string({
      description: "Context of your kubeconfig (default: its current one)",
      dependsOn: ["cluster"],
    }),
    namespace: Flags.string({
      description: "Only this namespace (default: the whole cluster)",
      dependsOn: ["cluster"],
    }),
    bundle: Flags.string({
      description:
        "Compare with this bundle or lock: what is missing, what has another digest, what is unused",
      dependsOn: ["cluster"],
    }),
    spec: Flags.boolean({
      description: "Print an `images:` list for a spec",
      dependsOn: ["cluster"],
      exclusive: ["bundle"],
    }),
  });

  async run(): Promise<FoundImages | ClusterImages> {
    const { argv, flags } = await this.parse(ImagesFind);
    if (flags.cluster) return this.#inCluster(argv.map(String), flags);
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
      incomplete,
      emit: this.emit,
      signal: this.signal,
    });
    this.#tell(found);
    return found;
  }

  async #inCluster(
    paths: string[],
    {
      context,
      namespace,
      bundle,
      spec,
    }: {
      context?: string | undefined;
      namespace?: string | undefined;
      bundle?: string | undefined;
      spec: boolean;
    },
  ): Promise<ClusterImages> {
    if (paths.length > 0 && (context !== undefined || namespace !== undefined))
      throw new AirgapError("usage", "--context and --namespace are for a running cluster, not for files", {
        suggestions: ["leave them out, or leave the paths out"],
      });
    const lock = bundle === undefined ? undefined : await readLockUnless(this.signal, bundle);
    const common = { lock, incomplete };
    const found =
      paths.length > 0
        ? await findImagesInKept({ ...common, paths, stdin: () => buffer(process.stdin) })
        : await findImagesInCluster({
            ...{ ...common, run, context, namespace },
            emit: this.emit,
            signal: this.signal,
          });
    this.report.end();
    if (found.comparison) this.#compared(found, found.comparison, bundle ?? "");
    else this.#tell(found, spec);
    return found;
  }

  #compared({ images, warnings }: ClusterImages, comparison: Comparison, bundle: string): void {
    const { report } = this;
    const { carried, missing, differs, unused } = comparison;
    const seen = (reference: string): string => {
      const [first, ...more] = images.find((image) => image.reference === reference)?.places ?? [];
      return `${first ? describePlace(first) : ""}${more.length > 0 ? ` and ${count(more.length, "other place")}` : ""}`;
    };
    for (const reference of missing) report.line(`missing  ${reference}  ${seen(reference)}`);
    for (const { reference, runs, carries } of differs)
      report.line(`differs  ${reference}  runs ${runs.join(", ")}; ${bundle} has ${carries}`);
    for (const reference of unused) report.line(`unused   ${reference}`);
    for (const message of warnings) this.emit({ type: "warning", message });
    report.say(
      `${bundle} has ${carried.length + differs.length} of the ${count(images.length, "image")} that the cluster uses${differs.length > 0 ? `, ${differs.length} with another digest` : ""}; ${missing.length} missing, ${unused.length} unused`,
    );
    if (missing.length > 0) incomplete();
  }

  #tell({ images, possible, warnings }: FoundImages, spec = false): void {
    const { report } = this;
    if (spec) report.line("images:");
    for (const { reference } of images) report.line(spec ? `  - ${reference}` : reference);
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
