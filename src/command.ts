import { createInterface } from "node:readline/promises";
import { Command, Flags } from "@oclif/core";
import type { FlagInput } from "@oclif/core/interfaces";
import { AirgapError, Exit, messageOf } from "./errors.ts";
import type { Emit } from "./events.ts";
import { printable, withoutLogins } from "./format.ts";
import { guardOutput } from "./report/output.ts";
import { createReporter, PROGRESS_STYLES, type ProgressStyle, type Reporter } from "./report/reporter.ts";
import { askSecret } from "./report/secret.ts";
import { usageError } from "./report/usage-error.ts";

/** Flags that a variable may set: they change how a command works and prints, never what it checks. docs/environment.md */
export const FROM_ENVIRONMENT: readonly string[] = ["concurrency", "quiet", "verbose"];

/** Adds the `AIRGAP_*` variable to each flag that may have one; help does not call an empty list a default. */
export function withEnv<T extends FlagInput>(flags: T): T {
  for (const [name, flag] of Object.entries(flags)) {
    if (FROM_ENVIRONMENT.includes(name)) flag.env ??= `AIRGAP_${name.toUpperCase().replaceAll("-", "_")}`;
    if (flag.type === "option" && Array.isArray(flag.default) && flag.default.length === 0)
      flag.defaultHelp = async () => undefined;
  }
  return flags;
}

guardOutput();

/** Reads a boolean variable as oclif does. */
const isSet = (name: string): boolean => /^(?:true|1|yes|y)$/i.test(process.env[name] ?? "");

/** Errors are told before flags are parsed, so the words themselves are asked. */
function progressIn(words: readonly string[]): ProgressStyle {
  const i = words.findIndex((word) => word === "--progress" || word.startsWith("--progress="));
  const value = i < 0 ? "auto" : (words[i]?.split("=")[1] ?? words[i + 1]);
  return PROGRESS_STYLES.find((style) => style === value) ?? "auto";
}

/**
 * The base of all commands: `run` parses flags, calls one function of a room and returns its
 * result, which `--json` prints. Data goes to stdout, progress to stderr.
 */
export abstract class BaseCommand<Result> extends Command {
  static override enableJsonFlag = true;

  static override baseFlags = withEnv({
    json: Flags.boolean({ description: "Print the result as JSON on stdout", helpGroup: "COMMON" }),
    quiet: Flags.boolean({
      char: "q",
      description: "Print nothing but the result and errors",
      helpGroup: "COMMON",
      exclusive: ["verbose"],
    }),
    verbose: Flags.boolean({ char: "v", description: "Print every event", helpGroup: "COMMON" }),
    yes: Flags.boolean({
      char: "y",
      description: "Answer every question with yes, except about SSH host keys",
      helpGroup: "COMMON",
    }),
    progress: Flags.string({
      description: "auto; json: every event as a line of JSON on stderr; none",
      options: PROGRESS_STYLES,
      default: "auto",
      helpGroup: "COMMON",
    }),
    color: Flags.boolean({
      description: "Use colours (default: on a terminal; NO_COLOR is honoured)",
      allowNo: true,
      default: true,
      helpGroup: "COMMON",
    }),
  });

  #reporter: Reporter | undefined;
  readonly #stop = new AbortController();

  abstract override run(): Promise<Result>;

  override jsonEnabled(): boolean {
    return super.jsonEnabled() || isSet("AIRGAP_JSON");
  }

  /** Aborted by Ctrl-C and SIGTERM; rooms stop cleanly and the command exits with 4. */
  protected get signal(): AbortSignal {
    return this.#stop.signal;
  }

  protected get report(): Reporter {
    this.#reporter ??= createReporter({
      json: this.jsonEnabled(),
      quiet: this.argv.some((word) => word === "--quiet" || word === "-q") || isSet("AIRGAP_QUIET"),
      verbose: this.argv.some((word) => word === "--verbose" || word === "-v") || isSet("AIRGAP_VERBOSE"),
      progress: progressIn(this.argv),
      color: !this.argv.includes("--no-color") && !process.env["NO_COLOR"],
    });
    return this.#reporter;
  }

  protected get emit(): Emit {
    return this.report.emit;
  }

  override logJson(value: unknown): void {
    this.report.json(value);
  }

  /** Asks a question that `--yes` answers; without a terminal, the answer is no. */
  protected async confirm(question: string): Promise<boolean> {
    return this.argv.some((word) => word === "--yes" || word === "-y") || this.ask(question);
  }

  /** Asks a question that only a person can answer; without a terminal, the answer is no. */
  protected async ask(question: string): Promise<boolean> {
    if (!process.stdin.isTTY || !process.stderr.isTTY) return false;
    return this.report.asking(async () => {
      const lines = createInterface({ input: process.stdin, output: process.stderr });
      try {
        const answer = await lines.question(`${printable(question)} [y/N] `, { signal: this.signal });
        return /^y(?:es)?$/i.test(answer.trim());
      } finally {
        lines.close();
      }
    });
  }

  /**
   * The passphrase of a private key: of the variable, or typed and not shown.
   * @returns undefined without the variable and without a terminal
   */
  protected async passphrase(question: string): Promise<string | undefined> {
    const given = process.env["AIRGAP_KEY_PASSPHRASE"];
    if (given !== undefined) return given;
    if (!process.stdin.isTTY || !process.stderr.isTTY) return undefined;
    return this.report.asking(() => askSecret(question, this.signal));
  }

  override async init(): Promise<void> {
    await super.init();
    for (const name of ["SIGINT", "SIGTERM"] as const) {
      process.once(name, () => {
        // Requests under way may take seconds to end.
        this.report.say("Stopping …");
        this.#stop.abort(
          new AirgapError("interrupted", `Stopped by ${name}; nothing is lost`, {
            suggestions: ["run the same command again"],
          }),
        );
      });
    }
  }

  override async catch(thrown: Error & { exitCode?: number }): Promise<unknown> {
    this.report.end();
    const error =
      this.signal.aborted && this.signal.reason instanceof AirgapError ? this.signal.reason : thrown;
    if (!(error instanceof AirgapError)) return this.#other(error);
    process.exitCode = error.exit;
    if (this.jsonEnabled()) {
      this.logJson(this.toErrorJson(error));
      return undefined;
    }
    this.report.error(error);
    return undefined;
  }

  override async finally(error: Error | undefined): Promise<void> {
    this.report.end();
    await super.finally(error);
  }

  protected override toErrorJson(error: unknown): unknown {
    if (!(error instanceof AirgapError))
      return { error: { code: "bug", message: withoutLogins(messageOf(error)) } };
    const { code, suggestions, ref, data } = error;
    const told = { code, message: messageOf(error), suggestions, ref, data };
    // What users and servers wrote is quoted in messages and facts.
    return JSON.parse(JSON.stringify({ error: told }), (_, value: unknown) =>
      typeof value === "string" ? withoutLogins(value) : value,
    );
  }

  /** oclif's own errors are about usage; everything else is a bug and shows its stack. */
  #other(error: Error & { exitCode?: number; oclif?: { exit?: number | false } }): unknown {
    if (error.oclif !== undefined) {
      // Else oclif warns that the command did not parse its words, where NODE_ENV is development or test.
      this.parsed = true;
      const { flags, baseFlags } = this.ctor;
      const usage = usageError(this.id?.replaceAll(":", " ") ?? "", messageOf(error), [
        ...Object.keys(flags ?? {}),
        ...Object.keys(baseFlags ?? {}),
      ]);
      if (this.jsonEnabled()) this.logJson(this.toErrorJson(usage));
      else this.report.error(usage);
      process.exitCode = typeof error.oclif.exit === "number" ? error.oclif.exit : Exit.usage;
      return undefined;
    }
    if (this.jsonEnabled()) this.logJson(this.toErrorJson(error));
    else this.report.bug(error);
    process.exitCode = Exit.bug;
    return undefined;
  }
}
