import { Args, Flags } from "@oclif/core";
import { BaseCommand, withEnv } from "../command.ts";
import type { CopyImageResult } from "../copy-image.ts";
import { count, formatBytes } from "../format.ts";
import { copy } from "../site/copy/copy.ts";
import { defaultCacheDir } from "../state/cache.ts";

/** This machine's architecture, as images call it. */
const ARCHITECTURE = ({ x64: "amd64", ia32: "386" } as Record<string, string>)[process.arch] ?? process.arch;
const PLACES =
  "docker://HOST/REPOSITORY:TAG, oci:DIR[:NAME], oci-archive:FILE[:NAME], docker-archive:FILE[:NAME] or docker-daemon:NAME";

export default class Copy extends BaseCommand<CopyImageResult> {
  static override summary = "Copy one image between any two places";
  static override description =
    `Places are ${PLACES}. Digests stay the same; signatures and other attached artifacts are copied too. A Harbor is asked first for what it would refuse. Uses the logins of docker login and podman login.`;
  static override examples = [
    "<%= config.bin %> copy docker://registry.k8s.io/pause:3.9 docker://harbor.site.local/google_containers/pause:3.9",
    "<%= config.bin %> copy --all docker://docker.io/library/nginx:1.27 oci-archive:nginx.tar:nginx:1.27",
    "<%= config.bin %> copy docker-daemon:nginx_web:v0.1 docker://harbor.site.local/superopsmsb/nginx_web:v0.1",
  ];
  static override args = {
    source: Args.string({ description: PLACES, required: true }),
    destination: Args.string({ description: "The same forms", required: true }),
  };
  static override flags = withEnv({
    all: Flags.boolean({ description: "Copy the whole index, with every platform" }),
    platform: Flags.string({
      description: "Copy this platform of an index",
      default: `linux/${ARCHITECTURE}`,
      exclusive: ["all"],
      helpValue: "OS/ARCH",
    }),
    "foreign-layers": Flags.boolean({
      description: "Copy foreign layers too, which their publisher does not let registries distribute",
    }),
    insecure: Flags.boolean({ description: "Allow plain http, and https without a certificate check" }),
    "ca-file": Flags.string({
      description: "PEM file of the authority that signed the registries' certificates",
      helpValue: "FILE",
    }),
  });

  async run(): Promise<CopyImageResult> {
    const { args, flags } = await this.parse(Copy);
    const result = await copy({
      source: args.source,
      destination: args.destination,
      baseDir: process.cwd(),
      all: flags.all,
      platform: flags.platform,
      foreignLayers: flags["foreign-layers"],
      insecure: flags.insecure,
      ...(flags["ca-file"] === undefined ? {} : { caFile: flags["ca-file"] }),
      yes: flags.yes,
      cacheDir: defaultCacheDir(),
      emit: this.emit,
      signal: this.signal,
    });
    this.#tell(result, args.destination);
    return result;
  }

  #tell(
    { digest, totals: { sent, mounted, present }, attached }: CopyImageResult,
    destination: string,
  ): void {
    this.report.end();
    this.report.line(`${destination} ${digest}`);
    const parts = [
      `${count(sent.blobs, "blob")} (${formatBytes(sent.bytes)}) copied`,
      `${mounted.blobs} mounted`,
      `${present.blobs} already there`,
    ];
    if (attached > 0) parts.push(`${count(attached, "attached artifact")}`);
    this.report.say(parts.join(", "));
  }
}
