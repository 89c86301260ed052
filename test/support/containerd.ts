import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { command, Daemon } from "./daemon.ts";

export interface Containerd extends AsyncDisposable {
  ctr(...args: string[]): Promise<string>;
  /** Folder of hosts.toml files. */
  certs: string;
}

/**
 * Debian's containerd with a state of its own below `dir`.
 * @param within what every program is started with, e.g. `ip netns exec NAME`
 */
export async function startContainerd(dir: string, within: string[] = []): Promise<Containerd> {
  mkdirSync(dir, { recursive: true });
  const address = join(dir, "containerd.sock");
  const config = join(dir, "containerd.toml");
  writeFileSync(
    config,
    `version = 2\nroot = "${dir}/root"\nstate = "${dir}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "${address}"\n`,
  );
  const [program = "", ...first] = [...within, "ctr", "--address", address];
  const ctr = async (...args: string[]): Promise<string> =>
    (await command(program, [...first, ...args], { maxBuffer: 1 << 26 })).stdout;
  const [start = "", ...rest] = [...within, "containerd", "--config", config];
  const daemon = await Daemon.start(start, rest, async () => (await ctr("version")).includes("Server"));
  return { ctr, certs: join(dir, "certs.d"), [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]() };
}
