import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

export const command = promisify(execFile);

/** A port of loopback that nobody listens on now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}

/** A real program that runs beside a test, by its own process. */
export class Daemon implements AsyncDisposable {
  readonly child: ChildProcess;
  output = "";

  private constructor(child: ChildProcess) {
    this.child = child;
    for (const stream of [child.stdout, child.stderr])
      stream?.on("data", (chunk: Buffer) => (this.output = (this.output + chunk.toString()).slice(-100_000)));
  }

  /** Starts a program and waits until `ready` resolves to true. */
  static async start(
    program: string,
    args: string[],
    ready: () => Promise<boolean>,
    env: NodeJS.ProcessEnv = {},
  ): Promise<Daemon> {
    const daemon = new Daemon(
      spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } }),
    );
    for (let i = 0; i < 300; i++) {
      if (daemon.child.exitCode !== null)
        throw new Error(`${program} ended with ${daemon.child.exitCode}: ${daemon.output}`);
      if (await ready().catch(() => false)) return daemon;
      await sleep(100);
    }
    await daemon[Symbol.asyncDispose]();
    throw new Error(`${program} did not get ready: ${daemon.output}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill("SIGTERM");
    await Promise.race([ended, sleep(10_000).then(() => this.child.kill("SIGKILL"))]);
    await ended;
  }
}
