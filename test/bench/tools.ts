import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { TAG } from "./corpus.ts";

/** What a script is to move. */
export interface Job {
  /** The registry, or the slow line in front of it. */
  host: string;
  repositories: string[];
  /** Folder with `bundle.tar`, `paths` (of every blob, below the registry's address) and one OCI layout for each image: `0`, `1` … */
  prepared: string;
}

/** A way to move all images, as a shell script that runs in a folder of its own. */
export interface Tool {
  name: string;
  version: string;
  ours: boolean;
  /** The least that moves the bytes, checking nothing: no peer, but what is left to gain. */
  floor?: boolean;
  /** All images into `out` or `out.tar`. */
  pull(job: Job): string;
  /** Absent where it is the same as another tool's. */
  push?(job: Job): string;
}

export interface ToolOptions {
  /** The command that is measured. */
  airgap: string;
  /** Processes at a time for the peers' second row; 0 = no such rows. */
  parallel: number;
}

/** Runs a line for each image, `$i` being its number and `$r` its repository: one after the other, or several at a time. */
function each({ repositories }: Job, line: string, parallel: number): string {
  const list = `printf '%s\\n' ${repositories.map((name, i) => `'${i} ${name}'`).join(" ")}`;
  if (parallel === 0) return `${list} | while read -r i r; do ${line}; done`;
  return `${list} | xargs -P ${parallel} -L 1 sh -ec 'i=$0 r=$1; ${line}'`;
}

function crane(program: string, version: string, parallel: number): Tool {
  return {
    name: named("crane", parallel),
    version,
    ours: false,
    pull: (job) =>
      parallel === 0
        ? `${program} pull --insecure --format=oci ${job.repositories.map((name) => `${job.host}/${name}:${TAG}`).join(" ")} out`
        : each(job, `${program} pull --insecure --format=oci ${job.host}/$r:${TAG} out/$i`, parallel),
    push: (job) => each(job, `${program} push --insecure ${job.prepared}/$i ${job.host}/$r:${TAG}`, parallel),
  };
}

function skopeo(program: string, version: string, parallel: number): Tool {
  const copy = `${program} --insecure-policy copy -q`;
  const into = parallel === 0 ? "oci:out:$i" : `--dest-shared-blob-dir out oci:out-$i:${TAG}`;
  return {
    name: named("skopeo", parallel),
    version,
    ours: false,
    pull: (job) =>
      each(job, `${copy} --src-tls-verify=false docker://${job.host}/$r:${TAG} ${into}`, parallel),
    push: (job) =>
      each(
        job,
        `${copy} --dest-tls-verify=false oci:${job.prepared}/$i:${TAG} docker://${job.host}/$r:${TAG}`,
        parallel,
      ),
  };
}

function regctl(program: string, version: string, parallel: number, more = ""): Tool {
  const copy = ({ host }: Job): string => `${program} --host reg=${host},tls=disabled image copy${more}`;
  return {
    name: named(more === "" ? "regctl" : "regctl, signatures too", parallel),
    version,
    ours: false,
    pull: (job) =>
      each(
        job,
        `${copy(job)} ${job.host}/$r:${TAG} ocidir://out${parallel === 0 ? ":$i" : `/$i:${TAG}`}`,
        parallel,
      ),
    ...(more === ""
      ? {
          push: (job) =>
            each(job, `${copy(job)} ocidir://${job.prepared}/$i:${TAG} ${job.host}/$r:${TAG}`, parallel),
        }
      : {}),
  };
}

/** @param slow  without the fast lane: a limit that is never reached sends blobs through the ordinary client */
function airgap(program: string, slow = false): Tool {
  const more = slow ? " --limit-rate 1000G" : "";
  return {
    name: slow ? "airgap, fast lane off" : "airgap",
    version: versionOf(program, ["--version"]),
    ours: true,
    pull: ({ host, repositories }) =>
      `cat > site.yaml <<'END'\n${specOf(host, repositories)}END\n${program} build site.yaml -o out.tar --quiet${more}`,
    ...(slow
      ? {}
      : {
          push: ({ host, prepared }) =>
            `${program} push ${prepared}/bundle.tar ${host} --layout path --quiet`,
        }),
  };
}

/** Bytes from the registry to the disk by one process with open connections; nothing is hashed. */
function curl(version: string): Tool {
  return {
    name: "floor: curl of every blob",
    version,
    ours: false,
    floor: true,
    pull: ({ host, prepared }) =>
      `awk -v 'at=http://${host}' '{ printf "url = \\"%s%s\\"\\noutput = %d\\n", at, $0, NR }' ${prepared}/paths > list; curl -sf -Z --parallel-max 8 -K list`,
  };
}

/** The spec that names all images. They are the site's own, so that `serve` gives them under their plain names. */
export function specOf(host: string, repositories: string[]): string {
  return `apiVersion: airgap/v1\nkind: Bundle\nname: bench\nsiteName: ${host}\nimages:\n${repositories.map((name) => `  - ${host}/${name}:${TAG}\n`).join("")}`;
}

const named = (name: string, parallel: number): string =>
  parallel === 0 ? name : `${name}, ${parallel} at once`;

function versionOf(program: string, args: string[]): string {
  const { stdout } = spawnSync(program, args, { encoding: "utf8" });
  return /v?\d+\.\d+\.\d+[\w.-]*/.exec(stdout ?? "")?.[0] ?? "";
}

/** Where a program is: on the PATH, or where `go install` puts it. */
function find(name: string): string | undefined {
  const gopath = spawnSync("go", ["env", "GOPATH"], { encoding: "utf8" }).stdout?.trim();
  const folders = [...(process.env["PATH"] ?? "").split(":"), ...(gopath ? [join(gopath, "bin")] : [])];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** airgap, and every peer that this machine has. */
export function findTools({ airgap: program, parallel }: ToolOptions): Tool[] {
  const tools = [airgap(program), airgap(program, true)];
  for (const [name, make, version] of [
    ["crane", crane, ["version"]],
    ["regctl", regctl, ["version", "--format", "{{.VCSTag}}"]],
    ["skopeo", skopeo, ["--version"]],
  ] as const) {
    const path = find(name);
    if (path === undefined) continue;
    const found = versionOf(path, [...version]);
    for (const jobs of parallel === 0 ? [0] : [0, parallel]) tools.push(make(path, found, jobs));
    if (name === "regctl") tools.push(regctl(path, found, 0, " --digest-tags --referrers"));
  }
  if (find("curl") !== undefined) tools.push(curl(versionOf("curl", ["--version"])));
  return tools;
}
