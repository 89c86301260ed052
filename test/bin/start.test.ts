import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Scratch } from "../support/scratch.ts";

const root = join(import.meta.dirname, "../..");

/** A machine whose PATH has these programs alone: scripts by name. */
function machine(scratch: Scratch, programs: Record<string, string>): NodeJS.ProcessEnv {
  mkdirSync(scratch.path("bin"));
  for (const name of ["sh", "readlink", "dirname", "cat", "sed", "id", "rm", "mkdir", "ln", "cp", "mv"])
    symlinkSync(`/usr/bin/${name}`, scratch.path(`bin/${name}`));
  for (const [name, text] of Object.entries(programs))
    chmodSync(scratch.write(`bin/${name}`, `#!/bin/sh\n${text}\n`), 0o755);
  return { PATH: scratch.path("bin"), HOME: scratch.dir };
}

/** An unpacked archive with a Node that only says that it was started. */
function archive(scratch: Scratch, glibc: string): string {
  for (const folder of ["tool/bin", "tool/node/bin"]) mkdirSync(scratch.path(folder), { recursive: true });
  copyFileSync(join(root, "bin/airgap"), scratch.path("tool/bin/airgap"));
  copyFileSync(join(root, "bin/install.sh"), scratch.path("tool/install.sh"));
  chmodSync(scratch.write("tool/node/bin/node", '#!/bin/sh\necho "started $*"\n'), 0o755);
  scratch.write("tool/node/glibc", `${glibc}\n`);
  return scratch.path("tool");
}

const run = (program: string, args: string[], env: NodeJS.ProcessEnv) => {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", env });
  return { status, stdout, stderr };
};

it.skipIf(spawnSync("shellcheck", ["--version"]).error !== undefined)(
  "shellcheck finds nothing in them",
  () => {
    for (const name of ["bin/airgap", "bin/install.sh"])
      expect([name, run("shellcheck", [join(root, name)], process.env).stdout]).toEqual([name, ""]);
  },
);

describe("bin/airgap on a machine", () => {
  it("with CentOS 7's glibc says which it has and needs, and where the way without is", () => {
    using scratch = new Scratch();
    const env = machine(scratch, { getconf: "echo glibc 2.17" });
    const tool = archive(scratch, "28");
    expect(run(join(tool, "bin/airgap"), ["verify", "x"], env)).toEqual({
      status: 1,
      stdout: "",
      stderr:
        "airgap's own Node needs glibc 2.28; this host has 2.17. Run airgap on a newer host: serve and push reach this one over the network. Without any: the last section of docs/self.md.\n",
    });
    const installed = run(join(tool, "install.sh"), ["--prefix", scratch.path("p")], env);
    expect([installed.status, installed.stderr]).toEqual([
      1,
      expect.stringContaining("does not run on this machine"),
    ]);
  });

  it.each(["glibc 2.28", "glibc 2.41"])("with %s starts its own Node", (version) => {
    using scratch = new Scratch();
    const env = machine(scratch, { getconf: `echo ${version}` });
    const { status, stdout } = run(join(archive(scratch, "28"), "bin/airgap"), ["verify", "x"], env);
    expect([status, stdout]).toEqual([
      0,
      expect.stringMatching(/^started --max-semi-space-size=4 .*airgap\.mjs verify x\n$/),
    ]);
  });

  it("without any Node says what to install", () => {
    using scratch = new Scratch();
    const env = machine(scratch, {});
    mkdirSync(scratch.path("tool/bin"), { recursive: true });
    copyFileSync(join(root, "bin/airgap"), scratch.path("tool/bin/airgap"));
    const { status, stderr } = run(scratch.path("tool/bin/airgap"), [], env);
    expect([status, stderr]).toEqual([1, expect.stringContaining("airgap needs Node 22.19 or newer")]);
  });

  it("with an old Node says which it needs", () => {
    using scratch = new Scratch();
    const code = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.19.0" } }); import(${JSON.stringify(join(root, "bin/airgap.mjs"))});`;
    const { status, stderr } = run(process.execPath, ["-e", code], machine(scratch, {}));
    expect([status, stderr]).toEqual([
      1,
      expect.stringContaining("airgap needs Node 22.19 or newer; this is Node 20.19.0"),
    ]);
  });
});
