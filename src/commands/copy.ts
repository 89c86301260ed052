import { Args, Flags } from "@oclif/core";
import { BaseCommand, withEnv } from "../command.ts";
import { type CopyImageResult, copyImage } from "../copy-image.ts";
import { count, formatBytes } from "../format.ts";
import { run } from "../host/process.ts";
import { parsePlatform } from "../oci/platform.ts";
import { findAttached } from "../resolve/images/attached.ts";
import { defaultCacheDir } from "../state/cache.ts";
import { storedCredentials } from "../transport/credentials.ts";
import { openPlace, openTarget, parsePlace } from "../transport/open.ts";
import { Registries } from "../transport/registry/registries.ts";

/** This machine's architecture, as images call it. */
const ARCHITECTURE = ({ x64: "amd64", ia32: "386" } as Record<string, string>)[process.arch] ?? process.arch;
/** What can hold signatures and other things that speak of an image. */
const HOLDS_ATTACHED: readonly string[] = ["docker", "oci", "oci-archive"];
const PLACES =
  "docker://HOST/REPOSITORY:TAG, oci:DIR[:NAME], oci-archive:FILE[:NAME], docker-archive:FILE[:NAME] or docker-daemon:NAME";

export default class Copy extends BaseCommand<CopyImageResult> {
  static override summary = "Copy one image between any two places";
  static override description =
    `Places are ${PLACES}. Digests stay as they are, and signatures and other attached artifacts come along. Credentials are those of docker login or podman login.`;
  static override examples = [
    "<%= config.bin %> copy docker://registry.k8s.io/pause:3.9 docker://harbor.site.local/google_containers/pause:3.9",
    "<%= config.bin %> copy --all docker://docker.io/library/nginx:1.27 oci-archive:nginx.tar:nginx:1.27",
    "<%= config.bin %> copy docker-daemon:nginx_web:v0.1 docker://harbor.site.local/superopsmsb/nginx_web:v0.1",
  ];
  static override args = {
    source: Args.string({ description: PLACES, required: true }),
    destination: Args.string({ description: "Likewise", required: true }),
  };
  static override flags = withEnv({
    all: Flags.boolean({ description: "Of an index all platforms, as it is" }),
    platform: Flags.string({
      description: "Of an index this platform",
      default: `linux/${ARCHITECTURE}`,
      exclusive: ["all"],
      helpValue: "OS/ARCH",
    }),
    "foreign-layers": Flags.boolean({
      description: "Copy layers that their publisher does not let registries distribute",
    }),
    insecure: Flags.boolean({ description: "Plain http, or https without a certificate check" }),
    "ca-file": Flags.string({
      description: "PEM file of the authority that signed the registries' certificates",
      helpValue: "FILE",
    }),
  });

  async run(): Promise<CopyImageResult> {
    const { args, flags } = await this.parse(Copy);
    const from = parsePlace(args.source, process.cwd());
    const to = parsePlace(args.destination, process.cwd());
    const platform = parsePlatform(flags.platform);
    const trust = {
      insecure: flags.insecure,
      ...(flags["ca-file"] ? { caFile: flags["ca-file"] } : {}),
    };
    const registries = new Registries({
      trust: () => trust,
      credentials: storedCredentials(run),
      emit: this.emit,
    });
    const options = {
      registries,
      cacheDir: defaultCacheDir(),
      emit: this.emit,
      signal: this.signal,
      foreignLayers: flags["foreign-layers"],
    };
    try {
      const { source, reference } = await openPlace(from, options);
      const { destination, tags } = openTarget(to, options);
      try {
        const result = await copyImage({
          ...options,
          source,
          reference,
          destination,
          tags,
          ...(from.kind === "docker" && to.kind === "docker" && from.reference.host === to.reference.host
            ? { mountFrom: registries.destination(from.reference.host, from.reference.repository) }
            : {}),
          ...(to.kind === "docker" && to.reference.digest ? { expect: to.reference.digest } : {}),
          all: flags.all,
          platform,
          ...(HOLDS_ATTACHED.includes(to.kind) ? { findAttached } : {}),
        });
        await destination.close?.();
        this.#tell(result, args.destination);
        return result;
      } catch (error) {
        await destination.close?.().catch(() => {});
        throw error;
      } finally {
        await source.close?.();
      }
    } finally {
      await registries.close();
    }
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
      `${present.blobs} there already`,
    ];
    if (attached > 0) parts.push(`${count(attached, "attached artifact")} along with it`);
    this.report.say(parts.join(", "));
  }
}
