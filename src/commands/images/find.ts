import { buffer } from "node:stream/consumers";
import { Flags } from "@oclif/core";
import { BaseCommand, withEnv } from "../../command.ts";
import type { Find, Mention } from "../../discovery/images/find.ts";
import { readText } from "../../discovery/manifests/read.ts";
import { searchPaths } from "../../discovery/manifests/search.ts";
import { AirgapError, Exit } from "../../errors.ts";
import { count } from "../../format.ts";
import { run } from "../../host/process.ts";
import { Http } from "../../http.ts";
import { storedCredentials } from "../../transport/credentials.ts";
import { Registries } from "../../transport/registry/registries.ts";

type Shown = Omit<Find, "places"> & { places: Omit<Mention, "spans">[] };

interface Result {
  /** Certain and likely: what is printed, and what a build carries. */
  images: Shown[];
  /** Possible images, and OCI artifacts that are not container images: carried when the spec accepts them. */
  possible: Shown[];
  warnings: string[];
}

const shown = (find: Find): Shown => ({
  ...find,
  places: find.places.map(({ spans: _, ...place }) => place),
});

/** `kube-flannel.yml:121 DaemonSet/kube-flannel-ds spec.template…` */
function placeOf({ file, line, object, path }: Shown["places"][number]): string {
  return [file === undefined ? "" : line === undefined ? file : `${file}:${line}`, object, path]
    .filter(Boolean)
    .join(" ");
}

export default class ImagesFind extends BaseCommand<Result> {
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

  async run(): Promise<Result> {
    const { argv, flags } = await this.parse(ImagesFind);
    const paths = argv.map(String);
    if (paths.length === 0)
      throw new AirgapError("usage", "Nothing to search: name at least one file, folder, URL or chart", {
        suggestions: ["airgap images find kube-flannel.yml"],
      });
    const warnings: string[] = [];
    const http = new Http({ emit: this.emit, retries: 1 });
    const registries = new Registries({ credentials: storedCredentials(run), emit: this.emit });
    try {
      const { finds } = await searchPaths(paths, {
        values: await Promise.all(flags.values.map(async (file) => ({ file, text: await readText(file) }))),
        set: flags.set,
        strict: false,
        whole: false,
        kubeVersion: flags["kubernetes-version"],
        reach: {
          baseDir: process.cwd(),
          http: () => http,
          registry: (host, repository) => registries.source(host, repository),
          emit: this.emit,
          signal: this.signal,
        },
        incomplete: () => {
          process.exitCode = Exit.check;
        },
        stdin: () => buffer(process.stdin),
        warn: (message) => warnings.push(message),
        note: (message) => this.emit({ type: "note", message }),
      });
      return this.#tell(finds.map(shown), warnings);
    } finally {
      await registries.close();
      await http.close();
    }
  }

  #tell(finds: Shown[], warnings: string[]): Result {
    const isCarried = ({ confidence, artifact }: Shown): boolean => confidence !== "possible" && !artifact;
    const [images, possible] = [finds.filter(isCarried), finds.filter((find) => !isCarried(find))];
    const { report } = this;
    for (const { reference } of images) report.line(reference);
    for (const message of warnings) this.emit({ type: "warning", message });
    if (finds.length + warnings.length === 0) this.emit({ type: "note", message: "No images found." });
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
        `  ${reference}${artifact ? " (an OCI artifact, not a container image)" : ""}: ${places[0] ? placeOf(places[0]) : ""}`,
      );
    return { images, possible, warnings };
  }
}
