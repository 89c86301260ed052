import { spawnSync } from "node:child_process";
import { describe, expect, it, test } from "vitest";
import { confirmHostKey, names } from "../../src/cluster/flags.ts";
import { AirgapError } from "../../src/errors.ts";
import type { Event } from "../../src/events.ts";
import { fillShipped } from "../../src/host/shipped.ts";
import { asksByLandedName, carries, imagesFor } from "../../src/install/node-images.ts";
import { Mask } from "../../src/plan/mask.ts";
import { diffLines, formatPreview, preview } from "../../src/plan/preview.ts";
import { StepProtocol } from "../../src/plan/protocol.ts";
import { stepLibrary } from "../../src/plan/script.ts";
import { Session } from "../../src/plan/session.ts";
import { here, raw, sh } from "../../src/plan/shell.ts";
import { blockStep, fileStep, serviceStep } from "../../src/plan/step.ts";
import { RecordingHost } from "../support/install/recording-host.ts";
import { bundleOf, clusterOf } from "../support/install/site.ts";
import { Random } from "../support/random.ts";

const ODD = ["a b", "it's", '"', "$HOME", "`id`", "\\n", "a\nb", "*", "", "-e", "ü"];
const printed = (script: string): string => spawnSync("sh", ["-c", script], { encoding: "utf8" }).stdout;

describe("a script of words", () => {
  test.each(ODD)("quotes %j, alone and in a list", (word) => {
    expect(printed(sh`printf '%s|' ${word} x`)).toBe(`${word}|x|`);
    expect(printed(sh`printf '%s|' ${[word, "two words", 3]}`)).toBe(`${word}|two words|3|`);
  });

  it("stands as it is where it is to, without the indentation of where it was written", () => {
    expect(sh`
      if true; then
        echo ${raw("$(echo inner)")}
      fi`).toBe("if true; then\n  echo $(echo inner)\nfi");
    expect(sh`one \${x} \`y\` \n ${1}`).toBe("one ${x} `y` \\n 1");
    expect(sh``).toBe("");
  });

  it("leaves the lines of what is put into it alone", () => {
    const inner = "first\n      second\n";
    expect(sh`
      cat ${here(inner)}
      echo after`).toBe(`cat <<'AIRGAP'\n${inner}AIRGAP\necho after`);
  });

  test.each([
    "",
    "no end",
    "AIRGAP\n",
    "a\nAIRGAP\nb\n",
    `AIRGAP\nAIRGAP_${"0".repeat(8)}\n`,
    "$x `y` \\ 'z'\n",
  ])("has here-documents of %j", (content) => {
    const twice = printed(`${sh`cat ${here(content)}`}\n`);
    expect(twice).toBe(content.endsWith("\n") ? content : `${content}\n`);
    const nested = here(`cat ${here(content).text}\n`);
    expect(printed(`sh ${nested.text}\n`)).toBe(twice);
  });
});

describe("steps", () => {
  it("of files say what they write, end it, and take it back", () => {
    const step = fileStep({
      id: "x",
      title: "X",
      path: "/etc/a b",
      content: "one",
      mode: "600",
      after: "reload",
      undone: "reload back",
    });
    expect(step).toMatchObject({
      check: expect.stringMatching(/^same '\/etc\/a b' 600 [0-9a-f]{64}$/),
      apply: "put '/etc/a b' 600 <<'AIRGAP'\none\nAIRGAP\nreload",
      undo: "give_back '/etc/a b'\nreload back",
      file: { path: "/etc/a b", content: "one\n" },
    });
  });

  it("of services follow what is read by them", () => {
    const step = (...reads: string[]) => serviceStep({ id: "s", title: "S", unit: "x", reads });
    expect(step("a", "b").check).toBe(step("a", "b").check);
    expect(step("a", "b").check).not.toBe(step("ab").check);
    expect(step("a").check).not.toBe(step("b").check);
  });

  it("of blocks look for their own lines", () => {
    const step = blockStep({ id: "b", title: "B", path: "/etc/hosts", lines: ["one", "-two"] });
    expect(step.check).toBe("block_has /etc/hosts one -two");
    expect(step.apply).toContain("one\n-two\n");
  });
});

describe("a file with holes", () => {
  it("is filled wholly, or it is a mistake", () => {
    expect(fillShipped("systemd/cri-docker.service", { SANDBOX: "x $& y" })).toContain(
      "-image=x $& y\
",
    );
    expect(() => fillShipped("systemd/airgap-serve.service", {})).toThrow("@COMMAND@");
    expect(() => fillShipped("systemd/airgap-serve.service", { COMMAND: "x", OTHER: "y" })).toThrow(
      "has no @OTHER@",
    );
  });
});

describe("what a script tells", () => {
  const told = (text: string, cut: number[] = []) => {
    const states: string[] = [];
    const frames = new StepProtocol("@@m", { state: (id, state) => states.push(`${id} ${state}`) });
    let from = 0;
    for (const to of [...cut.sort((a, b) => a - b), text.length]) {
      frames.push(text.slice(from, to));
      from = to;
    }
    frames.end();
    return { frames, states };
  };
  const TEXT =
    "early\n\n@@m begin a/one\nwhy not\n\n@@m show a/one\nold file\n\n@@m end a/one would-change\n\n@@m begin a/two\n\n@@m applying a/two\nwords without end\n@@m end a/two done\n\n@@m begin a/three\nhalf";

  it("is taken apart by its marked lines", () => {
    const { frames, states } = told(TEXT);
    expect(frames.reports).toEqual([
      {
        id: "a/one",
        state: "would-change",
        output: "why not\n",
        shown: "old file\n",
        ms: expect.any(Number),
      },
      { id: "a/two", state: "done", output: "words without end", shown: "", ms: expect.any(Number) },
    ]);
    expect(states).toEqual([
      "a/one checking",
      "a/one would-change",
      "a/two checking",
      "a/two applying",
      "a/two done",
      "a/three checking",
    ]);
    expect([frames.current, frames.currentOutput, frames.outside]).toEqual([
      "a/three",
      "half\n",
      "early\n\n\n\n",
    ]);
  });

  it("is the same in whatever pieces it comes", () => {
    const whole = told(TEXT).frames.reports.map(({ ms: _, ...rest }) => rest);
    const random = new Random(5);
    for (let i = 0; i < 100; i++) {
      const cut = Array.from({ length: random.below(12) }, () => random.below(TEXT.length));
      expect(told(TEXT, cut).frames.reports.map(({ ms: _, ...rest }) => rest)).toEqual(whole);
    }
  });

  it("is not mistaken for what a command prints", () => {
    const { frames } = told(
      "@@m begin a/one\n x@@m end a/one done\n@@mend a/one done\n@@m end a/one nonsense\n\n@@m end a/one done\n",
    );
    expect(frames.reports).toEqual([
      expect.objectContaining({ state: "done", output: expect.stringContaining("x@@m end a/one done") }),
    ]);
  });

  it("is bounded", () => {
    const frames = new StepProtocol("@@m");
    frames.push("@@m begin a\n");
    for (let i = 0; i < 300; i++) frames.push(`${"x".repeat(100_000)}\n`);
    expect(frames.currentOutput.length).toBeLessThan(4.2 * 1024 * 1024);
  });
});

describe("a diff", () => {
  it.each([
    ["", "a\nb\n", ["+ a", "+ b"]],
    ["a\nb\n", "", ["- a", "- b"]],
    ["a\n", "a\n", []],
    ["a\nb\nc\n", "a\nx\nc\n", ["  a", "- b", "+ x", "  c"]],
    ["1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\n5\n6\n7\n8\nx\n", ["  7", "  8", "- 9", "+ x"]],
    [
      "a\n1\n2\n3\n4\n5\n6\nb\n",
      "A\n1\n2\n3\n4\n5\n6\nB\n",
      ["- a", "+ A", "  1", "  2", "  …", "  5", "  6", "- b", "+ B"],
    ],
  ])("of %j and %j", (before, after, lines) => expect(diffLines(before, after)).toEqual(lines));

  it("of any two short texts leads from one to the other", () => {
    const random = new Random(9);
    for (let i = 0; i < 300; i++) {
      const text = (): string =>
        Array.from({ length: random.below(4) }, () => `${random.pick(["a", "b", "c"])}\n`).join("");
      const [before, after] = [text(), text()];
      const lines = diffLines(before, after);
      const without = (sign: string): string =>
        lines
          .filter((line) => !line.startsWith(sign))
          .map((line) => `${line.slice(2)}\n`)
          .join("");
      // So short that all of it is near a change, if there is one.
      if (before === after) expect(lines).toEqual([]);
      else expect([without("+"), without("-")]).toEqual([before, after]);
    }
  });

  it("of a large file is told in a word", () => {
    expect(diffLines("a\n".repeat(4000), "b\n")).toEqual(["~ 4000 lines become 1"]);
  });
});

describe("a dry run", () => {
  it("hides secrets in what it shows", () => {
    const step = fileStep({ id: "f", title: "F", path: "/f", content: "password=swordfish\n" });
    const plan = {
      stages: [{ name: "hosts", needs: [], wholeCluster: false, waves: [[{ host: "a", steps: [step] }]] }],
    };
    const report = {
      id: "hosts/f",
      state: "would-change" as const,
      output: "it has swordfish",
      shown: "password=other\n",
      ms: 1,
    };
    const found = preview(
      plan,
      ["a"],
      new Map([["a", new Map([["hosts/f", report]])]]),
      new Mask(["swordfish"]),
    );
    expect(found).toEqual([
      expect.objectContaining({ reason: "it has ***", diff: ["- password=other", "+ password=***"] }),
    ]);
    expect(formatPreview(found)).toEqual([
      "hosts",
      "  a: f: F",
      "      - password=other",
      "      + password=***",
      "1 of 1 steps would change something",
    ]);
  });
});

describe("images", () => {
  const external = (more: object) =>
    clusterOf({ registry: { mode: "external", ...more }, repository: { host: "master1" } });
  const of = (cluster: ReturnType<typeof clusterOf>) => imagesFor(cluster, bundleOf(cluster, []).lock);

  it("are asked for by their own names where a mirror can answer", () => {
    for (const cluster of [
      clusterOf(),
      external({ layout: "path" }),
      external({ layout: "host", prefix: "x" }),
    ]) {
      expect(asksByLandedName(cluster)).toBe(false);
      expect(of(cluster)).toMatchObject({ sandbox: "registry.k8s.io/pause:3.9" });
      expect(of(cluster).kubeadm.every(({ upstream, asked }) => upstream === asked)).toBe(true);
    }
  });

  it.each([
    [external({ layout: "flat" }), "register.site.local/pause:3.9", "register.site.local/coredns:v1.10.1"],
    [
      external({ layout: "flat", prefix: "k8s", port: 5000 }),
      "register.site.local:5000/k8s/pause:3.9",
      "register.site.local:5000/k8s/coredns:v1.10.1",
    ],
    [
      external({ map: ["registry.k8s.io/**=google_containers/**"] }),
      "register.site.local/google_containers/pause:3.9",
      "register.site.local/google_containers/coredns/coredns:v1.10.1",
    ],
  ])("are asked for by the site's names else", (cluster, sandbox, coredns) => {
    const images = of(cluster);
    expect(images.sandbox).toBe(sandbox);
    expect(images.kubeadm.map(({ asked }) => asked)).toContain(coredns);
    expect(images.imageRepository).toBe(sandbox.slice(0, sandbox.lastIndexOf("/")));
  });

  it("that kubeadm cannot be configured to pull are an error before anything is done", () => {
    expect(() => of(external({ map: ["registry.k8s.io/kube-proxy=other/kube-proxy"] }))).toThrow(
      expect.objectContaining({
        code: "spec",
        message: expect.stringContaining(
          "kubeadm cannot be configured to pull registry.k8s.io/kube-proxy:v1.28.2",
        ),
      }),
    );
    expect(() => of(clusterOf({ kubernetes: { version: "v1.99.0" } }))).toThrow(
      expect.objectContaining({ code: "unsupported" }),
    );
  });

  it("are found in a lock however they are written", () => {
    const { lock } = bundleOf(clusterOf(), [], {
      images: [
        "docker.io/library/nginx:1.27",
        `quay.io/x/y@sha256:${"a".repeat(64)}`,
        "docker.io/library/busybox:latest",
      ],
    });
    for (const name of [
      "nginx:1.27",
      "docker.io/nginx:1.27",
      `nginx:1.27@sha256:${"b".repeat(64)}`,
      `quay.io/x/y:v1@sha256:${"a".repeat(64)}`,
      "busybox",
      "registry.k8s.io/pause:3.9",
    ]) {
      expect(carries(lock, name), name).toBe(true);
    }
    for (const name of ["nginx", "nginx:1.28", "quay.io/x/y:v1", "registry.k8s.io/pause:3.10"])
      expect(carries(lock, name), name).toBe(false);
  });
});

describe("connections", () => {
  const { hosts } = clusterOf();

  it("that fail are told together, each host once, and the others are closed", async () => {
    const open = new RecordingHost("master1");
    const session = Session.start(hosts, async ({ name }) => {
      if (name === "master1") return open;
      throw new AirgapError("unauthorized", `${name}: no key was accepted`, { suggestions: ["name a key"] });
    });
    await expect(session).rejects.toMatchObject({
      code: "unauthorized",
      message: "node1: no key was accepted",
    });
    expect(open.closed).toBe(true);

    const both = Session.start(hosts, async ({ name }) => {
      throw new AirgapError(name === "node1" ? "network" : "unauthorized", `${name}: no`, {
        suggestions: ["the same for both"],
      });
    });
    await expect(both).rejects.toMatchObject({
      code: "network",
      message: "Cannot work on 2 hosts:\n  master1: no\n  node1: no",
      suggestions: ["the same for both"],
    });
    const bug = Session.start(hosts, async () => {
      throw new TypeError("a bug");
    });
    await expect(bug).rejects.toThrow(TypeError);
  });

  it("are made anew in the place of broken ones", async () => {
    const made: RecordingHost[] = [];
    const session = await Session.start(hosts.slice(0, 1), async ({ name }) => {
      made.push(new RecordingHost(name));
      return made.at(-1) as RecordingHost;
    });
    expect(await session.again("master1")).toBe(made[1]);
    expect(made.map(({ closed }) => closed)).toEqual([true, false]);
    expect(session.get("master1")).toBe(made[1]);
    expect(() => session.get("x")).toThrow("no connection to x");
    await session.close();
    expect(made[1]?.closed).toBe(true);
  });
});

describe("words of the commands", () => {
  it("are taken apart, and there must be some", () => {
    expect(names("a, b,,a ")).toEqual(["a", "b"]);
    expect(() => names(" , ")).toThrow(expect.objectContaining({ code: "usage" }));
  });

  const KEY = { host: "10.0.0.15", type: "ED25519", fingerprint: "SHA256:x", otherKnown: false };
  const confirming = (acceptNew: boolean, answer = false) => {
    const [asked, told]: [string[], Event[]] = [[], []];
    const ask = async (question: string): Promise<boolean> => asked.push(question) > 0 && answer;
    return { confirm: confirmHostKey({ acceptNew, ask, emit: (event) => told.push(event) }), asked, told };
  };

  it("ask about a key that nobody knows", async () => {
    const { confirm, asked, told } = confirming(false, true);
    expect(await confirm("node1", KEY)).toBe(true);
    expect(asked).toEqual([
      "node1 (10.0.0.15) has the ED25519 key SHA256:x. ssh does not know this host yet. Is this the host's own key?",
    ]);
    expect(await confirming(false, false).confirm("node1", KEY)).toBe(false);
    expect(told).toEqual([]);
  });

  it("tell each key that is accepted without a question", async () => {
    const { confirm, asked, told } = confirming(true);
    expect(await confirm("node1", KEY)).toBe(true);
    expect(asked).toEqual([]);
    expect(told).toEqual([
      {
        type: "warning",
        message:
          "node1 (10.0.0.15) has the ED25519 key SHA256:x, accepted without a question (--accept-new-host-keys)",
      },
    ]);
  });

  it("ask about a host that is known by another key, whatever is accepted", async () => {
    const { confirm, asked, told } = confirming(true);
    expect(await confirm("node1", { ...KEY, otherKnown: true })).toBe(false);
    expect(asked[0]).toContain("ssh knows this host by a key of another type");
    expect(told).toEqual([]);
  });
});

describe("the functions of hosts", () => {
  it("have one definition each: the files share one namespace, and the later one would win", () => {
    const names = [...stepLibrary().matchAll(/^([a-z_][a-z0-9_]*)\(\)/gm)].map(([, name]) => name);
    expect(names.length).toBeGreaterThan(200);
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  });
});
