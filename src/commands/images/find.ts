import { buffer } from "node:stream/consumers";
import { Flags } from "@oclif/core";
import { BaseCommand, withEnv } from "../../command.ts";
import type { Find, Place } from "../../discovery/images/find.ts";
import { readText } from "../../discovery/manifests/read.ts";
import { searchPaths } from "../../discovery/manifests/search.ts";
import { AirgapError, Exit } from "../../errors.ts";
import { count } from "../../format.ts";
import { run } from "../../host/process.ts";
import { Http } from "../../http.ts";
import { Registries } from "../../transport/registry/registries.ts";

type Shown = Omit<Find, "places"> & { places: Omit<Place, "site">[] };

interface Result {
  /** Certain and likely: what is printed, and what a build carries. */
  images: Shown[];
  /** What could be an image, and OCI artifacts that are none: carried when the spec accepts them. */
  possible: Shown[];
  warnings: string[];
}

const shown = (find: Find): Shown => ({ ...find, places: find.places.map(({ site: _, ...place }) => place) });

/** `kube-flannel.yml:121 DaemonSet/kube-flannel-ds spec.template…` */
function placeOf({ file, line, object, path }: Shown["places"][number]): string {
  return [file === undefined ? "" : line === undefined ? file : `${file}:${line}`, object, path]
    .filter(Boolean)
    .join(" ");
}

export default class ImagesFind extends BaseCommand<Result> {
  static override summary = "Print every image that manifests, charts or kustomizations make a cluster pull";

  static override description =
    "Reads files, folders, URLs, kustomizations and Helm charts (folders, archives, oci://), lists of images, and with - what is piped in: pods, events and nodes of a cluster too. stdout gets the images that are certain or likely, one a line, sorted; what is only possible is told on stderr. --json gives for each place where it is, how the image was named and how sure that is.";

  static override examples = [
    "<%= config.bin %> images find kube-flannel.yml recommended.yaml",
    "<%= config.bin %> images find ./charts/ingress-nginx --values values.yaml --set controller.kind=DaemonSet",
    "<%= config.bin %> images find overlays/site --json",
    "kubectl get pods,events,nodes -A -o json | <%= config.bin %> images find -",
  ];

  static override strict = false;

  static override flags = withEnv({
    values: Flags.string({
      description: "A values file for charts; later ones win",
      multiple: true,
      multipleNonGreedy: true,
      default: [],
    }),
    set: Flags.string({
      description: "key.path=value for charts",
      multiple: true,
      multipleNonGreedy: true,
      default: [],
    }),
    "kubernetes-version": Flags.string({
      description: "The version that charts are rendered for (default: the newest known that they take)",
    }),
  });

  async run(): Promise<Result> {
    const { argv, flags } = await this.parse(ImagesFind);
    const paths = argv.map(String);
    if (paths.length === 0)
      throw new AirgapError("usage", "Name what to look through", {
        suggestions: ["airgap images find kube-flannel.yml"],
      });
    const warnings: string[] = [];
    const http = new Http({ emit: this.emit, retries: 1 });
    const registries = Registries.forUser(run, { emit: this.emit });
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
    if (finds.length + warnings.length === 0)
      this.emit({ type: "note", message: "No image is named there." });
    const off = images.filter(({ behind }) => behind);
    if (off.length > 0)
      report.say(
        `${count(off.length, "image")} of these ${off.length === 1 ? "is" : "are"} behind a switch of a chart's that is off; a build carries only what the values switch on:`,
      );
    for (const { reference, places } of off) report.say(`  ${reference} (${places[0]?.behind})`);
    if (possible.length > 0) report.say("Possibly images; a build carries them where acceptImages says so:");
    for (const { reference, places, artifact } of possible)
      report.say(
        `  ${reference}${artifact ? " (an OCI artifact, no container image)" : ""}: ${places[0] ? placeOf(places[0]) : ""}`,
      );
    return { images, possible, warnings };
  }
}
