import { Args, Flags } from "@oclif/core";
import { bundleFlags, openingOf } from "../bundle-flags.ts";
import { BaseCommand, withEnv } from "../command.ts";
import { type ServeResult, serve } from "../site/serve/serve.ts";

export default class Serve extends BaseCommand<ServeResult> {
  static override summary = "Serve bundles as a registry, and as a package and file server";
  static override description =
    "Reads bundles in place, without unpacking. Images answer under every upstream name (containerd's ?ns=) and under the paths of the host layout; the site's own images answer under their plain names. With --store it takes pushes too; without bundles it is an empty registry.";
  static override examples = [
    "<%= config.bin %> serve site.tar",
    "<%= config.bin %> serve site.tar --listen 0.0.0.0:443 --self-signed --store /srv/registry --htpasswd users --writers ci",
    "<%= config.bin %> serve --store ./registry",
  ];
  static override strict = false;
  static override args = { bundle: Args.string({ description: "One or more bundles" }) };
  static override flags = withEnv({
    ...bundleFlags,
    listen: Flags.string({
      description: "Address and port; 0.0.0.0:5000 for all interfaces",
      default: "127.0.0.1:5000",
      helpValue: "ADDR",
    }),
    fallback: Flags.string({
      description:
        "A bundle that answers only for what the others do not have: an older one beside its successor",
      helpValue: "B",
      multiple: true,
      multipleNonGreedy: true,
    }),
    store: Flags.string({ description: "Directory for what is pushed", helpValue: "DIR" }),
    "collect-untagged": Flags.boolean({
      description: "Remove manifests from the store that no tag leads to, a day after they were pushed",
      dependsOn: ["store"],
    }),
    "tls-cert": Flags.string({
      description: "PEM file with the certificate and its chain",
      helpValue: "FILE",
      dependsOn: ["tls-key"],
    }),
    "tls-key": Flags.string({
      description: "PEM file with the key",
      helpValue: "FILE",
      dependsOn: ["tls-cert"],
    }),
    "self-signed": Flags.boolean({
      description: "Make a certificate and an authority for it; both are kept",
      exclusive: ["tls-cert"],
    }),
    "tls-name": Flags.string({
      description: "Additional host name or address in the self-signed certificate",
      helpValue: "NAME",
      multiple: true,
      multipleNonGreedy: true,
      dependsOn: ["self-signed"],
    }),
    htpasswd: Flags.string({
      description: "Ask for a login of this file (bcrypt, as htpasswd -B writes it); its users may pull",
      helpValue: "FILE",
    }),
    writers: Flags.string({
      description: "Users of --htpasswd who may push and delete, separated by commas",
      helpValue: "USERS",
      dependsOn: ["store", "htpasswd"],
    }),
    "anonymous-writes": Flags.boolean({
      description: "Let everybody push and delete, also from the network",
      dependsOn: ["store"],
      exclusive: ["htpasswd"],
    }),
    "access-log": Flags.string({
      description: "File for a JSON line per request (default: stderr)",
      helpValue: "FILE",
    }),
  });

  async run(): Promise<ServeResult> {
    const { argv, flags } = await this.parse(Serve);
    return serve({
      bundles: argv as string[],
      ...(flags.fallback ? { fallback: flags.fallback } : {}),
      opening: openingOf(flags, this.emit),
      listen: flags.listen,
      ...(flags.store ? { store: flags.store } : {}),
      ...(flags["tls-cert"] && flags["tls-key"]
        ? { tlsFiles: { cert: flags["tls-cert"], key: flags["tls-key"] } }
        : {}),
      selfSigned: flags["self-signed"],
      tlsNames: flags["tls-name"] ?? [],
      ...(flags.htpasswd ? { htpasswd: flags.htpasswd } : {}),
      ...(flags.writers === undefined
        ? {}
        : { writers: flags.writers.split(",").map((name) => name.trim()) }),
      collectUntagged: flags["collect-untagged"],
      anonymousWrites: flags["anonymous-writes"],
      ...(flags["access-log"] ? { accessLog: flags["access-log"] } : {}),
      say: (line) => this.report.say(line),
      line: (text) => this.report.document(text),
      emit: this.emit,
      signal: this.signal,
    });
  }
}
