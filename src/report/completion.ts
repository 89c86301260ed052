/** A flag as shells complete it. */
export interface CompletedFlag {
  name: string;
  char?: string;
  description: string;
  /** Absent for flags without a value. */
  values?: Values;
}

/** What can be typed: one of these words, a file, the name of an item of the bundle, or nothing that is known. */
export type Values = readonly string[] | "file" | "item" | "any";

export interface CompletedCommand {
  /** `images list` */
  name: string;
  summary: string;
  flags: CompletedFlag[];
  /** What its arguments can be. */
  args: Values[];
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const marked = (values: Values): string => (typeof values === "string" ? `@${values}` : values.join(" "));

/** Words below each command or topic: `images` → `find list`. */
function below(commands: readonly CompletedCommand[]): Map<string, string[]> {
  const table = new Map<string, string[]>();
  for (const { name } of commands) {
    const words = name.split(" ");
    for (const [i, word] of words.entries()) {
      const key = words.slice(0, i).join(" ");
      table.set(key, [...new Set([...(table.get(key) ?? []), word])].sort());
    }
  }
  return table;
}

function cases(entries: [string, string][]): string {
  return entries.map(([key, words]) => `    ${quoted(key)}) words=${quoted(words)} ;;`).join("\n");
}

/** For bash, and for zsh through its bashcompinit. */
export function bashCompletion(commands: readonly CompletedCommand[]): string {
  const flags = commands.map(({ name, flags: all }): [string, string] => [
    name,
    all.flatMap((flag) => [`--${flag.name}`, ...(flag.char ? [`-${flag.char}`] : [])]).join(" "),
  ]);
  const values = commands.flatMap(({ name, flags: all }) =>
    all.flatMap((flag): [string, string][] =>
      flag.values === undefined
        ? []
        : [`--${flag.name}`, ...(flag.char ? [`-${flag.char}`] : [])].map((word) => [
            `${name} ${word}`,
            marked(flag.values as Values),
          ]),
    ),
  );
  const args = commands
    .filter((command) => command.args.length > 0)
    .map(({ name, args: all }): [string, string] => [name, all.map(marked).join(" ")]);
  return `# bash completion for airgap: airgap completion bash > /etc/bash_completion.d/airgap
# Names of items have colons, which would end a word.
COMP_WORDBREAKS=\${COMP_WORDBREAKS//:/}
_airgap() {
  local cur=\${COMP_WORDS[COMP_CWORD]} key="" word words="" file="" flag="" names=""
  for word in "\${COMP_WORDS[@]:1:$((COMP_CWORD - 1))}"; do
    if [ -n "$flag" ]; then flag=""; continue; fi
    case $word in
      -*) _airgap_values "$key $word"; [ -z "$words" ] || flag=$word; continue ;;
    esac
    _airgap_below "$key"
    case " $words " in
      *" $word "*) key="\${key:+$key }$word" ;;
      *) [ -n "$file" ] || file=$word ;;
    esac
  done
  COMPREPLY=()
  if [ -n "$flag" ]; then
    _airgap_values "$key $flag"
  else
    case $cur in
      -*) _airgap_flags "$key"; COMPREPLY=($(compgen -W "$words --help --json" -- "$cur")); return ;;
    esac
    _airgap_below "$key"
    names=$words
    _airgap_args "$key"
    words="$names $words"
  fi
  case " $words " in *" @file "*) COMPREPLY+=($(compgen -f -- "$cur")) ;; esac
  case " $words " in
    *" @item "*) [ -z "$file" ] || COMPREPLY+=($(compgen -W "$("\${COMP_WORDS[0]}" list "$file" 2>/dev/null | cut -f2)" -- "$cur")) ;;
  esac
  COMPREPLY+=($(compgen -W "$(printf '%s\\n' $words | grep -v '^@')" -- "$cur"))
}
_airgap_below() {
  words=""
  case $1 in
${cases([...below(commands)].map(([key, words]) => [key, words.join(" ")]))}
  esac
}
_airgap_flags() {
  words=""
  case $1 in
${cases(flags)}
  esac
}
_airgap_values() {
  words=""
  case $1 in
${cases(values)}
  esac
}
_airgap_args() {
  words=""
  case $1 in
${cases(args)}
  esac
}
complete -o filenames -F _airgap airgap`;
}

export const zshCompletion = (commands: readonly CompletedCommand[]): string =>
  `autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n${bashCompletion(commands)}`;

export function fishCompletion(commands: readonly CompletedCommand[]): string {
  const table = below(commands);
  const seen = (words: readonly string[]): string =>
    words.map((word) => `__fish_seen_subcommand_from ${word}`).join("; and ");
  const lines = [
    "# fish completion for airgap: airgap completion fish > ~/.config/fish/completions/airgap.fish",
  ];
  lines.push("complete -c airgap -f");
  for (const [key, words] of table)
    for (const word of words) {
      const command = commands.find(({ name }) => name === `${key} ${word}`.trim());
      const where =
        key === "" ? "__fish_use_subcommand" : `${seen([key])}; and not ${seen([words.join(" ")])}`;
      lines.push(
        `complete -c airgap -n ${quoted(where)} -a ${word}${command ? ` -d ${quoted(command.summary)}` : ""}`,
      );
    }
  for (const { name, flags, args } of commands) {
    // `images list` is not `list`.
    const topics = commands.flatMap((other) =>
      other.name.endsWith(` ${name}`) ? [other.name.split(" ")[0]] : [],
    );
    const but = topics.length > 0 ? `; and not __fish_seen_subcommand_from ${topics.join(" ")}` : "";
    const where = quoted(`${seen(name.split(" "))}${but}`);
    for (const { name: flag, char, description, values } of flags)
      lines.push(
        `complete -c airgap -n ${where} -l ${flag}${char ? ` -s ${char}` : ""}${values === undefined ? "" : ` ${values === "file" ? "-r" : "-x"}${fishValues(values)}`} -d ${quoted(description)}`,
      );
    for (const values of args) lines.push(`complete -c airgap -n ${where}${fishValues(values)}`);
  }
  return lines.join("\n");
}

/** The bundle is the first word of the line that is a file. */
const FISH_ITEMS =
  "(for f in (commandline -opc)[2..-1]; if test -f $f; airgap list $f 2>/dev/null | cut -f2; break; end; end)";

function fishValues(values: Values): string {
  if (values === "file") return " -F";
  if (values === "item") return ` -a ${quoted(FISH_ITEMS)}`;
  return values === "any" ? "" : ` -a ${quoted(values.join(" "))}`;
}
