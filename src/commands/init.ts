import { Args, Flags } from "@oclif/core";
import { clusterSchema } from "../cluster/schema.ts";
import { BaseCommand, withEnv } from "../command.ts";
import { AirgapError } from "../errors.ts";
import { formatBytes } from "../format.ts";
import { type Answers, REGISTRIES, RUNTIMES, systemNamed, versionNamed } from "../init/answers.ts";
import { readHosts, sampleHosts } from "../init/hosts-file.ts";
import { NETWORKS } from "../init/networks.ts";
import { type Arch, INIT_SYSTEMS } from "../init/systems.ts";
import { type InitResult, writeSite } from "../init/write.ts";
import { bundleSchema } from "../lock/spec.ts";

const ARCHS = ["amd64", "arm64"] as const;
const PLANES = ["1", "3"] as const;

export default class Init extends BaseCommand<InitResult> {
  static override summary = "Write a spec and a cluster file that work";
  static override description =
    "Asks a few questions and writes DIR/site.yaml and DIR/cluster.yaml, with comments. Flags answer questions beforehand; --yes takes the default for all others. Overwrites nothing.";
  static override examples = [
    "<%= config.bin %> init mysite",
    "<%= config.bin %> init mysite --os debian-12 --network calico --hosts hosts.txt --yes",
    "<%= config.bin %> init mysite --os el7 --runtime docker --mirrors china --yes",
  ];
  static override args = {
    dir: Args.string({ description: "The folder to write into", default: "." }),
  };
  static override flags = withEnv({
    os: Flags.string({
      description: `System of the hosts: ${INIT_SYSTEMS.map(({ name }) => name).join(", ")}`,
      helpValue: "NAME",
    }),
    arch: Flags.string({
      description: "Architecture of the hosts; give it twice for both",
      options: ARCHS,
      multiple: true,
    }),
    kubernetes: Flags.string({
      description: "Version: v1.34.4, or 1.34 for its newest patch",
      helpValue: "V",
    }),
    runtime: Flags.string({ description: "Container runtime", options: RUNTIMES }),
    network: Flags.string({ description: "Pod network", options: NETWORKS }),
    registry: Flags.string({
      description: "serve: airgap is the registry; harbor: airgap installs it; external: your own",
      options: REGISTRIES,
    }),
    "registry-host": Flags.string({
      description: "Name of the site's registry (default: register.site.local)",
      helpValue: "HOST",
    }),
    "control-planes": Flags.string({ description: "How many, without --hosts", options: PLANES }),
    endpoint: Flags.string({
      description: "Address that several control planes share (default: 10.0.0.200)",
      helpValue: "ADDRESS",
    }),
    hosts: Flags.string({
      description: "A file with a line for each host: NAME ADDRESS ROLE[,ROLE]",
      helpValue: "FILE",
    }),
    mirrors: Flags.string({ description: "Use mirrors in this country", options: ["china"] }),
  });

  async run(): Promise<InitResult> {
    const { args, flags } = await this.parse(Init);
    const ask = new Questions(this.#mode(flags.yes));
    const os = await ask.choose(
      "System of the hosts",
      flags.os,
      INIT_SYSTEMS.map(({ name, title }) => ({ value: name, name: title })),
    );
    const system = systemNamed(os);
    const archs = flags.arch ?? [
      await ask.choose(
        "Architecture",
        undefined,
        ARCHS.map((value) => ({ value, name: value })),
      ),
    ];
    const version = await ask.type("Kubernetes", flags.kubernetes, system.kubernetes);
    const runtime = await ask.choose("Container runtime", flags.runtime, plain(RUNTIMES));
    const network = await ask.choose("Pod network", flags.network, plain(NETWORKS));
    const registry = await ask.choose("Registry", flags.registry, [
      { value: "serve", name: "serve: airgap serves images and packages straight from the bundle" },
      { value: "harbor", name: "harbor: airgap installs Harbor from the bundle" },
      { value: "external", name: "external: a registry of your own" },
    ]);
    const listed = flags.hosts === undefined ? undefined : readHosts(flags.hosts);
    const planes =
      listed === undefined
        ? await ask.choose("Control planes", flags["control-planes"], [
            { value: "1", name: "one" },
            { value: "3", name: "three, behind two load balancers" },
          ])
        : undefined;
    const mirrors = await ask.choose("Mirrors", flags.mirrors, [
      { value: "", name: "none: pull from the registries themselves" },
      { value: "china", name: "china" },
    ]);
    const hosts = listed ?? sampleHosts(Number(planes), registry !== "external");
    const several = hosts.filter(({ roles }) => roles.includes("control-plane")).length > 1;
    const answers: Answers = {
      name: "site",
      system,
      archs: [...new Set(archs as Arch[])],
      kubernetes: versionNamed(version),
      runtime: runtime as Answers["runtime"],
      network: network as Answers["network"],
      registry: registry as Answers["registry"],
      registryHost: flags["registry-host"] ?? "register.site.local",
      china: mirrors === "china",
      hosts,
      ...(several ? { endpoint: flags.endpoint ?? "10.0.0.200" } : {}),
    };
    const result = writeSite(args.dir, answers, {
      bundle: bundleSchema.json(),
      cluster: clusterSchema.json(),
    });
    this.#tell(result, flags.hosts === undefined);
    return result;
  }

  /** Without a terminal there is nobody to ask. */
  #mode(yes: boolean): "ask" | "defaults" {
    if (yes) return "defaults";
    if (process.stdin.isTTY && process.stderr.isTTY && !this.jsonEnabled()) return "ask";
    throw new AirgapError("usage", "airgap init has questions, and there is no terminal to ask them", {
      suggestions: ["add --yes, and --os, --kubernetes, … for what should not be the default"],
    });
  }

  #tell({ spec, cluster, aboutBytes, next }: InitResult, sample: boolean): void {
    const { report } = this;
    report.line(`${spec}: what the bundle carries, about ${formatBytes(aboutBytes)}`);
    report.line(`${cluster}: the hosts and the cluster`);
    report.say(
      `Next:${sample ? `\n  edit ${cluster}: names and addresses of your hosts` : ""}\n${next.map((line) => `  ${line}`).join("\n")}`,
    );
  }
}

const plain = (words: readonly string[]): Choice[] => words.map((value) => ({ value, name: value }));

interface Choice {
  value: string;
  name: string;
}

/** Asks what no flag has answered; the first choice is the default. */
class Questions {
  readonly #mode: "ask" | "defaults";

  constructor(mode: "ask" | "defaults") {
    this.#mode = mode;
  }

  async choose(message: string, given: string | undefined, choices: Choice[]): Promise<string> {
    if (given !== undefined) return given;
    const [first] = choices;
    if (this.#mode === "defaults") return first?.value ?? "";
    const { select } = await import("@inquirer/prompts");
    return asked(select({ message, choices }, { output: process.stderr }));
  }

  async type(message: string, given: string | undefined, proposed: string): Promise<string> {
    if (given !== undefined) return given;
    if (this.#mode === "defaults") return proposed;
    const { input } = await import("@inquirer/prompts");
    return asked(input({ message, default: proposed }, { output: process.stderr }));
  }
}

/** Ctrl-C in a question: nothing was written yet. */
async function asked(answer: Promise<string>): Promise<string> {
  try {
    return await answer;
  } catch (cause) {
    if (cause instanceof Error && cause.name === "ExitPromptError")
      throw new AirgapError("interrupted", "Cancelled: nothing was written", { cause });
    throw cause;
  }
}
