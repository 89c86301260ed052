import { type AirgapError, messageOf } from "../errors.ts";
import type { Emit, Event } from "../events.ts";
import { jsonText, printable, withoutLogins } from "../format.ts";
import { Meter } from "./meter.ts";
import { formatError, formatEvent, message, styleFor } from "./text.ts";

export interface ReporterOptions {
  json: boolean;
  quiet: boolean;
  verbose: boolean;
  color: boolean;
}

/** The only thing that prints, besides oclif's help. */
export interface Reporter {
  emit: Emit;
  /** Prints a line of data on stdout; nothing with `--json`. */
  line(text: string): void;
  /** Prints data of several lines on stdout, unchanged unless stdout is a terminal; nothing with `--json`. */
  document(text: string): void;
  /** Prints the result for `--json`. */
  json(value: unknown): void;
  /** Prints a line for the reader on stderr. */
  say(text: string): void;
  error(error: AirgapError): void;
  bug(error: Error): void;
  /** Removes the progress line from the terminal. */
  end(): void;
}

/** Milliseconds between two updates of the progress line, and between two lines when there is no terminal. */
const REDRAW = 100;
const PLAIN_EVERY = 15_000;

export function createReporter(options: ReporterOptions): Reporter {
  return new StreamReporter(options);
}

class StreamReporter implements Reporter {
  readonly #options: ReporterOptions;
  readonly #terminal = process.stderr.isTTY === true;
  readonly #style;
  readonly #meter = new Meter();
  #drawn = false;
  #lastDrawn = Date.now();

  constructor(options: ReporterOptions) {
    this.#options = options;
    this.#style = styleFor(options.color && this.#terminal);
  }

  readonly emit = (event: Event): void => {
    if (this.#options.quiet) return;
    const now = Date.now();
    this.#meter.take(event, now);
    const text = formatEvent(event, this.#options.verbose, this.#style);
    if (text !== undefined) this.#write(text);
    this.#progress(now);
  };

  line(text: string): void {
    this.end();
    if (!this.#options.json) process.stdout.write(`${message(text)}\n`);
  }

  document(text: string): void {
    this.end();
    if (!this.#options.json) process.stdout.write(`${process.stdout.isTTY ? printable(text) : text}\n`);
  }

  json(value: unknown): void {
    this.end();
    process.stdout.write(`${jsonText(value, 2)}\n`);
  }

  say(text: string): void {
    this.#write(message(text));
  }

  /** @param text safe to print, perhaps with colours */
  #write(text: string): void {
    if (this.#options.quiet) return;
    this.end();
    process.stderr.write(`${text}\n`);
  }

  error(error: AirgapError): void {
    this.end();
    process.stderr.write(`${formatError(error, this.#style)}\n`);
  }

  bug(error: Error): void {
    this.end();
    process.stderr.write(
      `This is a bug in airgap; please report it with the lines below.\n${message(error.stack ?? messageOf(error))}\n`,
    );
  }

  end(): void {
    if (this.#drawn) process.stderr.write("\r\u001b[K");
    this.#drawn = false;
  }

  #progress(now: number): void {
    if (!this.#meter.active || now - this.#lastDrawn < (this.#terminal ? REDRAW : PLAIN_EVERY)) return;
    this.#lastDrawn = now;
    const line = printable(withoutLogins(this.#meter.line(now, process.stderr.columns ?? 100))).replaceAll(
      "\n",
      " ",
    );
    process.stderr.write(this.#terminal ? `\r\u001b[K${line}` : `${line}\n`);
    this.#drawn = this.#terminal;
  }
}
