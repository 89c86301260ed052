import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import pLimit from "p-limit";
import { AirgapError, messageOf } from "../errors.ts";
import {
  DEFAULT_TIMEOUT,
  type Host,
  type Output,
  prefixed,
  proveRoot,
  type RunOptions,
  shell,
  wholeScript,
} from "./host.ts";
import { run } from "./process.ts";
import { shippedPath } from "./shipped.ts";
import { ANSWERS, askedHostKey, explainSshFailure } from "./ssh-answers.ts";
import type { SshOptions } from "./ssh-options.ts";
import { connectionOptions, type ResolvedTarget, resolveTarget, type SshTarget } from "./ssh-target.ts";

const READY = "airgap-is-connected";
/** Commands of a host at a time: sshd allows ten sessions (`MaxSessions`), hardened ones four, and the connection itself is one. */
const AT_ONCE = 3;
/** Names the only process that askpass answers: the ssh to a jump host has the same environment. */
const AS_ASKED = 'AIRGAP_ASK_PID=$$; export AIRGAP_ASK_PID; exec ssh "$@"';

/**
 * A host reached through the system's ssh, so that the user's ssh_config, agents, jump hosts and
 * hardware keys work. All commands share one connection.
 */
export class SshHost implements Host {
  readonly name: string;
  readonly #target: ResolvedTarget;
  readonly #options: SshOptions;
  readonly #dir: string;
  readonly #master: ChildProcess;
  readonly #limit = pLimit(AT_ONCE);
  #lost: string | undefined;

  private constructor(
    name: string,
    target: ResolvedTarget,
    options: SshOptions,
    dir: string,
    master: ChildProcess,
  ) {
    this.name = name;
    this.#target = target;
    this.#options = options;
    this.#dir = dir;
    this.#master = master;
    master.once("close", (code) => {
      this.#lost = `ssh ended with ${code ?? "a signal"}`;
    });
  }

  /**
   * Connects, checks the host key, logs in and makes sure that commands run as root.
   * @throws AirgapError `unauthorized`, `network`, `environment`
   */
  static async open(target: SshTarget, options: SshOptions): Promise<SshHost> {
    const resolved = await resolveTarget(target, options);
    const dir = mkdtempSync(join(tmpdir(), "airgap-ssh-"));
    try {
      const master = await connect(target, resolved, options, dir);
      const host = new SshHost(target.name, resolved, options, dir, master);
      await proveRoot(target.name, options.become, (line, input) => host.#execute(line, input, {})).catch(
        async (error: unknown) => {
          await host.close();
          throw error;
        },
      );
      return host;
    } catch (error) {
      rmSync(dir, { recursive: true, force: true });
      throw error;
    }
  }

  run(script: string, options: RunOptions = {}): Promise<Output> {
    const { line, before } = shell(this.#options.become);
    return this.#limit(() => this.#execute(line, before + wholeScript(script), options));
  }

  pipe(command: string, input: Readable, options: RunOptions = {}): Promise<Output> {
    const { line, before } = shell(this.#options.become, command);
    return this.#limit(() => this.#execute(line, Readable.from(prefixed(before, input)), options));
  }

  async close(): Promise<void> {
    if (this.#master.exitCode === null && this.#master.signalCode === null) {
      const closed = new Promise((resolve) => this.#master.once("close", resolve));
      this.#master.stdin?.end();
      const impatient = setTimeout(() => this.#master.kill("SIGKILL"), 2000);
      await closed;
      clearTimeout(impatient);
    }
    rmSync(this.#dir, { recursive: true, force: true });
  }

  async #execute(
    line: string,
    input: string | Readable,
    { timeoutMs = DEFAULT_TIMEOUT, signal, maxOutput, onStdout }: RunOptions,
  ): Promise<Output> {
    signal?.throwIfAborted();
    const args = [
      "-o",
      "LogLevel=ERROR",
      "-o",
      "ControlMaster=no",
      // Without its master, ssh would connect again on its own, to any host that answers, and send it a script with secrets.
      "-o",
      "BatchMode=yes",
      "-o",
      "ProxyCommand=false",
      "-S",
      join(this.#dir, "m"),
      "-T",
      ...this.#target.args,
      line,
    ];
    let output: Output;
    try {
      output = await run("ssh", args, {
        input,
        timeoutMs,
        ...(signal ? { signal } : {}),
        ...(maxOutput ? { maxOutput } : {}),
        ...(onStdout ? { onStdout } : {}),
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw new AirgapError("network", `${this.name}: ${messageOf(error)}`, { cause: error });
    }
    if (output.code === 255 || output.code === null) throw this.#broken(output.stderr);
    return output;
  }

  #broken(stderr: string): AirgapError {
    const why = stderr.trim() || this.#lost || "the connection ended";
    return new AirgapError("network", `${this.name}: the connection broke: ${why}`);
  }
}

/** What it takes to connect. */
interface Call {
  target: ResolvedTarget;
  identityFile: string | undefined;
  options: SshOptions;
  /** Folder of the socket and of ssh's questions. */
  dir: string;
}

/** The environment through which ssh gets its answers. ssh must not have a terminal. */
function environment({ options, identityFile, target, dir }: Call, fingerprint = ""): NodeJS.ProcessEnv {
  return {
    ...process.env,
    SSH_ASKPASS: join(dir, "ask"),
    SSH_ASKPASS_REQUIRE: "force",
    // ssh before 8.4 uses SSH_ASKPASS only with a display.
    DISPLAY: process.env["DISPLAY"] ?? ":0",
    AIRGAP_ASK_DIR: dir,
    AIRGAP_ASK_NAMES: target.names.join(" "),
    AIRGAP_ASK_USER: target.user,
    // ssh cuts its question after 100 bytes.
    AIRGAP_ASK_KEY: identityFile !== undefined && Buffer.byteLength(identityFile) <= 100 ? identityFile : "",
    AIRGAP_ASK_PASSWORD: options.password ?? "",
    AIRGAP_ASK_PASSPHRASE: options.passphrase ?? "",
    AIRGAP_ASK_FINGERPRINT: fingerprint,
  };
}

async function connect(
  target: SshTarget,
  resolved: ResolvedTarget,
  options: SshOptions,
  dir: string,
): Promise<ChildProcess> {
  copyFileSync(shippedPath("host/askpass.sh"), join(dir, "ask"));
  chmodSync(join(dir, "ask"), 0o700);
  const call: Call = { target: resolved, identityFile: target.identityFile, options, dir };
  const refused = (ended: Ended): AirgapError =>
    explainSshFailure({ target, resolved, options, ...ended, read: (name) => readAnswer(dir, name) });
  const first = await start(call, options.fingerprint);
  if ("master" in first) return first.master;
  const asked = askedHostKey(first.stderr, (name) => readAnswer(dir, name));
  if (asked === undefined || options.fingerprint !== undefined || (await options.confirm?.(asked)) !== true)
    throw refused(first);
  for (const name of ANSWERS) rmSync(join(dir, name), { force: true });
  const second = await start(call, asked.fingerprint);
  if ("master" in second) return second.master;
  throw refused(second);
}

function readAnswer(dir: string, name: string): string | undefined {
  try {
    return readFileSync(join(dir, name), "utf8").trimEnd();
  } catch {
    return undefined;
  }
}

/** How ssh ended without a connection. */
interface Ended {
  stderr: string;
  /** Its exit status: the remote shell's, and 255 where ssh itself failed. */
  code: number | null;
  stdout: string;
}

/** Starts the connection that all commands share; it lives as long as our end of its stdin. */
function start(call: Call, fingerprint: string | undefined): Promise<{ master: ChildProcess } | Ended> {
  const { options, target, dir } = call;
  const args = [
    "-M",
    "-S",
    join(dir, "m"),
    ...connectionOptions(options),
    ...target.args,
    `echo ${READY}; exec cat >/dev/null`,
  ];
  const { signal, connectMs = 60_000 } = options;
  return new Promise((resolve, reject) => {
    // In its own session ssh finds no terminal.
    const child = spawn("sh", ["-c", AS_ASKED, "ssh", ...args], {
      stdio: "pipe",
      detached: true,
      env: environment(call, fingerprint),
    });
    let [out, err] = ["", ""];
    const timer = setTimeout(() => {
      err += `\nno connection within ${connectMs / 1000} s`;
      child.kill();
    }, connectMs);
    const stop = (): void => void child.kill();
    signal?.addEventListener("abort", stop, { once: true });
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    };
    child.stdout.on("data", (chunk: Buffer) => {
      if (out.length > 65_536) return;
      out += chunk.toString("utf8");
      if (!out.includes(READY)) return;
      settle();
      resolve({ master: child });
    });
    child.stderr.on("data", (chunk: Buffer) => {
      if (err.length < 65_536) err += chunk.toString("utf8");
    });
    child.stdin.on("error", () => {});
    child.on("error", (cause) => {
      settle();
      reject(
        new AirgapError("environment", `cannot start ssh: ${messageOf(cause)}`, {
          cause,
          suggestions: ["apt-get install openssh-client", "dnf install openssh-clients"],
        }),
      );
    });
    child.on("close", (code) => {
      settle();
      if (signal?.aborted) reject(signal.reason as Error);
      else resolve({ stderr: err, code, stdout: out });
    });
  });
}
