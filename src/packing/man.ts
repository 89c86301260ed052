/** A command as oclif's list of commands has it. */
export interface ManCommand {
  /** `images:list` */
  id: string;
  summary?: string;
  description?: string;
  strict?: boolean;
  hidden?: boolean;
  args: Record<string, { name: string; description?: string; required?: boolean; options?: string[] }>;
  flags: Record<string, ManFlag>;
  examples?: string[];
}

interface ManFlag {
  name: string;
  char?: string;
  description?: string;
  summary?: string;
  type: "boolean" | "option";
  allowNo?: boolean;
  helpGroup?: string;
  helpValue?: string;
  options?: string[];
  default?: unknown;
  env?: string;
  required?: boolean;
  multiple?: boolean;
}

const EXIT_CODES: [string, string][] = [
  ["0", "done"],
  ["1", "failed"],
  ["2", "usage, or a mistake in a spec or cluster file"],
  ["3", "a check failed before anything was changed"],
  ["4", "stopped part-way; the same command resumes"],
  ["70", "a bug"],
];

/** A text of one paragraph: nothing in it is a request to roff. man-pages(7), groff_man(7) */
const plain = (text: string): string =>
  text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^(?=[.'])/gm, "\\&")
    .replaceAll("…", "...");
const bold = (text: string): string => `\\fB${plain(text)}\\fR`;
const italic = (text: string): string => `\\fI${plain(text)}\\fR`;

const head = (page: string, version: string): string =>
  `.TH ${page.toUpperCase()} 1 "" "airgap ${plain(version)}" "airgap"`;

function flagEntry(flag: ManFlag): string[] {
  const value =
    flag.type === "boolean" ? "" : `=${italic(flag.helpValue ?? flag.options?.join("|") ?? "VALUE")}`;
  const long = bold(`--${flag.allowNo === true ? "[no-]" : ""}${flag.name}`) + value;
  const more = [
    ...(flag.options && flag.helpValue !== undefined ? [`One of: ${flag.options.join(", ")}.`] : []),
    ...(typeof flag.default === "string" || typeof flag.default === "number"
      ? [`Default: ${flag.default}.`]
      : []),
    ...(flag.multiple === true ? ["May be given several times."] : []),
    ...(flag.env ? [`Environment: ${flag.env}.`] : []),
    ...(flag.required === true ? ["Required."] : []),
  ];
  const text = (flag.summary ?? flag.description ?? "").replace(/[.;]?$/, ".");
  const repeated = /several times/.test(text) ? more.filter((each) => !each.startsWith("May be")) : more;
  return [
    ".TP",
    flag.char ? `${bold(`-${flag.char}`)}, ${long}` : long,
    plain([text, ...repeated].join(" ")),
  ];
}

function options(flags: Record<string, ManFlag>): string[] {
  const groups = new Map<string, ManFlag[]>();
  for (const flag of Object.values(flags)) {
    const group = flag.helpGroup ?? "";
    groups.set(group, [...(groups.get(group) ?? []), flag]);
  }
  const order = [...groups].toSorted(([a], [b]) => rank(a) - rank(b));
  return order.flatMap(([group, all]) => [
    group === "" ? ".SH OPTIONS" : `.SS ${plain(`${group[0]}${group.slice(1).toLowerCase()} options`)}`,
    ...all.toSorted((a, b) => (a.name < b.name ? -1 : 1)).flatMap(flagEntry),
  ]);
}

/** The command's own options first, those of every command last. */
const rank = (group: string): number => (group === "" ? 0 : group === "COMMON" ? 2 : 1);

const nameOf = ({ id }: ManCommand): string => id.replaceAll(":", " ");
const pageOf = ({ id }: ManCommand): string => `airgap-${id.replaceAll(":", "-")}`;

const exits = (): string[] => [
  ".SH EXIT STATUS",
  ...EXIT_CODES.flatMap(([code, means]) => [".TP", bold(code), `${plain(means)}.`]),
];

function commandPage(command: ManCommand, version: string): string {
  const { args, flags, strict, summary = "", description, examples = [] } = command;
  const words = Object.values(args).map(({ name, required }) => {
    const word = `${italic(name.toUpperCase())}${strict === false ? " ..." : ""}`;
    return required === true ? word : `[${word}]`;
  });
  const described = Object.values(args).filter((arg) => arg.description);
  return [
    head(pageOf(command), version),
    ".SH NAME",
    `${plain(pageOf(command))} \\- ${plain(summary)}`,
    ".SH SYNOPSIS",
    `${bold(`airgap ${nameOf(command)}`)} ${[...words, `[${italic("options")}]`].join(" ")}`,
    ...(description ? [".SH DESCRIPTION", ...description.split("\n").map(plain)] : []),
    ...(described.length > 0 ? [".SH ARGUMENTS"] : []),
    ...described.flatMap(({ name, description: what = "", options: words_ }) => [
      ".TP",
      italic(name.toUpperCase()),
      plain(`${what}${words_ ? `: ${words_.join(", ")}` : ""}`),
    ]),
    ...options(flags),
    ...(examples.length > 0 ? [".SH EXAMPLES"] : []),
    ...examples.flatMap((example) => [
      ".PP",
      ".nf",
      plain(example.replaceAll("<%= config.bin %>", "airgap")),
      ".fi",
    ]),
    ...exits(),
    ".SH SEE ALSO",
    `${bold("airgap")}(1)`,
    "",
  ].join("\n");
}

function overviewPage(commands: readonly ManCommand[], description: string, version: string): string {
  return [
    head("airgap", version),
    ".SH NAME",
    `airgap \\- ${plain(description)}`,
    ".SH SYNOPSIS",
    `${bold("airgap")} ${italic("command")} [${italic("arguments")}] [${italic("options")}]`,
    ".SH DESCRIPTION",
    plain(
      "On a connected machine airgap works out everything that a Kubernetes site needs, pins it in a lock and packs it in one tar. Behind the gap the same program verifies the tar, serves it or fills a registry from it, and turns bare hosts into a cluster over SSH.",
    ),
    ".PP",
    plain("The documentation lies beside the program, in its folder docs."),
    ".SH COMMANDS",
    ...commands.flatMap((command) => [
      ".TP",
      `${bold(nameOf(command))}`,
      `${plain(command.summary ?? "")}. See ${bold(pageOf(command))}(1).`,
    ]),
    ...exits(),
    ".SH ENVIRONMENT",
    plain("See docs/environment.md. No variable turns off a check, accepts a key or answers a question."),
    ".SH SEE ALSO",
    commands.map((command) => `${bold(pageOf(command))}(1)`).join(", "),
    "",
  ].join("\n");
}

/**
 * Man pages of section 1, from the commands themselves.
 * @returns by file name: `airgap.1`, `airgap-images-list.1`
 */
export function manPages(
  commands: readonly ManCommand[],
  { description, version }: { description: string; version: string },
): Map<string, string> {
  const shown = commands.filter(({ hidden }) => hidden !== true).toSorted((a, b) => (a.id < b.id ? -1 : 1));
  return new Map([
    ["airgap.1", overviewPage(shown, description, version)],
    ...shown.map((command): [string, string] => [`${pageOf(command)}.1`, commandPage(command, version)]),
  ]);
}
