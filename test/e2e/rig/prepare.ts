// Fills the rig's caches: node test/e2e/rig/prepare.ts [VERSION …]
// What is there already costs a second; everything anew takes a quarter of an hour on two cores.
import { existsSync } from "node:fs";
import { cacheFolder } from "./cache.ts";
import { type KubernetesVersion, kubernetes, kubernetesVersions } from "./go/recipes.ts";
import { mirrorStorage } from "./images/catalogue.ts";
import { elBase, elPackages, kubernetesDebs, kubernetesRpms } from "./packages/repositories.ts";
import { isBuilt } from "./programs.ts";
import { must, say } from "./shell.ts";
import { debianTree } from "./system/debian.ts";

/** Programs of this machine that the rig calls, with the Debian packages that have them. */
const PROGRAMS: Record<string, string> = {
  "systemd-nspawn": "systemd-container",
  mmdebstrap: "mmdebstrap",
  "docker-registry": "docker-registry",
  nsenter: "util-linux",
  ip: "iproute2",
  iptables: "iptables",
  gcc: "gcc",
  gpg: "gnupg",
  rpmbuild: "rpm",
  createrepo_c: "createrepo-c",
  "ssh-keygen": "openssh-client",
  curl: "curl",
  skopeo: "skopeo",
  pgrep: "procps",
};

const found = (program: string): boolean =>
  ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"].some((folder) =>
    existsSync(`${folder}/${program}`),
  );

/** Installs what is missing of the programs above. */
export async function installPrograms(): Promise<void> {
  const missing = Object.entries(PROGRAMS).flatMap(([program, name]) => (found(program) ? [] : [name]));
  if (missing.length === 0) return;
  say(`installing ${missing.join(", ")}`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  await unlocked(["update", "-q"], env);
  await unlocked(
    ["install", "-y", "-q", "--no-install-recommends", ...missing, "libc6-dev", "ca-certificates"],
    env,
  );
}

/** Somebody else's apt or dpkg at work, in the words of both. */
const LOCKED = /Could not get lock|Unable to (?:acquire|lock)|is another process using it/;
const LOCK_MINUTES = 10;

/** Runs apt-get, and waits for its locks: timers of the system hold them for minutes. */
async function unlocked(args: string[], env: NodeJS.ProcessEnv): Promise<void> {
  const end = Date.now() + LOCK_MINUTES * 60_000;
  for (;;) {
    try {
      await must("apt-get", args, { timeoutMs: 600_000, env });
      return;
    } catch (error) {
      if (!(error instanceof Error && LOCKED.test(error.message)) || Date.now() > end) throw error;
      say("another apt is at work; waiting for its lock");
      await new Promise((wake) => setTimeout(wake, 5000));
    }
  }
}

/** Everything that the tests with real hosts take out of the cache, for these Kubernetes versions. */
export async function prepare(versions: KubernetesVersion[]): Promise<void> {
  await installPrograms();
  await debianTree();
  for (const version of versions) {
    await mirrorStorage(version);
    await kubernetesDebs(version);
  }
  if (!versions.includes("v1.34.4")) return;
  await elPackages();
  await elBase();
  await kubernetesRpms("v1.34.4");
}

/** Whether a version's programs are there; says so when not: compiling them takes longer than a test may. */
export function compiled(version: KubernetesVersion): boolean {
  const there = isBuilt(kubernetes(version));
  if (!there)
    say(
      `passed over: the tests with Kubernetes ${version}; fill the cache first: node test/e2e/rig/prepare.ts ${version}`,
    );
  return there;
}

const isVersion = (text: string): text is KubernetesVersion => text in kubernetesVersions;

if (import.meta.main) {
  const known = Object.keys(kubernetesVersions).filter(isVersion);
  const asked = process.argv.slice(2);
  const unknown = asked.filter((text) => !isVersion(text));
  if (unknown.length > 0) throw new Error(`the rig has ${known.join(", ")}, not ${unknown.join(", ")}`);
  await prepare(asked.length > 0 ? asked.filter(isVersion) : known);
  say(`everything is in ${cacheFolder}`);
}
