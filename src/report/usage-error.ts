import { AirgapError, type ErrorDetails } from "../errors.ts";
import { nearest } from "../schema/nearest.ts";

/** What oclif's parser adds to each message: hints about its own grammar, and where the help is. */
const ADDED = /\n+(?:Note: --[\s\S]*|See more help with --help\s*)$/;
const SEVERAL = /^The following errors? occurred:\n\s*/;

/** oclif's message about wrong flags or arguments, in our words. */
function ownWords(message: string): string {
  const text = message.replace(ADDED, "").replace(ADDED, "").replace(SEVERAL, "");
  const missing = /^Missing \d+ required args?:\n([\s\S]+)$/.exec(text)?.[1];
  if (missing !== undefined) {
    const each = [...missing.matchAll(/^ *(\S+) +(.+)$/gm)].map(
      ([, name = "", what = ""]) => `${name.toUpperCase()} (${what.trim()})`,
    );
    return `Missing: ${each.join(", ")}`;
  }
  return text
    .replaceAll(/Missing required flag (\S+)/g, "Missing: --$1")
    .replaceAll(/^\s*Nonexistent flags?: /gm, "There is no flag ")
    .replaceAll(/Flag (--\S+) expects a value/g, "$1 needs a value")
    .replaceAll(/Expected (\S+?)(?:=(.*))? to be one of: /g, (_, name: string, value?: string) =>
      value === undefined ? `'${name}' must be one of: ` : `${name} cannot be '${value}'; it is one of: `,
    )
    .replaceAll(/All of the following must be provided when using (\S+): /g, "$1 works only with ")
    .replaceAll(/(\S+?)(?:=.*)? cannot also be provided when using (--\S+)/g, "$1 and $2 exclude each other");
}

/**
 * An error of oclif's parser as one of ours.
 * @param id of the command: `images list`
 * @param flags of the command, without dashes
 */
export function usageError(id: string, message: string, flags: readonly string[]): AirgapError {
  const text = ownWords(message);
  const unknown = /There is no flag --(\S+?)(?:,|$)/m.exec(text)?.[1];
  const meant = unknown === undefined ? undefined : nearest(unknown, [...flags, "help", "json"]);
  const details: ErrorDetails = {
    suggestions: [
      ...(meant === undefined ? [] : [`--${meant}`]),
      `airgap ${id} --help`.replaceAll(/ +/g, " "),
    ],
  };
  return new AirgapError("usage", text, details);
}
