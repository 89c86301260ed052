import { once } from "node:events";
import { text as textOf } from "node:stream/consumers";
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
  /** `auto`: a line that is redrawn, or lines; `json`: every event as a line of JSON on stderr. */
  progress: ProgressStyle;
}

export const PROGRESS_STYLES = ["auto", "json", "none"] as const;
export type ProgressStyle = (typeof PROGRESS_STYLES)[number];

/** The only thing that prints, besides oclif's help. */
export interface Reporter {
  emit: Emit;
  /** Prints a line of data on stdout; nothing with `--json`. */
  line(text: string): void;
  /** Prints data of several lines on stdout, unchanged unless stdout is a terminal; nothing with `--json`. */
  document(text: string): void;
  /** The same piece by piece. With `--json` nothing is printed, and the whole text is given back. */
  stream(chunks: AsyncIterable<string>): Promise<string | undefined>;
  /** Prints the result for `--json`. */
  json(value: unknown): void;
  /** Prints one of several results for `--json`, in one line. */
  jsonLine(value: unknown): void;
  /** Prints a line for the reader on stderr. */
  say(text: string): void;
  error(error: AirgapError): void;
  bug(error: Error): void;
  /** Removes the progress line from the terminal. */
  end(): void;
}

/** Milliseconds between two updates of the progress line, between two lines when there is no terminal, and between two of `--progress json`. */
const REDRAW = 200;
const PLAIN_EVERY = 15_000;
const JSON_EVERY = 1000;

export function createReporter(options: ReporterOptions): Reporter {
  return new StreamReporter(options);
}

class StreamReporter implements Reporter {
  readonly #options: ReporterOptions;
  readonly #terminal = process.stderr.isTTY === true;
  readonly #style;
  readonly #meter = new Meter();
  readonly #every: number;
  /** Progress is drawn by time, so that a stall shows as one. */
  #timer: NodeJS.Timeout | undefined;
  /** Characters of the progress line that stands on the terminal. */
  #drawn = 0;
  #lastDrawn = Date.now();

  constructor(options: ReporterOptions) {
    this.#options = options;
    this.#style = styleFor(options.color && this.#terminal);
    this.#every = options.progress === "json" ? JSON_EVERY : this.#terminal ? REDRAW : PLAIN_EVERY;
    if (this.#terminal) process.stderr.on("resize", () => this.#drawn > 0 && this.#draw(Date.now()));
  }

  readonly emit = (event: Event): void => {
    const now = Date.now();
    if (event.type === "phase" || event.type === "plan") this.#summarise(now);
    const name = "item" in event ? this.#meter.nameOf(event.item) : "";
    this.#meter.take(event, now);
    this.#tick();
    if (this.#options.progress === "json") this.#jsonLine(event, name, now);
    else {
      const text = formatEvent(
        event.type === "item" ? { ...event, item: name } : event,
        this.#options.verbose,
        this.#style,
      );
      if (text !== undefined) this.#write(text);
    }
    if (now - this.#lastDrawn >= this.#every) this.#draw(now);
  };

  /** Runs while there is progress to show; it keeps no program alive. */
  #tick(): void {
    if (!this.#meter.active) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    } else this.#timer ??= setInterval(() => this.#draw(Date.now()), this.#every).unref();
  }

  /** An event for programs; bytes are told once a second, with what they add up to. */
  #jsonLine(event: Event, name: string, now: number): void {
    if (event.type === "progress") return;
    const { names: _, ...told } = { names: undefined, ...event };
    const named = "item" in event && name !== event.item ? { name } : {};
    process.stderr.write(`${jsonText(redacted({ time: new Date(now).toISOString(), ...told, ...named }))}\n`);
  }

  /** How much was moved, how fast: once, at the end. */
  #summarise(now: number): void {
    const summary = this.#meter.summary(now);
    this.#tick();
    if (summary === undefined || this.#options.quiet || this.#options.progress !== "auto") return;
    this.#clear();
    process.stderr.write(`${summary}\n`);
  }

  line(text: string): void {
    this.end();
    if (!this.#options.json) process.stdout.write(`${message(text)}\n`);
  }

  document(text: string): void {
    this.end();
    if (!this.#options.json) process.stdout.write(`${process.stdout.isTTY ? printable(text) : text}\n`);
  }

  async stream(chunks: AsyncIterable<string>): Promise<string | undefined> {
    if (this.#options.json) return textOf(chunks);
    for await (const chunk of chunks) {
      this.#clear();
      const taken = process.stdout.write(process.stdout.isTTY ? printable(chunk) : chunk);
      if (!taken) await once(process.stdout, "drain");
    }
    this.end();
    return undefined;
  }

  json(value: unknown): void {
    this.end();
    process.stdout.write(`${jsonText(value, 2)}\n`);
  }

  jsonLine(value: unknown): void {
    this.end();
    process.stdout.write(`${jsonText(value)}\n`);
  }

  say(text: string): void {
    if (this.#options.progress === "json") this.#told({ type: "note", message: text });
    else this.#write(message(text));
  }

  #told(value: Record<string, unknown>): void {
    if (this.#options.quiet) return;
    process.stderr.write(`${jsonText(redacted({ time: new Date().toISOString(), ...value }))}\n`);
  }

  /** @param text safe to print, perhaps with colours */
  #write(text: string): void {
    if (this.#options.quiet) return;
    this.#clear();
    process.stderr.write(`${text}\n`);
  }

  error(error: AirgapError): void {
    this.end();
    if (this.#options.progress === "json") {
      const { code, suggestions } = error;
      this.#told({ type: "error", code, message: messageOf(error), suggestions });
      return;
    }
    process.stderr.write(`${formatError(error, this.#style)}\n`);
  }

  bug(error: Error): void {
    this.end();
    process.stderr.write(
      `This is a bug in airgap; please report it with the lines below.\n${message(error.stack ?? messageOf(error))}\n`,
    );
  }

  end(): void {
    this.#summarise(Date.now());
    this.#clear();
  }

  /** Also the rows that a line covers since the terminal became narrower. */
  #clear(): void {
    if (this.#drawn === 0) return;
    const rows = Math.ceil(this.#drawn / Math.max(1, process.stderr.columns ?? 80));
    process.stderr.write(`${rows > 1 ? `\u001b[${rows - 1}A` : ""}\r\u001b[J`);
    this.#drawn = 0;
  }

  #draw(now: number): void {
    const { quiet, progress } = this.#options;
    if (!this.#meter.active || (quiet && progress !== "json") || progress === "none") return;
    this.#lastDrawn = now;
    if (progress === "json") {
      const told = { time: new Date(now).toISOString(), type: "progress", ...this.#meter.progress(now) };
      process.stderr.write(`${jsonText(told)}\n`);
      return;
    }
    const width = this.#terminal ? (process.stderr.columns ?? 80) : 120;
    const line = printable(withoutLogins(this.#meter.line(now, width))).replaceAll("\n", " ");
    this.#clear();
    process.stderr.write(this.#terminal ? line : `${line}\n`);
    this.#drawn = this.#terminal ? line.length : 0;
  }
}

/** What servers and users wrote may hold a login. */
const redacted = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value), (_, each: unknown) =>
    typeof each === "string" ? withoutLogins(each) : each,
  );
