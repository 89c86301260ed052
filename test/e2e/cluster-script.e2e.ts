import { cp, mkdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { InstallResult } from "../../src/install/install.ts";
import { Scratch } from "../support/scratch.ts";
import { writeApplication } from "./rig/application.ts";
import { siteBundle } from "./rig/bundle.ts";
import type { ConnectedOptions } from "./rig/connected.ts";
import type { Host } from "./rig/host.ts";
import { compiled, installPrograms } from "./rig/prepare.ts";
import { Rig } from "./rig/rig.ts";
import {
  clusterFile,
  type Member,
  nodesReady,
  notSo,
  Operator,
  stateOf,
  workloadsAnswer,
} from "./rig/site.ts";
import { elSystem } from "./rig/system/el.ts";

const SIDE: Omit<ConnectedOptions, "extra"> = {
  version: "v1.34.4",
  systems: ["debian", "el"],
  runtime: "containerd",
};
const PASSWORD = `rig-${Math.random().toString(36).slice(2)}`;
const scratch = new Scratch();

describe.runIf(compiled(SIDE.version))(
  "a real cluster by scripts that people carry to hosts which nothing may connect to",
  () => {
    let rig: Rig;
    let operator: Operator;
    let members: Member[] = [];
    let cluster = "";
    let bundle = "";
    let written: string[] = [];
    let beside = "";
    const scripts = scratch.path("scripts");

    const host = (name: string): Host =>
      members.map(([member]) => member).find((member) => member.name === name) as Host;
    const install = () =>
      operator.airgap(["install", cluster, "--bundle", bundle, "--script", scripts, "--yes"]);
    /** What somebody with a USB stick does. */
    const carry = async (file: string, to: Host, name = basename(file)): Promise<string> => {
      await mkdir(join(to.root, "root/stick"), { recursive: true });
      await cp(file, join(to.root, "root/stick", name));
      return `/root/stick/${name}`;
    };
    const hostOf = (script: string): Host => host(/^\d+-(.+)\.sh$/.exec(basename(script))?.[1] ?? "");

    beforeAll(async () => {
      await installPrograms();
      bundle = await siteBundle({ ...SIDE, application: "v0.1" });
      rig = await Rig.create("10.78.0");
      const { root } = await elSystem();
      const [cp1, w1, register] = await Promise.all([
        rig.host({ name: "cp1" }),
        rig.host({ name: "w1", tree: root }),
        rig.host({ name: "register" }),
      ]);
      members = [
        [cp1, "control-plane"],
        [w1, "worker"],
        [register, "registry"],
      ];
      for (const each of [cp1, w1, register]) await each.sh("systemctl disable --now ssh");
      await writeApplication(scratch.path("site/apps"), "v0.1");
      cluster = await clusterFile(scratch.path("site"), members, {
        kubernetes: { version: SIDE.version },
        addons: ["workloads", { manifest: "apps/" }],
      });
      operator = new Operator(rig, { AIRGAP_SSH_PASSWORD: PASSWORD });
    });

    afterAll(async () => {
      await rig?.destroy();
      scratch[Symbol.dispose]?.();
    });

    it("asks for facts that a script gathers, where it can't look itself", async () => {
      const { code, stderr } = await install();
      expect({ code, stderr }).toMatchObject({
        code: 3,
        stderr: expect.stringMatching(/Cannot read the facts of cp1, w1, register.*sh facts\.sh > NAME/s),
      });
      for (const [member] of members) {
        const facts = await member.must(["sh", await carry(join(scripts, "facts.sh"), member)]);
        await writeFile(join(scripts, "facts", member.name), `${facts}\n`);
      }
    });

    it("writes scripts in the order in which they are to be run", async () => {
      const { code, stdout, stderr } = await install();
      expect(code, stderr).toBe(0);
      written = stdout.trim().split("\n");
      expect(written.map((file) => basename(file))).toEqual([
        "01-register.sh",
        "02-cp1.sh",
        "03-w1.sh",
        "04-cp1.sh",
        "05-w1.sh",
        "06-cp1.sh",
      ]);
      const said = [...stderr.matchAll(/^Copy (\S+) next to (\S+) and name it (\S+)$/gm)].map(
        ([, from = "", script = "", name = ""]) => ({ script, from, name }),
      );
      expect(said.map(({ script, from }) => [script, from])).toEqual([["01-register.sh", bundle]]);
      beside = said[0]?.name ?? "";
    });

    it("with --check they change nothing, and say what they would", async () => {
      const script = written[0] ?? "";
      const before = await stateOf(hostOf(script));
      const said = await hostOf(script).must(["sh", await carry(script, hostOf(script)), "--check"]);
      expect(said).toMatch(/^would-change +serve\/bundle-copy /m);
      expect(said).not.toMatch(/^done /m);
      await hostOf(script).sh("rm -r /root/stick");
      expect((await stateOf(hostOf(script))).filter((line) => !line.includes("/root/stick/"))).toEqual(
        before.filter((line) => !line.includes("/root/stick/")),
      );
    });

    it("bare hosts become a cluster by nothing but these", { timeout: 900_000 }, async () => {
      await carry(bundle, hostOf(written[0] ?? ""), beside);
      for (const script of written)
        await hostOf(script).must(["sh", await carry(script, hostOf(script))], { timeoutMs: 600_000 });
      expect((await nodesReady(host("cp1"), 2)).sort()).toEqual(["cp1", "w1"]);
      await workloadsAnswer(rig, host("cp1"), [host("w1")]);
    });

    it("run again they find everything so already", async () => {
      for (const script of written) {
        const said = await hostOf(script).must(["sh", `/root/stick/${basename(script)}`], {
          timeoutMs: 300_000,
        });
        // Whether the network was tried already is asked before a plan is made; these were made before.
        expect(said.split("\n").filter((line) => !/^already |^done +verify\/probe/.test(line))).toEqual([]);
      }
    });

    it("SSH finds nothing to do when it is allowed later", async () => {
      for (const [member] of members) {
        await member.must(["chpasswd"], { input: `root:${PASSWORD}\n` });
        await member.sh("systemctl enable --now ssh");
      }
      const { changed, steps } = await operator.json<InstallResult>(
        "install",
        cluster,
        "--bundle",
        bundle,
        "--yes",
      );
      expect(notSo(steps)).toEqual([]);
      expect(changed).toBe(0);
    });
  },
);
