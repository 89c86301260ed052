import { Args, type Command } from "@oclif/core";
import { BaseCommand } from "../command.ts";

const SHELLS = ["bash", "zsh"];

/** What can follow each command or topic: `images list` → its flags, `images` → its commands. */
function tableOf(commands: Command.Loadable[]): Map<string, string[]> {
  const table = new Map<string, string[]>();
  const add = (key: string, word: string): void =>
    void table.set(key, [...new Set([...(table.get(key) ?? []), word])].toSorted());
  for (const { id, flags } of commands) {
    const words = id.split(":");
    for (const [i, word] of words.entries()) add(words.slice(0, i).join(" "), word);
    for (const name of Object.keys(flags ?? {})) add(words.join(" "), `--${name}`);
    add(words.join(" "), "--help");
    add(words.join(" "), "--json");
  }
  return table;
}

function bashScript(table: Map<string, string[]>): string {
  const cases = [...table]
    .map(([key, words]) => `    ${JSON.stringify(key)}) words=${JSON.stringify(words.join(" "))} ;;`)
    .join("\n");
  return `# bash completion for airgap: airgap completion bash > /etc/bash_completion.d/airgap
_airgap() {
  local cur=\${COMP_WORDS[COMP_CWORD]} key="" word words=""
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in -*) continue ;; esac
    _airgap_words "\${key:+$key }$word"
    if [ -n "$words" ]; then key="\${key:+$key }$word"; else break; fi
  done
  _airgap_words "$key"
  case $cur in
    -*) COMPREPLY=($(compgen -W "$words" -- "$cur")) ;;
    *) COMPREPLY=($(compgen -W "$(printf '%s\\n' $words | grep -v '^-')" -- "$cur") $(compgen -f -- "$cur")) ;;
  esac
}
_airgap_words() {
  words=""
  case $1 in
${cases}
  esac
}
complete -o filenames -F _airgap airgap`;
}

export default class Completion extends BaseCommand<{ shell: string; script: string }> {
  static override summary = "Print a completion script for the shell";
  static override examples = [
    "<%= config.bin %> completion bash > /etc/bash_completion.d/airgap",
    'eval "$(<%= config.bin %> completion zsh)"',
  ];
  static override args = {
    shell: Args.string({ description: "bash or zsh", options: SHELLS, default: "bash" }),
  };

  async run(): Promise<{ shell: string; script: string }> {
    const { args } = await this.parse(Completion);
    const bash = bashScript(tableOf(this.config.commands));
    const script =
      args.shell === "zsh"
        ? `autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n${bash}`
        : bash;
    this.report.document(script);
    return { shell: args.shell, script };
  }
}
