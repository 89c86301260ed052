import { type AirgapError, messageOf } from "../errors.ts";
import type { Event } from "../events.ts";
import { formatDuration, printable, withoutLogins } from "../format.ts";

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

/** One message: its later lines are indented, so that none looks like another message. */
export const message = (text: string): string =>
  printable(withoutLogins(text)).replace(/\n(?![ \n]|$)/g, "\n  ");

/** A text on one line, such as a command to type. */
const oneLine = (text: string): string => printable(withoutLogins(text)).replace(/\s*\n\s*/g, " ");

/** An error as users see it: what happened, its code, what to type next. */
export function formatError(error: AirgapError, style: Style): string {
  const lines = [`${style.red("Error:")} ${message(messageOf(error))}`, `Code: ${error.code}`];
  const [first, ...more] = error.suggestions.map(oneLine);
  if (first !== undefined)
    lines.push(
      ...(more.length === 0
        ? [`Try this: ${first}`]
        : ["Try this:", ...[first, ...more].map((suggestion) => `  * ${suggestion}`)]),
    );
  if (error.ref) lines.push(`Reference: ${error.ref}`);
  return lines.join("\n");
}

/** An event as one line, or undefined when the reader does not need it. */
export function formatEvent(event: Event, verbose: boolean, style: Style): string | undefined {
  switch (event.type) {
    case "phase":
      return `${style.bold(event.name)}${event.detail ? `: ${message(event.detail)}` : ""}`;
    case "stage":
      return event.state === "started" && !event.before ? style.bold(message(event.name)) : undefined;
    case "note":
      return message(event.message);
    case "warning":
      return `${style.yellow("Warning:")} ${message(event.message)}${event.suggestion ? ` (${oneLine(event.suggestion)})` : ""}`;
    case "retry":
      return style.dim(
        `Retrying ${oneLine(event.what)} in ${formatDuration(event.waitMs)}: ${oneLine(event.reason)}`,
      );
    case "item":
      return verbose || event.state === "failed"
        ? message(`${event.item}: ${event.state}${event.detail ? `, ${event.detail}` : ""}`)
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
  return message(
    `${event.host}: ${event.step}: ${event.state}${event.detail ? `, ${event.detail}` : ""}${took}`,
  );
}
