import { Args, type Command } from "@oclif/core";
import { BaseCommand } from "../command.ts";
import { INIT_SYSTEMS } from "../init/systems.ts";
import { CHECKS } from "../install/preflight/finding.ts";
import { STAGE_NAMES } from "../install/stages/index.ts";
import {
  bashCompletion,
  type CompletedCommand,
  type CompletedFlag,
  fishCompletion,
  type Values,
  zshCompletion,
} from "../report/completion.ts";

const SCRIPTS: Record<string, (commands: readonly CompletedCommand[]) => string> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

/** Values of flags and arguments that are not files and have no fixed list of their own. */
const KNOWN: Record<string, Values> = {
  "--only": STAGE_NAMES,
  "--skip": STAGE_NAMES,
  "--ignore-check": Object.keys(CHECKS),
  "--os": INIT_SYSTEMS.map(({ name }) => name),
  "--why": "item",
  item: "item",
  items: "item",
  target: "any",
  destination: "any",
  source: "file",
};

/** Names of values that are not files: `--kubernetes V`. */
const NOT_FILES =
  /^(?:V|NAME(?:,…)?|HOST|ADDRESS|ADDR|SIZE|N|SECONDS|DAYS|RATE|FROM=TO|USER(?:,USER)?|k=v|KEY=VALUE|R|T)$/;

function flagOf([name, flag]: [string, Command.Flag.Cached]): CompletedFlag {
  const base = {
    name,
    ...(flag.char ? { char: flag.char } : {}),
    description: (flag.summary ?? flag.description ?? "").split("\n")[0] ?? "",
  };
  if (flag.type === "boolean") return base;
  const options = "options" in flag && flag.options ? flag.options : undefined;
  const help = typeof flag.helpValue === "string" ? flag.helpValue : "";
  return { ...base, values: KNOWN[`--${name}`] ?? options ?? (NOT_FILES.test(help) ? "any" : "file") };
}

const commandOf = ({ id, summary = "", flags, args }: Command.Loadable): CompletedCommand => ({
  name: id.replaceAll(":", " "),
  summary,
  flags: Object.entries(flags ?? {}).map(flagOf),
  args: Object.values(args ?? {}).map(({ name, options }) => KNOWN[name] ?? options ?? "file"),
});

export default class Completion extends BaseCommand<{ shell: string; script: string }> {
  static override summary = "Print a completion script for the shell";
  static override description =
    "Completes commands, flags and their values: stages, layouts, checks, systems, and the names of a bundle's items.";
  static override examples = [
    "<%= config.bin %> completion bash > /etc/bash_completion.d/airgap",
    'eval "$(<%= config.bin %> completion zsh)"',
    "<%= config.bin %> completion fish > ~/.config/fish/completions/airgap.fish",
  ];
  static override args = {
    shell: Args.string({ description: "bash, zsh or fish", options: Object.keys(SCRIPTS), default: "bash" }),
  };

  async run(): Promise<{ shell: string; script: string }> {
    const { args } = await this.parse(Completion);
    const script = (SCRIPTS[args.shell] ?? bashCompletion)(this.config.commands.map(commandOf));
    this.report.document(script);
    return { shell: args.shell, script };
  }
}
