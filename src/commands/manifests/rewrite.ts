import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Flags } from "@oclif/core";
import { BaseCommand, withEnv } from "../../command.ts";
import { readText } from "../../discovery/manifests/read.ts";
import { asStream, type RewriteResult, rewritePaths } from "../../discovery/manifests/rewrite.ts";
import { AirgapError, messageOf } from "../../errors.ts";
import { count } from "../../format.ts";
import { run } from "../../host/process.ts";
import { Http } from "../../http.ts";
import { parseLock } from "../../lock/parse.ts";
import { type LandingRules, land, parseTarget } from "../../names/landing.ts";
import { parseMapRule } from "../../names/map-rule.ts";
import { containerdFiles, dockerFiles } from "../../names/runtime-config.ts";
import type { Digest } from "../../oci/digest.ts";
import { parseReference } from "../../oci/reference.ts";
import { storedCredentials } from "../../transport/credentials.ts";
import { Registries } from "../../transport/registry/registries.ts";

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
    const rules: LandingRules = {
      target: parseTarget(flags.target),
      layout: flags.layout,
      map: flags.map.map(parseMapRule),
      siteName: flags["site-name"],
    };
    const http = new Http({ emit: this.emit, retries: 1 });
    const registries = new Registries({ credentials: storedCredentials(run), emit: this.emit });
    try {
      const load = {
        values: await Promise.all(flags.values.map(async (file) => ({ file, text: await readText(file) }))),
        set: flags.set,
        strict: false,
        whole: true,
        reach: {
          baseDir: process.cwd(),
          http: () => http,
          registry: (host: string, repository: string) => registries.source(host, repository),
          emit: this.emit,
          signal: this.signal,
        },
        warn: (message: string) => this.emit({ type: "warning", message }),
        note: (message: string) => this.emit({ type: "note", message }),
      };
      const result = await rewritePaths(argv.map(String), load, async (references) => {
        const digests = flags.digests
          ? await (flags.lock ? lockedDigests(flags.lock) : askedDigests(references, registries, this.signal))
          : undefined;
        return {
          land: (reference) => land(reference, rules),
          digestOf: (reference) => digests?.get(reference),
        };
      });
      if (flags["runtime-config"])
        await this.#writeConfig(flags["runtime-config"], result.upstreams, rules, {
          insecure: flags.insecure,
          caFile: flags["ca-file"],
        });
      this.#tell(result);
      return result;
    } finally {
      await registries.close();
      await http.close();
    }
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

  async #writeConfig(
    folder: string,
    upstreams: string[],
    rules: LandingRules,
    { insecure, caFile }: { insecure: boolean; caFile: string | undefined },
  ): Promise<void> {
    const ca = caFile === undefined ? undefined : await readText(caFile);
    const access = {
      scheme: insecure && ca === undefined ? ("http" as const) : ("https" as const),
      ca,
      insecure,
    };
    const docker = dockerFiles(upstreams, rules, access);
    for (const [path, content] of Object.entries({
      ...containerdFiles(upstreams, rules, access),
      ...docker.files,
    })) {
      const file = join(folder, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, content);
      this.report.say(`Wrote ${file}`);
    }
    if (docker.unserved.length > 0)
      this.emit({
        type: "warning",
        message: `Docker has no mirrors for ${docker.unserved.join(", ")}: with Docker, use the rewritten documents`,
      });
  }
}

async function lockedDigests(file: string): Promise<Map<string, Digest>> {
  const bytes = await readFile(file).catch((cause) => {
    throw new AirgapError("usage", `Cannot read the lock ${file}: ${messageOf(cause)}`, { cause });
  });
  return new Map(
    parseLock(bytes, file)
      .items.filter(({ kind }) => kind === "image")
      .map(({ name, root }) => [name, root.digest]),
  );
}

async function askedDigests(
  references: string[],
  registries: Registries,
  signal: AbortSignal,
): Promise<Map<string, Digest>> {
  const found = new Map<string, Digest>();
  for (const text of references) {
    const { host, repository, tag, digest } = parseReference(text);
    if (digest === undefined && tag !== undefined)
      found.set(text, (await registries.source(host, repository).resolve(tag, signal)).digest);
  }
  return found;
}
