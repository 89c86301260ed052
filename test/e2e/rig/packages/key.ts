import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cached } from "../cache.ts";
import { must, output } from "../shell.ts";

/** An OpenPGP key pair of the rig's own packagers: made here, worth nothing elsewhere. */
export interface PackagerKey {
  home: string;
  id: string;
  /** File with the armored public key. */
  publicKey: string;
}

const gpg = (home: string, ...args: string[]): string[] => [
  "gpg",
  "--homedir",
  home,
  "--batch",
  "--quiet",
  "--pinentry-mode",
  "loopback",
  "--passphrase",
  "",
  ...args,
];

async function withGpg<T>(home: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } finally {
    await must("gpgconf", ["--homedir", home, "--kill", "gpg-agent"]).catch(() => {});
  }
}

export async function packagerKey(): Promise<PackagerKey> {
  const home = await cached("key", "rsa3072", async (folder) => {
    await must("chmod", ["0700", folder]);
    await withGpg(folder, async () => {
      const [command = "", ...args] = gpg(
        folder,
        "--quick-generate-key",
        "Rig packager <packager@rig.invalid>",
        "rsa3072",
        "sign",
        "never",
      );
      await must(command, args);
      const [exporter = "", ...flags] = gpg(folder, "--armor", "--export");
      await writeFile(join(folder, "public.asc"), `${await output(exporter, flags)}\n`);
    });
    // Sockets of an agent that ran under another name.
    for (const name of ["S.gpg-agent", "S.gpg-agent.extra", "S.gpg-agent.browser", "S.gpg-agent.ssh"])
      await rm(join(folder, name), { force: true });
  });
  const listed = await output("gpg", ["--homedir", home, "--batch", "--with-colons", "--list-keys"]);
  return { home, id: /^fpr:+([0-9A-F]{40}):/m.exec(listed)?.[1] ?? "", publicKey: join(home, "public.asc") };
}

/** Signs `text` in the clear, as an InRelease file is. */
export async function clearSigned(key: PackagerKey, text: string): Promise<string> {
  const [command = "", ...args] = gpg(
    key.home,
    "--digest-algo",
    "SHA512",
    "--local-user",
    key.id,
    "--clearsign",
  );
  return withGpg(key.home, async () => (await must(command, args, { input: text })).stdout);
}

/** Makes the detached signature `FILE.asc`. */
export async function detachedSigned(key: PackagerKey, file: string): Promise<void> {
  const [command = "", ...args] = gpg(
    key.home,
    "--yes",
    "--armor",
    "--local-user",
    key.id,
    "--detach-sign",
    file,
  );
  await withGpg(key.home, () => must(command, args));
}

/** Signs RPMs in place. */
export async function signRpms(key: PackagerKey, files: string[]): Promise<void> {
  await withGpg(key.home, () =>
    must(
      "rpmsign",
      ["--define", "__gpg /usr/bin/gpg", "--define", `_gpg_name ${key.id}`, "--addsign", ...files],
      {
        env: { ...process.env, GNUPGHOME: key.home },
        timeoutMs: 300_000,
      },
    ),
  );
}

export const publicKeyOf = (key: PackagerKey): Promise<string> => readFile(key.publicKey, "utf8");

/** The private key, armored and without a passphrase: what a site signs its own repositories with. */
export async function privateKeyOf(key: PackagerKey): Promise<string> {
  const [command = "", ...args] = gpg(key.home, "--armor", "--export-secret-keys", key.id);
  return withGpg(key.home, async () => (await must(command, args)).stdout);
}
