import { randomUUID } from "node:crypto";
import { createConnection } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AirgapError } from "../errors.ts";
import { run } from "../host/process.ts";
import { shipped } from "../host/shipped.ts";
import type { Engine } from "../transport/engine.ts";

/** A throw-away host to be. */
export interface HostSettings {
  name: string;
  address: string;
  image: string;
  /** An address that somebody else holds at the site. */
  also?: string;
}

/** A throw-away host that runs. */
export interface RunningHost extends HostSettings {
  /** The engine's id of its container. */
  id: string;
  /** `SHA256:…` */
  hostKey: string;
}

export interface HostsSettings {
  /** Before the name of each container. */
  prefix: string;
  network: string;
  /** Where everything goes that is for nobody. */
  outside: string;
  /** Ranges of hosts, pods and services: what goes there is no attempt to reach something outside. */
  inside: readonly string[];
  publicKey: string;
  mounts: string[];
  labels: Record<string, string>;
  signal?: AbortSignal | undefined;
}

/** Makes the key with which airgap logs in. @returns path of the private key, and the public one */
export async function makeKey(folder: string): Promise<{ identityFile: string; publicKey: string }> {
  const identityFile = join(folder, "id");
  const args = ["-q", "-t", "ed25519", "-N", "", "-C", "airgap-rehearsal", "-f", identityFile];
  const { code, stderr } = await run("ssh-keygen", args, { timeoutMs: 20_000 }).catch((cause: unknown) => {
    throw new AirgapError("environment", "cannot start ssh-keygen", {
      cause,
      suggestions: ["apt-get install openssh-client", "dnf install openssh-clients"],
    });
  });
  if (code !== 0) throw new AirgapError("environment", `ssh-keygen: ${stderr.trim()}`);
  const { stdout } = await run("ssh-keygen", ["-y", "-f", identityFile], { timeoutMs: 20_000 });
  return { identityFile, publicKey: stdout.trim() };
}

/** Starts a host and waits until its init is up and its sshd answers. @throws AirgapError `environment` */
export async function startHost(
  engine: Engine,
  host: HostSettings,
  settings: HostsSettings,
): Promise<RunningHost> {
  const { prefix, network, outside, inside, publicKey, mounts, labels, signal } = settings;
  const uuid = randomUUID();
  const id = await engine.create({
    name: `${prefix}-${host.name}`,
    image: host.image,
    hostname: host.name,
    command: ["/bin/sh", "-c", shipped("rehearse/cgroups.sh"), shipped("rehearse/boot.sh")],
    env: {
      container: "docker",
      REHEARSAL_HOSTNAME: host.name,
      REHEARSAL_OUTSIDE: outside,
      REHEARSAL_INSIDE: inside.join(", "),
      REHEARSAL_ALSO: host.also ?? "",
      REHEARSAL_MACHINE_ID: uuid.replaceAll("-", ""),
      REHEARSAL_UUID: uuid,
      REHEARSAL_KEY: publicKey,
    },
    labels: { ...labels, "airgap.host": host.name },
    network: { name: network, address: host.address },
    mounts,
    // Layers of the hosts' runtimes can't lie on layers of the engine.
    volumes: ["/var"],
  });
  await engine.start(id);
  await isUp(engine, id, host, signal);
  const { stdout } = await engine.exec(id, ["ssh-keygen", "-l", "-f", "/etc/ssh/ssh_host_ed25519_key.pub"]);
  const hostKey = /SHA256:[A-Za-z0-9+/]{43}/.exec(stdout)?.[0];
  if (hostKey === undefined)
    throw new AirgapError("environment", `${host.name}: ${host.image} made no SSH host key`);
  await answers(host, signal);
  return { ...host, id, hostKey };
}

const START_MS = 120_000;
const SSH_MS = 30_000;

async function isUp(
  engine: Engine,
  id: string,
  { name, image }: HostSettings,
  signal: AbortSignal | undefined,
): Promise<void> {
  const end = Date.now() + START_MS;
  for (;;) {
    signal?.throwIfAborted();
    if (!(await engine.isRunning(id)))
      throw new AirgapError(
        "environment",
        `${name} did not start from ${image}: ${(await engine.logs(id)).trim().slice(-800) || "it said nothing"}`,
        {
          suggestions: ["the image needs systemd, openssh-server, iproute2 and mount (docs/rehearse.md)"],
        },
      );
    const asked = ["systemctl", "is-system-running"];
    const { stdout } = await engine.exec(id, asked, 20_000).catch(() => ({ stdout: "" }));
    if (/running|degraded/.test(stdout)) break;
    if (Date.now() > end)
      throw new AirgapError(
        "environment",
        `${name}: its init was not up within ${START_MS / 1000} s (${stdout.trim()})`,
      );
    await sleep(300, undefined, signal ? { signal } : {});
  }
  for (const unit of ["ssh", "sshd"]) {
    const { code } = await engine.exec(id, ["systemctl", "start", unit]);
    if (code === 0) return;
  }
  throw new AirgapError("environment", `${name}: sshd does not start from ${image}`, {
    suggestions: [`docker run --rm ${image} ls /usr/sbin/sshd`],
  });
}

/** Waits until something listens at the host's port for SSH. */
async function answers({ name, address }: HostSettings, signal: AbortSignal | undefined): Promise<void> {
  const end = Date.now() + SSH_MS;
  while (!(await listens(address, 22))) {
    signal?.throwIfAborted();
    if (Date.now() > end)
      throw new AirgapError(
        "environment",
        `${name} runs, and this machine does not reach it at ${address}:22: containers of this engine are on a network of another machine`,
        { suggestions: ["run airgap on the machine of the engine"], ref: "docs/rehearse.md" },
      );
    await sleep(300);
  }
}

function listens(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port, timeout: 3000 });
    const end = (found: boolean): void => {
      socket.destroy();
      resolve(found);
    };
    socket.once("data", () => end(true));
    socket.once("error", () => end(false));
    socket.once("timeout", () => end(false));
    socket.once("close", () => end(false));
  });
}
