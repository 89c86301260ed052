import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { type ClusterHost, namedHosts } from "../cluster/cluster.ts";
import { type ConnectOptions, openerFor } from "../cluster/connect.ts";
import { readCluster } from "../cluster/read.ts";
import { AirgapError, messageOf } from "../errors.ts";
import { run } from "../host/process.ts";
import { withLibrary } from "../plan/script.ts";
import { Session } from "../plan/session.ts";
import { call } from "../plan/shell.ts";
import { StateDir } from "../plan/state-dir.ts";

export interface AuthorizeOptions extends ConnectOptions {
  clusterFile: string;
  hosts?: string[];
}

export interface AuthorizeResult {
  hosts: { host: string; user: string; state: "installed" | "present"; key: string }[];
}

const USUAL = ["id_ed25519", "id_ecdsa", "id_rsa"];

/** The key to install: the cluster file's, which is created if it does not exist, otherwise the user's own. */
async function publicKey({ ssh }: ClusterHost): Promise<{ identity: string; line: string }> {
  const identity =
    ssh.identityFile ??
    USUAL.map((name) => join(homedir(), ".ssh", name)).find((file) => existsSync(`${file}.pub`));
  if (identity === undefined) {
    throw new AirgapError(
      "usage",
      "There is no key to install: the cluster file does not name one, and ~/.ssh has none",
      {
        suggestions: [
          "ssh-keygen -t ed25519",
          "or name one, which airgap then creates: `ssh: { identityFile: ~/.ssh/site }`",
        ],
      },
    );
  }
  if (!existsSync(identity)) {
    const { code, stderr } = await run(
      "ssh-keygen",
      ["-q", "-t", "ed25519", "-N", "", "-C", "airgap", "-f", identity],
      { timeoutMs: 30_000 },
    );
    if (code !== 0) throw new AirgapError("disk", `Cannot create the key ${identity}: ${stderr.trim()}`);
  }
  try {
    const line = readFileSync(`${identity}.pub`, "utf8").trim();
    if (/^(?:ssh|ecdsa|sk)-[\w@.-]+ [A-Za-z0-9+/=]+(?: .*)?$/.test(line)) return { identity, line };
  } catch (cause) {
    throw new AirgapError("disk", `Cannot read ${identity}.pub: ${messageOf(cause)}`, {
      cause,
      suggestions: [`ssh-keygen -y -f ${identity} > ${identity}.pub`],
    });
  }
  throw new AirgapError("spec", `${identity}.pub is not an SSH public key`);
}

/**
 * Installs a key on hosts that are reached by password, and proves that a login with it works.
 * @throws AirgapError
 */
export async function authorize(options: AuthorizeOptions): Promise<AuthorizeResult> {
  const { signal } = options;
  const cluster = await readCluster(options.clusterFile);
  const hosts = namedHosts(cluster, options.hosts).filter(({ connection }) => connection === "ssh");
  if (hosts.length === 0) throw new AirgapError("usage", "None of these hosts is reached by SSH");
  const open = openerFor(StateDir.open(cluster), options);
  const keys = new Map<string, Awaited<ReturnType<typeof publicKey>>>();
  for (const host of hosts) keys.set(host.name, await publicKey(host));
  const session = await Session.start(hosts, open);
  try {
    const results = await Promise.all(
      hosts.map(async ({ name }): Promise<AuthorizeResult["hosts"][number]> => {
        const { identity = "", line = "" } = keys.get(name) ?? {};
        const { code, stdout, stderr } = await session
          .get(name)
          .run(withLibrary(call("authorize_key", line)), signal ? { signal } : {});
        if (code !== 0)
          throw new AirgapError("step-failed", `${name}: cannot install the key: ${stderr.trim()}`);
        const [state, user = ""] = stdout.trim().split(" ");
        return { host: name, user, state: state === "present" ? "present" : "installed", key: identity };
      }),
    );
    const byKey = hosts.map((host) => withKeyAlone(host, keys.get(host.name)?.identity ?? ""));
    await (await Session.start(byKey, open)).close();
    return { hosts: results };
  } finally {
    await session.close();
  }
}

/** The same host without its password, so that only the key can log in. */
function withKeyAlone(host: ClusterHost, identityFile: string): ClusterHost {
  const { passwordEnv: _, ...ssh } = host.ssh;
  return { ...host, ssh: { ...ssh, identityFile } };
}
