import { Args, Flags } from "@oclif/core";
import { BaseCommand, withEnv } from "../../command.ts";
import { asStream, type RewriteResult } from "../../discovery/manifests/rewrite.ts";
import { rewriteManifests } from "../../discovery/manifests/rewrite-manifests.ts";
import { AirgapError } from "../../errors.ts";
import { count } from "../../format.ts";
import { readAuthorities } from "../../tls.ts";

export default class ManifestsRewrite extends BaseCommand<RewriteResult> {
  static override summary = "Print the same documents with the image names of the isolated site";

  static override description =
    "Changes only image names; every other byte of a file stays, comments and layout included. Builds kustomizations and renders charts first. --runtime-config also writes files that make rewriting unnecessary: hosts.toml for containerd, daemon.json and certs.d for Docker.";

  static override examples = [
    "<%= config.bin %> manifests rewrite kube-flannel.yml --target harbor.site.local > flannel.site.yml",
    "<%= config.bin %> manifests rewrite recommended.yaml --target harbor.site.local --layout flat --map 'docker.io/kubernetesui/*=dashboard/*'",
    "<%= config.bin %> manifests rewrite deploy.yaml --target harbor.site.local --digests --lock site.lock.json",
    "<%= config.bin %> manifests rewrite deploy.yaml --target harbor.site.local --runtime-config ./etc --ca-file ca.crt",
  ];

  static override strict = false;

  static override args = {
    path: Args.string({ description: "Files, folders, URLs, kustomizations or charts" }),
  };

  static override flags = withEnv({
    target: Flags.string({
      description: "Registry of the isolated site: host[:port][/prefix]",
      required: true,
    }),
    layout: Flags.option({
      description: "Names at the target: upstream host and path, the path only, or the last component only",
      options: ["host", "path", "flat"] as const,
      default: "host",
    })(),
    map: Flags.string({
      description: "Rename before the layout applies; * matches one component, ** any number",
      multiple: true,
      multipleNonGreedy: true,
      default: [],
      helpValue: "FROM=TO",
    }),
    "site-name": Flags.string({
      description: "How the documents name the site's own registry; its images keep their paths",
      helpValue: "HOST",
    }),
    digests: Flags.boolean({ description: "Add digests, from --lock or as the registries answer now" }),
    lock: Flags.string({
      description: "Take the digests from this lock",
      dependsOn: ["digests"],
      helpValue: "FILE",
    }),
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
    "runtime-config": Flags.string({
      description: "Also write the configuration of containerd and Docker below this folder",
      helpValue: "DIR",
    }),
    insecure: Flags.boolean({
      description: "In that configuration: use http, or https without checking the certificate",
    }),
    "ca-file": Flags.string({
      description: "In that configuration: the registry's certificate authority (PEM)",
      helpValue: "FILE",
    }),
  });

  async run(): Promise<RewriteResult> {
    const { argv, flags } = await this.parse(ManifestsRewrite);
    if (argv.length === 0)
      throw new AirgapError("usage", "Nothing to rewrite: name at least one file, folder, URL or chart", {
        suggestions: ["airgap manifests rewrite kube-flannel.yml --target harbor.site.local"],
      });
    const folder = flags["runtime-config"];
    // Clients would take any file, and trust nobody.
    if (flags["ca-file"] !== undefined) readAuthorities(flags["ca-file"]);
    const result = await rewriteManifests({
      paths: argv.map(String),
      values: flags.values,
      set: flags.set,
      target: flags.target,
      layout: flags.layout,
      map: flags.map,
      siteName: flags["site-name"],
      digests: flags.digests,
      lock: flags.lock,
      runtimeConfig: folder ? { folder, insecure: flags.insecure, caFile: flags["ca-file"] } : undefined,
      emit: this.emit,
      signal: this.signal,
    });
    this.#tell(result);
    return result;
  }

  #tell({ files, changes, left }: RewriteResult): void {
    const { report } = this;
    report.document(asStream(files).replace(/\n$/, ""));
    report.say(`${count(changes.length, "image")} renamed`);
    for (const reference of left) {
      this.emit({
        type: "warning",
        message: `${reference} has a location that cannot be rewritten`,
        suggestion: "edit it by hand, or configure the container runtime instead: --runtime-config DIR",
      });
    }
  }
}
