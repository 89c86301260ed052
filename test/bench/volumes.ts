// A large bundle is split, verified by volume, and merged from a delta: time and memory of each command. By hand:
// node test/bench/volumes.ts [SIZE in GB, default 10]. Needs GNU time, and twice SIZE of space below the temporary folder.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const gigabytes = Number(process.argv[2] ?? 10);
const work = mkdtempSync(join(tmpdir(), "airgap-volumes-"));
const at = (name: string): string => join(work, name);
const airgap = resolve(import.meta.dirname, "../../bin/airgap");

function run(title: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(
    "/usr/bin/time",
    ["-f", "measured %e %M", airgap, ...args, "--quiet"],
    {
      cwd: work,
      encoding: "utf8",
      env: { ...process.env, AIRGAP_CACHE_DIR: at("cache"), NO_COLOR: "1" },
      maxBuffer: 64 << 20,
    },
  );
  const [, seconds = "", kilobytes = ""] = /measured (\S+) (\d+)/.exec(stderr) ?? [];
  if (status !== 0) throw new Error(`${title}: ${stderr}`);
  process.stdout.write(
    `| ${title} | ${Number(seconds).toFixed(1)} s | ${Math.round(Number(kilobytes) / 1024)} MiB |\n`,
  );
}

function spec(text: string): void {
  writeFileSync(at("small.txt"), text);
  writeFileSync(
    at("site.yaml"),
    "apiVersion: airgap/v1\nkind: Bundle\nname: site\nfiles: [{ path: big.bin }, { path: small.txt }]\n",
  );
}

try {
  writeFileSync(at("big.bin"), "");
  truncateSync(at("big.bin"), gigabytes * 1e9);
  process.stdout.write(`| ${gigabytes} GB, sparse | time | memory at most |\n|---|---|---|\n`);
  spec("old");
  run("`build`", "build", "site.yaml", "-o", "site.tar");
  run("`split --volume-size 4480MiB`", "split", "site.tar", "--volume-size", "4480MiB", "--to", "volumes");
  rmSync(at("site.tar"));
  run("`verify` of one volume", "verify", "volumes/site.tar.000");
  run("`verify` of all volumes", "verify", "volumes/site.tar");
  run("`receipt` of the volumes", "receipt", "volumes/site.tar", "-o", "receipt.json");
  spec("new");
  run("`build --since`", "build", "site.yaml", "-o", "delta.tar", "--since", "receipt.json");
  process.stdout.write(`The delta has ${statSync(at("delta.tar")).size} bytes.\n`);
  run("`merge`", "merge", "volumes/site.tar", "delta.tar", "-o", "new.tar");
  rmSync(at("volumes"), { recursive: true });
  run("`verify` of the merged bundle", "verify", "new.tar");
} finally {
  rmSync(work, { recursive: true, force: true });
}
