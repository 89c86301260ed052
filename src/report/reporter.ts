import { once } from "node:events";
import { text as textOf } from "node:stream/consumers";
import { type AirgapError, messageOf } from "../errors.ts";
import type { Emit, Event } from "../events.ts";
import { jsonText, printable, withoutLogins } from "../format.ts";
import { Board } from "./board.ts";
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
  /** Removes the progress from the terminal. */
  end(): void;
  /** Draws no progress while somebody is asked something. */
  asking<T>(question: () => Promise<T>): Promise<T>;
}

/** Milliseconds between two updates of the progress line, between two lines when there is no terminal, and between two of `--progress json`. */
const REDRAW = 200;
const PLAIN_EVERY = 15_000;
const JSON_EVERY = 1000;
/** Without a terminal, counts that stay the same are told this often. */
const SAME_EVERY = 120_000;
/** Rows of progress on a terminal. */
const MOST_ROWS = 8;

export function createReporter(options: ReporterOptions): Reporter {
  return new StreamReporter(options);
}

class StreamReporter implements Reporter {
  readonly #options: ReporterOptions;
  readonly #terminal = process.stderr.isTTY === true;
  readonly #style;
  readonly #meter = new Meter();
  readonly #board = new Board();
  readonly #every: number;
  /** Progress is drawn by time, so that a stall shows as one. */
  #timer: NodeJS.Timeout | undefined;
  /** Characters of each row of progress that stands on the terminal. */
  #drawn: number[] = [];
  #lastDrawn = Date.now();
  /** Counts as they were told last, and when: without a terminal only changes are told. */
  #told = { gist: "", at: 0 };
  #questions = 0;

  constructor(options: ReporterOptions) {
    this.#options = options;
    this.#style = styleFor(options.color && this.#terminal);
    this.#every = options.progress === "json" ? JSON_EVERY : this.#terminal ? REDRAW : PLAIN_EVERY;
    if (this.#terminal) process.stderr.on("resize", () => this.#drawn.length > 0 && this.#draw(Date.now()));
  }

  readonly emit = (event: Event): void => {
    const now = Date.now();
    if (event.type === "phase" || event.type === "plan") this.#summarise(now);
    const name = "item" in event ? this.#meter.nameOf(event.item) : "";
    this.#meter.take(event, now);
    this.#board.take(event, now);
    this.#tick();
    if (this.#options.progress === "json") this.#jsonLine(event, name, now);
    else this.#tell(event.type === "item" ? { ...event, item: name } : event);
    this.#board.forget(event);
    if (now - this.#lastDrawn >= this.#every) this.#draw(now);
  };

  #tell(event: Event): void {
    const { verbose } = this.#options;
    const ended = this.#board.ended(event);
    if (ended !== undefined) this.#write(message(ended));
    const told = verbose ? event : this.#board.worthTelling(event);
    const text = told && formatEvent(told, verbose, this.#style);
    if (text !== undefined) this.#write(text);
  }

  /** Runs while there is progress to show; it keeps no program alive. */
  #tick(): void {
    if (!this.#meter.active && !this.#board.active) {
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
    if (this.#options.progress === "json") this.#jsonProgress(now);
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
    if (this.#options.progress === "json") this.#line({ type: "note", message: text });
    else this.#write(message(text));
  }

  #line(value: Record<string, unknown>): void {
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
    if (this.#board.active && this.#options.progress === "auto")
      this.#write(message(this.#board.line(Date.now())));
    this.#board.clear();
    this.#tick();
    if (this.#options.progress === "json") {
      const { code, suggestions } = error;
      this.#line({ type: "error", code, message: messageOf(error), suggestions });
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

  async asking<T>(question: () => Promise<T>): Promise<T> {
    this.end();
    this.#questions++;
    try {
      return await question();
    } finally {
      this.#questions--;
    }
  }

  /** Also the rows that a line covers since the terminal became narrower. */
  #clear(): void {
    if (this.#drawn.length === 0) return;
    const columns = Math.max(1, process.stderr.columns ?? 80);
    const rows = this.#drawn.reduce((sum, length) => sum + Math.max(1, Math.ceil(length / columns)), 0);
    process.stderr.write(`${rows > 1 ? `\u001b[${rows - 1}A` : ""}\r\u001b[J`);
    this.#drawn = [];
  }

  #draw(now: number): void {
    const { quiet, progress } = this.#options;
    if ((quiet && progress !== "json") || progress === "none" || this.#questions > 0) return;
    if (!this.#meter.active && !this.#board.active) return;
    this.#lastDrawn = now;
    if (progress === "json") this.#jsonProgress(now);
    else if (this.#terminal) this.#rows(now);
    else for (const line of this.#lines(now)) process.stderr.write(`${safe(line)}\n`);
  }

  #jsonProgress(now: number): void {
    if (!this.#meter.active) return;
    const told = { time: new Date(now).toISOString(), type: "progress", ...this.#meter.progress(now) };
    process.stderr.write(`${jsonText(told)}\n`);
  }

  #rows(now: number): void {
    const { columns: width = 80, rows: height = 24 } = process.stderr;
    const most = Math.max(1, Math.min(MOST_ROWS, height - 2));
    const lines = [
      ...(this.#board.active ? this.#board.rows(now, width, most) : []),
      ...(this.#meter.active ? [this.#meter.line(now, width)] : []),
    ].map(safe);
    this.#clear();
    process.stderr.write(lines.join("\n"));
    this.#drawn = lines.map(({ length }) => length);
  }

  /** Without a terminal: what has changed since the last lines. */
  #lines(now: number): string[] {
    const { gist } = this.#board;
    const changed = gist !== this.#told.gist || now - this.#told.at >= SAME_EVERY;
    const counts = this.#board.active && changed;
    if (counts) this.#told = { gist, at: now };
    return [
      ...(counts ? [this.#board.line(now)] : []),
      ...(this.#meter.active ? [this.#meter.line(now, 120)] : []),
    ];
  }
}

const safe = (line: string): string => printable(withoutLogins(line)).replaceAll("\n", " ");

/** What servers and users wrote may hold a login. */
const redacted = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value), (_, each: unknown) =>
    typeof each === "string" ? withoutLogins(each) : each,
  );
