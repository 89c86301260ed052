import { AirgapError } from "../errors.ts";
import { nearest } from "../schema/nearest.ts";
import { createReporter } from "./reporter.ts";

const firstOf = (command: string): string => command.split(" ")[0] ?? "";

/**
 * The command that the user most likely meant, with the words after it: of a similar name, or the one
 * that has this word as its second. Undefined when there is none.
 * @param commands every command: `build`, `images list`
 */
export function meantBy(words: readonly string[], commands: readonly string[]): string | undefined {
  const [given = "", ...rest] = words;
  const [inTopic, another] = commands.filter((command) => command.split(" ")[1] === given);
  if (inTopic !== undefined && another === undefined) return [inTopic, ...rest].join(" ");
  const first = nearest(given, [...new Set(commands.map(firstOf))]);
  if (first === undefined) return undefined;
  if (commands.includes(first)) return [first, ...rest].join(" ");
  const below = commands.filter((command) => firstOf(command) === first);
  const [second = "", ...arguments_] = rest;
  const meant = nearest(`${first} ${second}`, below);
  return second === "" || second.startsWith("-") || meant === undefined
    ? `${first} --help`
    : [meant, ...arguments_].join(" ");
}

/** oclif takes the words after an unknown command for a part of its name; this error does not. */
export function unknownCommand(words: readonly string[], commands: readonly string[]): AirgapError {
  const [first = ""] = words;
  if (first.startsWith("-"))
    return new AirgapError("usage", `${first} is not a flag of airgap itself: flags come after the command`, {
      suggestions: [
        words.length > 1 && meantBy(words.slice(1), commands) !== undefined
          ? `airgap ${[...words.slice(1), first].join(" ")}`
          : "airgap --help",
      ],
    });
  const topic = commands.some((command) => command.startsWith(`${words[0]} `));
  const given = words.slice(0, topic ? 2 : 1).join(" ");
  const meant = meantBy(words, commands);
  return new AirgapError("usage", `There is no command '${given}'`, {
    suggestions: [meant === undefined ? "airgap --help" : `airgap ${meant}`],
  });
}

/** Prints the error of an unknown command, as text or as JSON. */
export function tellUnknown(words: readonly string[], commands: readonly string[]): void {
  const error = unknownCommand(words, commands);
  const json = words.includes("--json");
  const reporter = createReporter({
    json,
    quiet: false,
    progress: "auto",
    verbose: false,
    color: !words.includes("--no-color") && !process.env["NO_COLOR"],
  });
  const { code, message, suggestions } = error;
  if (json) reporter.json({ error: { code, message, suggestions } });
  else reporter.error(error);
  process.exitCode = error.exit;
}
