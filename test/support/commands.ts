import { readdirSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");

interface FlagShape {
  type: "boolean" | "option";
  char?: string;
  allowNo?: boolean;
  options?: readonly string[];
}

/** A command as oclif knows it. */
export interface CommandShape {
  id: string;
  flags: Record<string, FlagShape>;
  args: Record<string, unknown>;
  strict: boolean;
  examples: string[];
}

interface CommandClass {
  flags?: Record<string, FlagShape>;
  baseFlags?: Record<string, FlagShape>;
  args?: Record<string, unknown>;
  strict?: boolean;
  examples?: string[];
}

/** Ids of all commands: `images find`. */
export const commandIds: readonly string[] = readdirSync(join(root, "src/commands"), {
  recursive: true,
  encoding: "utf8",
})
  .filter((file) => file.endsWith(".ts"))
  .map((file) => file.replace(/\.ts$/, "").replaceAll(/[\\/]/g, " "))
  .toSorted();

export async function loadCommands(): Promise<Map<string, CommandShape>> {
  const loaded = commandIds.map(async (id): Promise<[string, CommandShape]> => {
    const file = join(root, "src/commands", `${id.replaceAll(" ", "/")}.ts`);
    const { default: command } = (await import(file)) as { default: CommandClass };
    const { flags = {}, baseFlags = {}, args = {}, strict = true, examples = [] } = command;
    return [id, { id, flags: { ...baseFlags, ...flags }, args, strict, examples }];
  });
  return new Map(await Promise.all(loaded));
}

/** Words as a shell would make them; what stands for something, `<file>` or `…`, is a word too. */
const wordsOf = (line: string): string[] =>
  [...line.matchAll(/(?:[^\s'"]|'[^']*'|"[^"]*")+/g)].map(([word]) => word.replaceAll(/['"]/g, ""));

/** Flags that oclif or the starter itself understands. */
const EVERYWHERE = new Set(["--help", "-h", "--json", "--version"]);
const stands = (value: string): boolean => /^[A-Z…<$[]|…|\|/.test(value);

/**
 * What is wrong with a command line, or undefined. What follows `#`, `|`, `>`, `&&` or `;` is not looked at.
 * @param line begins with `airgap `
 */
export function problemOf(line: string, commands: Map<string, CommandShape>): string | undefined {
  const [, ...words] = wordsOf(line.split(/\s(?:#|\||[12]?>|<|&&|;)/)[0] ?? "");
  const [first = "-"] = words;
  if (first.startsWith("-") || stands(first) || ["help", "version"].includes(first)) return undefined;
  const id = [2, 1].map((n) => words.slice(0, n).join(" ")).find((name) => commands.has(name));
  const command = id === undefined ? undefined : commands.get(id);
  if (id === undefined || command === undefined)
    return `there is no command '${words.slice(0, 2).join(" ")}'`;
  const positional: string[] = [];
  const rest = words.slice(id.split(" ").length);
  for (let i = 0; i < rest.length; i++) {
    const word = rest[i] as string;
    if (!word.startsWith("-") || word === "-") {
      positional.push(word);
      continue;
    }
    const [name = "", given] = word.split(/=(.*)/s);
    if (EVERYWHERE.has(name)) continue;
    const flag = Object.entries(command.flags).find(
      ([key, { char, allowNo }]) =>
        name === `--${key}` || name === `-${char}` || (allowNo === true && name === `--no-${key}`),
    )?.[1];
    if (flag === undefined) return `${id} has no flag ${name}`;
    if (flag.type === "boolean") continue;
    const value = given ?? rest[++i];
    if (value === undefined) return `${name} of ${id} needs a value`;
    if (flag.options && !stands(value) && !flag.options.includes(value))
      return `${name} of ${id} cannot be '${value}'`;
  }
  const most = Object.keys(command.args).length;
  return command.strict && positional.length > most
    ? `${id} takes ${most} arguments: ${positional.join(" ")}`
    : undefined;
}
