import type { AirgapError } from "../errors.ts";
import { messageOf } from "../errors.ts";
import type { Emit, Event } from "../events.ts";

export interface ReporterOptions {
  json: boolean;
  quiet: boolean;
  verbose: boolean;
  color: boolean;
}

/** The only thing that prints, besides oclif's help. */
export interface Reporter {
  emit: Emit;
  /** A line of data on stdout; nothing with `--json`, where the result says it. */
  line(text: string): void;
  /** A line for the reader on stderr. */
  say(text: string): void;
  error(error: AirgapError): void;
  bug(error: Error): void;
  /** Takes a progress bar off the terminal. */
  end(): void;
}

export function createReporter(options: ReporterOptions): Reporter {
  const err = (text: string): void => void process.stderr.write(`${text}\n`);
  return {
    emit: (event) => {
      if (options.quiet) return;
      const text = describe(event, options.verbose);
      if (text !== undefined) err(text);
    },
    line: (text) => {
      if (!options.json) process.stdout.write(`${text}\n`);
    },
    say: (text) => {
      if (!options.quiet) err(text);
    },
    error: (error) => err(formatError(error)),
    bug: (error) => err(`This is a bug in airgap; please report it with the lines below.\n${error.stack ?? messageOf(error)}`),
    end: () => {},
  };
}

function formatError(error: AirgapError): string {
  const lines = [`Error: ${messageOf(error)}`, `Code: ${error.code}`];
  const [first, ...more] = error.suggestions;
  if (first !== undefined && more.length === 0) lines.push(`Try this: ${first}`);
  if (more.length > 0) lines.push("Try this:", ...error.suggestions.map((suggestion) => `  * ${suggestion}`));
  if (error.ref) lines.push(`Reference: ${error.ref}`);
  return lines.join("\n");
}

function describe(event: Event, verbose: boolean): string | undefined {
  switch (event.type) {
    case "phase":
      return event.detail ? `${event.name}: ${event.detail}` : event.name;
    case "note":
      return event.message;
    case "warning":
      return `Warning: ${event.message}${event.suggestion ? ` (${event.suggestion})` : ""}`;
    case "retry":
      return `Retrying ${event.what} in ${Math.round(event.waitMs / 100) / 10} s: ${event.reason}`;
    case "item":
      return verbose || event.state === "failed" ? `${event.item}: ${event.state}${event.detail ? `, ${event.detail}` : ""}` : undefined;
    case "step":
      return `${event.host}: ${event.step}: ${event.state}${event.detail ? `, ${event.detail}` : ""}`;
    default:
      return undefined;
  }
}
