import { existsSync } from "node:fs";
import { access, constants, readdir } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { helmVersion } from "../discovery/charts/render.ts";
import { run } from "../host/process.ts";
import { type DoctorFinding, firstLine } from "./finding.ts";

const TIMEOUT_MS = 10_000;

/** What a program says of its version, or undefined when it does not start. */
async function versionOf(program: string, args: string[]): Promise<string | undefined> {
  try {
    const { code, stdout, stderr } = await run(program, args, { timeoutMs: TIMEOUT_MS });
    return code === 0 ? firstLine(stdout || stderr) : undefined;
  } catch {
    return undefined;
  }
}

function program(name: string, version: string | undefined, without: string, remedy: string): DoctorFinding {
  return version === undefined
    ? { name, state: "missing", found: `${name} is not on the PATH`, without, remedy }
    : { name, state: "ok", found: version };
}

export const lookAtHelm = async (): Promise<DoctorFinding> =>
  program(
    "helm",
    await helmVersion(),
    "`charts:` in specs does not work; `images find` reads a chart's values instead of rendering it",
    "put the helm binary (version 3) on the PATH",
  );

export const lookAtSsh = async (): Promise<DoctorFinding> =>
  program(
    "ssh",
    await versionOf("ssh", ["-V"]),
    "no command reaches hosts over SSH; `connection: local` and `install --script` work",
    "install the package openssh-client (Debian) or openssh-clients (EL)",
  );

/** Private keys of the user, or an agent that may have some. */
export async function lookAtSshKeys(): Promise<DoctorFinding> {
  const agent = process.env["SSH_AUTH_SOCK"];
  const folder = join(homedir(), ".ssh");
  const names = await readdir(folder).catch((): string[] => []);
  const keys = names.filter((name) => name.endsWith(".pub") && names.includes(name.slice(0, -".pub".length)));
  const found = [
    ...keys.map((name) => join(folder, name.slice(0, -".pub".length))),
    ...(agent && existsSync(agent) ? [`the agent at ${agent}`] : []),
  ];
  if (found.length > 0) return { name: "ssh-key", state: "ok", found: found.join(", ") };
  return {
    name: "ssh-key",
    state: "missing",
    found: `there is no key in ${folder} and no agent`,
    without: "hosts ask for a password: `ssh: { passwordEnv: … }` in the cluster file",
    remedy: "ssh-keygen -t ed25519, then airgap hosts authorize CLUSTER",
  };
}

export const lookAtGit = async (): Promise<DoctorFinding> =>
  program(
    "git",
    await versionOf("git", ["--version"]),
    "kustomizations with remote bases do not work",
    "install git",
  );

export const lookAtKubectl = async (): Promise<DoctorFinding> =>
  program(
    "kubectl",
    await versionOf("kubectl", ["version", "--client"]),
    "`images find --cluster` does not work",
    "put kubectl on the PATH, or run that command on a control plane",
  );

/** Docker's engine is spoken to directly: no docker program is needed. */
export async function lookAtDocker(): Promise<DoctorFinding> {
  const without = "`from: docker-daemon:…` in specs does not work, nor `copy` from and to the engine";
  const host = process.env["DOCKER_HOST"];
  if (host) return { name: "docker", state: "ok", found: `DOCKER_HOST=${host}` };
  const socket = "/var/run/docker.sock";
  if (!existsSync(socket))
    return {
      name: "docker",
      state: "missing",
      found: `there is no ${socket}`,
      without,
      remedy: "start Docker, or set DOCKER_HOST",
    };
  try {
    await access(socket, constants.R_OK | constants.W_OK);
    return { name: "docker", state: "ok", found: socket };
  } catch {
    return {
      name: "docker",
      state: "missing",
      found: `you may not use ${socket}`,
      without,
      remedy: "run as root, or join the group docker: usermod -aG docker USER",
    };
  }
}
