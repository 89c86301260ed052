import { type AirgapError, messageOf } from "../errors.ts";
import type { Event } from "../events.ts";
import { formatDuration } from "../format.ts";

/** Colours, or none. */
export interface Style {
  red(text: string): string;
  yellow(text: string): string;
  dim(text: string): string;
  bold(text: string): string;
}

export function styleFor(color: boolean): Style {
  const paint = (code: number) => (text: string) => (color ? `\u001b[${code}m${text}\u001b[0m` : text);
  return { red: paint(31), yellow: paint(33), dim: paint(2), bold: paint(1) };
}

/** Text from outside may hold control characters, which must not reach a terminal. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
export const printable = (text: string): string => text.replace(CONTROL, "\ufffd");

/** An error as users see it: what happened, its code, what to type next. */
export function formatError(error: AirgapError, style: Style): string {
  const lines = [`${style.red("Error:")} ${printable(messageOf(error))}`, `Code: ${error.code}`];
  const [first, ...more] = error.suggestions.map(printable);
  if (first !== undefined)
    lines.push(
      ...(more.length === 0
        ? [`Try this: ${first}`]
        : ["Try this:", ...[first, ...more].map((suggestion) => `  * ${suggestion}`)]),
    );
  if (error.ref) lines.push(`Reference: ${error.ref}`);
  return lines.join("\n");
}

/** An event as one line, or undefined where it is none for the reader. */
export function formatEvent(event: Event, verbose: boolean, style: Style): string | undefined {
  switch (event.type) {
    case "phase":
      return `${style.bold(event.name)}${event.detail ? `: ${printable(event.detail)}` : ""}`;
    case "note":
      return printable(event.message);
    case "warning":
      return `${style.yellow("Warning:")} ${printable(event.message)}${event.suggestion ? ` (${printable(event.suggestion)})` : ""}`;
    case "retry":
      return style.dim(
        `Retrying ${printable(event.what)} in ${formatDuration(event.waitMs)}: ${printable(event.reason)}`,
      );
    case "item":
      return verbose || event.state === "failed"
        ? printable(`${event.item}: ${event.state}${event.detail ? `, ${event.detail}` : ""}`)
        : undefined;
    case "step":
      return stepLine(event, verbose);
    default:
      return undefined;
  }
}

function stepLine(event: Extract<Event, { type: "step" }>, verbose: boolean): string | undefined {
  if (!verbose && (event.state === "checking" || event.state === "applying" || event.state === "already"))
    return undefined;
  const took = event.ms !== undefined && event.ms >= 1000 ? ` (${formatDuration(event.ms)})` : "";
  return printable(
    `${event.host}: ${event.step}: ${event.state}${event.detail ? `, ${event.detail}` : ""}${took}`,
  );
}
