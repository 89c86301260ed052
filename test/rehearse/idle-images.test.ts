import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { parseCluster } from "../../src/cluster/read.ts";
import type { Lock } from "../../src/lock/lock.ts";
import { withLibrary } from "../../src/plan/script.ts";
import { prove } from "../../src/rehearse/evidence.ts";
import type { RunningHost } from "../../src/rehearse/hosts.ts";
import { type PullSettings, pullIdle, shellCommand } from "../../src/rehearse/idle-images.ts";
import type { Engine, Ran } from "../../src/transport/engine.ts";

const clusterOf = (runtime: string) =>
  parseCluster(
    `apiVersion: airgap/v1
kind: Cluster
name: site
kubernetes: { version: v1.23.17 }
runtime: ${runtime}
registry: { host: registry.site }
network: none
hosts:
  - { name: cp1, address: 10.0.0.1, roles: [control-plane, registry] }
  - { name: w1, address: 10.0.0.2, roles: [worker] }
`,
    "/site/cluster.yaml",
  );
const digest = (n: number) => `sha256:${String(n).repeat(64)}` as const;
const image = (name: string, n: number) => ({ kind: "image", name, root: { digest: digest(n) } });
const lock = {
  items: [
    image("docker.io/library/one:1", 1),
    { ...image("docker.io/library/two:1", 2), original: { digest: digest(3) } },
    image("quay.io/x/idle:1", 4),
    image("quay.io/x/forgotten:1", 5),
    image("quay.io/x/windows:1", 6),
    image("quay.io/x/signature:1", 7),
  ],
  blobs: [1, 2, 3, 4, 5, 6, 7].map((n) => ({ digest: digest(n) })),
} as unknown as Lock;
const platforms = new Map([
  ["quay.io/x/idle:1", ["linux/amd64", "linux/arm64/v8"]],
  ["quay.io/x/forgotten:1", ["linux/amd64"]],
  ["quay.io/x/windows:1", ["windows/amd64"]],
  ["quay.io/x/signature:1", []],
]);
const holds = (...all: number[]) => ({
  ...{ packages: new Set<string>(), volumeBytes: 0 },
  images: all.map((n) => ({ name: `image${n}`, digest: digest(n) })),
});
const host = (name: string) => ({ name, id: `id-${name}` }) as unknown as RunningHost;

/** An engine that records what runs where; what it answers follows from the script. */
function engine(answer: (script: string) => Ran | Promise<never>) {
  const ran: { id: string; last: string }[] = [];
  const exec = async (id: string, command: string[]): Promise<Ran> => {
    const script = command.slice(4).join("");
    ran.push({ id, last: script.trim().split("\n").at(-1) ?? "" });
    return answer(script);
  };
  return { ran, engine: { exec } as unknown as Engine };
}
const fine: Ran = { code: 0, stdout: "", stderr: "" };
const settings = (over: Partial<PullSettings> = {}): PullSettings => ({
  ...{ cluster: clusterOf("containerd"), lock, platforms, hosts: [host("cp1"), host("w1")] },
  held: new Map([
    ["cp1", holds(1)],
    ["w1", holds(3)],
  ]),
  ...{ platform: "linux/amd64", emit: () => {} },
  ...over,
});

describe("images that no pod has wanted", () => {
  it("are pulled on a worker as pods' images are, if they are for it; who fails is named, and the others go on", async () => {
    const { ran, engine: real } = engine((script) =>
      script.includes("x/forgotten")
        ? { code: 1, stdout: "", stderr: "pulling…\nfailed to resolve reference: not found\n" }
        : fine,
    );
    expect(await pullIdle(real, settings())).toEqual({
      host: "w1",
      pulled: ["quay.io/x/idle:1"],
      failed: [{ image: "quay.io/x/forgotten:1", why: "failed to resolve reference: not found" }],
      passedOver: ["quay.io/x/windows:1", "quay.io/x/signature:1"],
    });
    expect(ran).toEqual(
      ["idle", "forgotten"].map((name) => ({
        id: "id-w1",
        last: `containerd_pull /etc/containerd/certs.d quay.io/x/${name}:1`,
      })),
    );
  });

  it("are asked for by their names at the site where the runtime has no mirrors", async () => {
    const { ran, engine: real } = engine(() => fine);
    await pullIdle(real, settings({ cluster: clusterOf("docker") }));
    expect(ran[0]?.last).toBe("docker_pull /var/lib/kubelet registry.site/quay.io/x/idle:1");
  });

  it("are pulled by a command that a system can start, however large the script is", () => {
    const script = `x=$(cat <<'END'\n${"äöü 'quoted' \\n $x  \n".repeat(20_000)}END\n)\nprintf '%s' "$x" | wc -c`;
    const [program = "", ...args] = shellCommand(withLibrary(script));
    const size = Number(execFileSync(program, args, { encoding: "utf8" }));
    expect(size).toBe(Buffer.byteLength("äöü 'quoted' \\n $x  \n") * 20_000 - 1);
  });

  it("are none where every one is there", async () => {
    const { ran, engine: real } = engine(() => fine);
    const held = new Map([["w1", holds(1, 2, 4, 5, 6, 7)]]);
    expect([await pullIdle(real, settings({ held })), ran]).toEqual([undefined, []]);
  });

  it("do not end the rehearsal where the engine does not answer", async () => {
    const { engine: real } = engine(() => Promise.reject(new Error("too late")));
    const pulls = await pullIdle(real, settings());
    expect(pulls?.failed.map(({ why }) => why)).toEqual(["too late", "too late"]);
  });

  it("make the proof fail with their names, also when nobody was told to pull them", async () => {
    const { engine: real } = engine((script) =>
      script.includes("x/forgotten") ? { ...fine, code: 1, stderr: "not found" } : fine,
    );
    const pulls = await pullIdle(real, settings());
    const before = new Map([
      ["cp1", holds()],
      ["w1", holds()],
    ]);
    const imagesOf = (more: number[], asked: typeof pulls) => {
      const after = new Map([
        ["cp1", holds(1)],
        ["w1", holds(3, ...more)],
      ]);
      return prove(clusterOf("containerd"), [lock], [], { before, after }, asked)[0];
    };
    expect(imagesOf([4], pulls)).toEqual({
      ...{ what: "images", good: false },
      detail: "w1 cannot pull from registry.site (serve): quay.io/x/forgotten:1 (not found)",
    });
    expect(imagesOf([4], undefined)).toMatchObject({
      good: false,
      detail: expect.stringContaining("told to pull: quay.io/x/forgotten:1, quay.io/x/windows:1"),
    });
    expect(imagesOf([4, 5], { ...pulls, failed: [], pulled: ["quay.io/x/idle:1"] } as never)).toMatchObject({
      good: true,
      detail: expect.stringMatching(/told to pull: quay.io\/x\/idle:1\. Not pulled.*windows:1.*signature:1/),
    });
  });
});
