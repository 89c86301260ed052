import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AirgapError, isAirgapError } from "../../src/errors.ts";
import { planInstall } from "../../src/install/plan.ts";
import type { StageName } from "../../src/install/stages/index.ts";
import { checkAll } from "../../src/plan/execute.ts";
import { runPlan } from "../../src/plan/run.ts";
import { narrow, type Plan, type PlannedStage } from "../../src/plan/stage.ts";
import type { Step } from "../../src/plan/step.ts";
import { Rig } from "../support/install/runs.ts";
import { siteOf } from "../support/install/site.ts";

const step = (id: string, more: Partial<Step> = {}): Step => ({
  id,
  title: `Title of ${id}`,
  check: "false",
  apply: ":",
  ...more,
});
const stage = (name: string, ...waves: Record<string, Step[]>[]): PlannedStage => ({
  name,
  needs: name === "runtime" ? ["packages"] : [],
  wholeCluster: name === "verify",
  waves: waves.map((wave) => Object.entries(wave).map(([host, steps]) => ({ host, steps }))),
});

/** Three stages on two hosts. */
const small: Plan = {
  stages: [
    stage("hosts", { a: [step("one"), step("two")], b: [step("one")] }),
    stage("runtime", { a: [step("three")], b: [step("three")] }),
    stage("verify", { a: [step("look")] }),
  ],
};

let rig: Rig;
const make = (plan: Plan, names = ["a", "b"]): Rig => {
  rig[Symbol.dispose]();
  rig = new Rig(plan, names);
  return rig;
};
beforeEach(() => {
  rig = new Rig(small, ["a", "b"]);
});
afterEach(() => rig[Symbol.dispose]());

const failure = async (promise: Promise<unknown>) => {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!isAirgapError(error)) throw error ?? new Error("nothing was thrown");
  return error;
};

describe("a run", () => {
  it("asks every host once, then makes each stage so; a second run changes nothing and sends no apply", async () => {
    expect(await rig.run(small)).toMatchObject({ changed: 6 });
    expect(rig.host("a").applied).toEqual(["hosts/one", "hosts/two", "runtime/three", "verify/look"]);
    expect(rig.host("b").applied).toEqual(["hosts/one", "runtime/three"]);
    expect(rig.host("a").sent.map(({ mode }) => mode)).toEqual(["check", "apply", "apply", "apply"]);

    const before = rig.host("a").sent.length;
    const again = await rig.run(small);
    expect(again).toMatchObject({ changed: 0 });
    expect(again.outcomes.every(({ state }) => state === "already")).toBe(true);
    for (const host of Object.values(rig.hosts)) {
      const [only, ...more] = host.sent.slice(host.name === "a" ? before : -1);
      expect(more).toEqual([]);
      expect(only?.mode).toBe("check");
      expect(only?.script).not.toMatch(/^(?:apply\(\)|taken_back\(\) \{(?! :; \}))/m);
    }
  });

  const order = (): string[] => {
    const words: string[] = [];
    for (const host of Object.values(rig.hosts))
      host.onStep = async (name, word) => {
        if (host.sent.at(-1)?.mode === "apply") words.push(`${word} ${name} ${host.name}`);
        if (host.name === "b" && word === "begin") await sleep(15);
      };
    return words;
  };
  const needing: Plan = {
    stages: [
      stage("hosts", { a: [step("one")], b: [step("one")] }),
      stage("packages", { b: [step("two")] }),
      stage("runtime", { a: [step("three")], b: [step("three")] }),
      stage("addons", { a: [step("four")] }),
      stage("verify", { a: [step("look")] }),
    ],
  };

  it("lets a host go on before a slower one, up to what it needs of it", async () => {
    make(needing);
    const words = order();
    await rig.run(needing);
    expect(words.indexOf("end hosts/one a")).toBeLessThan(words.indexOf("end hosts/one b"));
    expect(words.indexOf("end packages/two b")).toBeLessThan(words.indexOf("begin runtime/three a"));
    expect(words.indexOf("end addons/four a")).toBeLessThan(words.indexOf("end runtime/three b"));
    // It looks at the whole cluster.
    expect(words.indexOf("end runtime/three b")).toBeLessThan(words.indexOf("begin verify/look a"));
  });

  it("leaves every stage to its end on every host before the next one begins, where that is asked for", async () => {
    make(needing);
    const words = order();
    rig.context.strict = true;
    await rig.run(needing);
    expect(words.indexOf("end hosts/one b")).toBeLessThan(words.indexOf("begin packages/two b"));
    expect(words.indexOf("end packages/two b")).toBeLessThan(words.indexOf("begin runtime/three a"));
    expect(words.indexOf("end runtime/three b")).toBeLessThan(words.indexOf("begin addons/four a"));
  });

  it("begins with the hosts that others wait for", async () => {
    const names = ["a", "b", "c"];
    const plan: Plan = {
      stages: [
        stage("hosts", Object.fromEntries(names.map((name) => [name, [step("one")]]))),
        stage("packages", { c: [step("two")] }),
        stage("runtime", { a: [step("three")], b: [step("three")] }),
      ],
    };
    make(plan, names);
    const words = order();
    await runPlan(plan, { ...rig.context, parallel: 1 });
    expect(words.filter((word) => word.startsWith("begin"))).toEqual([
      "begin hosts/one c",
      "begin packages/two c",
      "begin hosts/one a",
      "begin hosts/one b",
      "begin runtime/three a",
      "begin runtime/three b",
    ]);
  });

  it("works on as many hosts at a time as it may; a slow one does not hold the others", async () => {
    const names = Array.from({ length: 9 }, (_, i) => `h${i}`);
    const plan: Plan = {
      stages: [stage("hosts", Object.fromEntries(names.map((name) => [name, [step("one")]])))],
    };
    make(plan, names);
    let [now, most] = [0, 0];
    const others = Promise.withResolvers<void>();
    const done = new Set<string>();
    for (const host of Object.values(rig.hosts)) {
      host.onStep = async (_, word) => {
        now += word === "begin" ? 1 : -1;
        most = Math.max(most, now);
        const applying = host.sent.at(-1)?.mode === "apply";
        if (word === "begin") return host.name === "h0" && applying ? others.promise : sleep(2);
        if (applying && done.add(host.name).size === names.length - 1) others.resolve();
      };
    }
    await runPlan(plan, { ...rig.context, parallel: 3 });
    expect(most).toBe(3);
  });

  it("makes the waves of a stage one after the other", async () => {
    const plan: Plan = {
      stages: [stage("control-plane", { a: [step("init")] }, { b: [step("join")] }, { a: [step("after")] })],
    };
    const order: string[] = [];
    make(plan);
    for (const host of Object.values(rig.hosts)) {
      host.onStep = async (name, word) => {
        if (host.sent.at(-1)?.mode === "apply") order.push(`${word} ${name}`);
        // The later waves would be faster.
        if (word === "begin") await sleep(name.endsWith("init") ? 30 : name.endsWith("join") ? 15 : 0);
      };
    }
    await rig.run(plan);
    const ends = order.filter((line) => line.startsWith("end"));
    expect(ends.slice(-3)).toEqual([
      "end control-plane/init",
      "end control-plane/join",
      "end control-plane/after",
    ]);
  });

  it("goes on with the other hosts when one fails, up to what needs it", async () => {
    rig.host("a").failing.set("hosts/one", ["some words\nNo space left on device"]);
    const error = await failure(rig.run(small));
    expect(rig.host("a").applied).toEqual([]);
    expect(rig.host("b").applied).toEqual(["hosts/one", "runtime/three"]);
    expect(error).toMatchObject({ code: "step-failed", exit: 1 });
    expect(error.message).toContain("a: hosts/one (Title of one) failed");
    expect(error.message).toContain("  | some words\n  | No space left on device");
    expect(error.message).toContain("likely cause: the host's disk is full");
    expect(error.suggestions).toEqual([
      "on the host: df -h",
      `The full output is in ${rig.log.path}`,
      expect.stringContaining("run the same command"),
    ]);
    expect(error.data).toMatchObject({ failures: [{ host: "a", stage: "hosts", step: "one" }] });
    expect(readFileSync(rig.log.path, "utf8")).toContain("a| No space left on device");
    expect(rig.recorded).toContain("a hosts/one failed");

    expect(await rig.run(small)).toMatchObject({ changed: 4 });
  });

  it("names every host that failed, with the last lines only", async () => {
    rig.host("a").failing.set("hosts/two", [Array.from({ length: 100 }, (_, i) => `line ${i}.`).join("\n")]);
    rig.host("b").failing.set("hosts/one", ["found multiple CRI endpoints on the host"]);
    const error = await failure(rig.run(small));
    expect(error.message).toContain("a: hosts/two (Title of two) failed");
    expect(error.message).toContain("b: hosts/one (Title of one) failed");
    expect(error.message).toContain("line 99.");
    expect(error.message).not.toContain("line 80.");
    expect(error.data).toMatchObject({ failures: [{ output: expect.stringContaining("line 0.") }, {}] });
  });

  it("looks again at the whole cluster when something was changed, and only then", async () => {
    rig.host("a").so.add("verify/look");
    rig.host("a").so.add("hosts/one").add("hosts/two").add("runtime/three");
    rig.host("b").so.add("hosts/one");
    expect(await rig.run(small)).toMatchObject({ changed: 1 });
    expect(rig.host("a").sent.map(({ mode, steps }) => [mode, ...steps])).toEqual([
      ["check", "hosts/one", "hosts/two", "runtime/three", "verify/look"],
      ["apply", "verify/look"],
    ]);
    expect(
      rig
        .host("b")
        .sent.slice(1)
        .map(({ steps }) => steps),
    ).toEqual([["runtime/three"]]);
  });

  it("asks again what comes after a change on the same host: a check from before may be out of date", async () => {
    rig.host("a").so.add("runtime/three");
    await rig.run(small);
    expect(
      rig
        .host("a")
        .sent.slice(1)
        .map(({ steps }) => steps),
    ).toEqual([["hosts/one", "hosts/two"], ["runtime/three"], ["verify/look"]]);
    expect(rig.host("a").applied).not.toContain("runtime/three");
  });

  it("tells every step as it goes, with its title and its time", async () => {
    await rig.run(small);
    const steps = rig.events.filter((event) => event.type === "step");
    expect(
      steps.filter(({ host, step: id }) => host === "a" && id === "hosts/one").map(({ state }) => state),
    ).toEqual(["checking", "applying", "done"]);
    expect(
      steps.every(
        ({ detail, state, ms }) => detail?.startsWith("Title of ") && (state !== "done" || (ms ?? -1) >= 0),
      ),
    ).toBe(true);
    const stages = rig.events.filter((event) => event.type === "stage");
    expect(stages.slice(0, 2)).toEqual([
      { type: "stage", name: "checks", state: "started", hosts: 2, done: 0, before: true },
      { type: "stage", name: "hosts", state: "started", hosts: 2, done: 0 },
    ]);
    expect(stages.filter(({ state }) => state === "done")).toMatchObject([
      { name: "checks", hosts: 2, done: 2, before: true },
      { name: "hosts", hosts: 2, done: 2 },
      { name: "runtime", hosts: 2, done: 2 },
      { name: "verify", hosts: 1, done: 1 },
    ]);
    expect(rig.events.filter((event) => event.type === "host" && event.stage === "runtime")).toHaveLength(4);
    expect(rig.recorded).toHaveLength(6);
  });
});

describe("a connection that breaks", () => {
  it.each(["before", "after"] as const)(
    "%s a step was made: the host is asked anew, and nothing is made twice",
    async (when) => {
      rig.host("a").breaking.set("hosts/two", [when]);
      rig.context.patienceMs = 5000;
      await rig.run(small);
      expect(rig.reconnected).toBe(1);
      expect(rig.host("a").applied).toEqual(["hosts/one", "hosts/two", "runtime/three", "verify/look"]);
      expect(rig.events).toContainEqual(expect.objectContaining({ type: "retry", what: "a", attempt: 1 }));
    },
  );

  it("for good: the others finish, and the run says that it may be run again", async () => {
    rig.host("a").breaking.set("hosts/one", ["before", "before", "before", "before"]);
    const error = await failure(rig.run(small));
    expect(error).toMatchObject({ code: "interrupted", exit: 4 });
    expect(error.message).toContain("a: hosts failed: the connection broke");
    expect(rig.host("b").applied).toEqual(["hosts/one", "runtime/three"]);
  });

  it("takes no place of the hosts that are there", async () => {
    const plan: Plan = { stages: [stage("hosts", { a: [step("one")], b: [step("one")] })] };
    make(plan);
    rig.host("a").breaking.set("hosts/one", ["before"]);
    let back = false;
    rig.context.connections.again = async () => {
      back = rig.host("b").applied.length > 0;
      return rig.host("a");
    };
    await runPlan(plan, { ...rig.context, parallel: 1, patienceMs: 5000 });
    expect(back).toBe(true);
    expect(rig.events).toContainEqual({ type: "host", host: "a", stage: "hosts", state: "lost" });
  });

  it("while a host is asked holds nobody, and the host is asked again", async () => {
    const host = rig.host("a");
    const run = host.run.bind(host);
    let broken = 0;
    host.run = (script, options) => {
      if (++broken > 1) return run(script, options);
      return Promise.reject(new AirgapError("network", "a: the connection broke"));
    };
    rig.context.patienceMs = 5000;
    expect(await rig.run(small)).toMatchObject({ changed: 6 });
  });

  it("and a login that is refused then, is told as such", async () => {
    rig.host("a").breaking.set("hosts/one", ["before"]);
    rig.context.patienceMs = 5000;
    rig.context.connections.again = () =>
      Promise.reject(new AirgapError("unauthorized", "a: the host key of 10.0.0.1 has changed"));
    const error = await failure(rig.run(small));
    expect(error).toMatchObject({ code: "step-failed" });
    expect(error.message).toContain("the host key of 10.0.0.1 has changed");
  });

  it("is no reason to go on when the user has stopped the run", async () => {
    const stop = new AbortController();
    rig.context.signal = stop.signal;
    rig.host("b").onStep = (name) => {
      if (name === "hosts/one" && rig.host("b").sent.at(-1)?.mode === "apply")
        stop.abort(new Error("stopped by the user"));
    };
    await expect(rig.run(small)).rejects.toThrow("stopped by the user");
    expect(rig.host("a").applied).not.toContain("runtime/three");
  });
});

describe("many failures", () => {
  const names = Array.from({ length: 60 }, (_, i) => `w${i}`);
  const plan: Plan = {
    stages: [
      stage("packages", Object.fromEntries(names.map((name) => [name, [step("one")]]))),
      stage("runtime", { a: [step("three")] }),
    ],
  };

  it("are told by cause, what most hosts have first, with who waits for them", async () => {
    make(plan, [...names, "a"]);
    for (const [i, name] of names.entries())
      rig
        .host(name)
        .failing.set("packages/one", [
          i < 3 ? `${name}: cannot lock /var/lib/dpkg` : `10.0.0.${i} gave no answer to ${name} in ${i} s`,
        ]);
    const { message } = await failure(rig.run(plan));
    expect(message.split("\n")).toEqual([
      "w3, w4, w5, w6, w7 and 52 more: packages/one (Title of one) failed",
      "  | 10.0.0.3 gave no answer to w3 in 3 s",
      "w0, w1, w2: packages/one (Title of one) failed",
      "  | w0: cannot lock /var/lib/dpkg",
      "a waits for packages",
    ]);
  });

  it("of many causes are counted beyond the first ones", async () => {
    make(plan, [...names, "a"]);
    const word = (i: number): string => `${"abcdefghij"[i % 10]}${"klmnop"[Math.floor(i / 10)]}`;
    for (const [i, name] of names.entries()) rig.host(name).failing.set("packages/one", [word(i)]);
    const { message } = await failure(rig.run(plan));
    expect(message.match(/ failed$/gm)).toHaveLength(10);
    expect(message).toContain("w10, w11, w12, w13, w14 and 45 more: 50 more causes, which the log names");
  });
});

describe("a host whose script ends before its time", () => {
  it("is told with the step that it was in, in the checkAll and in a run", async () => {
    const host = rig.host("a");
    const run = host.run.bind(host);
    host.run = async (_, options) => {
      options?.onStdout?.("\n@@airgap begin hosts/one\nKilled by something\n");
      return { code: 137, stdout: "", stderr: "Killed" };
    };
    const early = await failure(rig.run(small));
    expect(early.message).toMatch(
      /^a: hosts failed: its script ended early in hosts\/one: Killed; Killed by something/,
    );

    let asked = false;
    host.run = async (script, options) => {
      if (!asked) {
        asked = true;
        return run(script, options);
      }
      options?.onStdout?.("\n@@airgap begin hosts/two\nhalf a line");
      return { code: 137, stdout: "", stderr: "Killed" };
    };
    const error = await failure(rig.run(small));
    expect(error.message).toContain("a: hosts/two (Title of two) failed: ended with 137");
    expect(error.message).toContain("half a line");
  });
});

describe("something that is sent", () => {
  const content = "0123456789".repeat(100);
  const uploading = (from: string): Plan => ({
    stages: [
      stage("serve", {
        a: [
          step("before"),
          step("copy", { upload: { from, offset: 10, size: 900, to: "/var/lib/x", beside: "x" } }),
          step("after"),
        ],
      }),
    ],
  });

  it("goes there once, from where an earlier try ended, and not at all when it is there", async () => {
    const file = rig.scratch.write("content", content);
    const plan = uploading(file);
    const own = new Rig(plan, ["a"]);
    using _ = own;
    let there = 300;
    own.host("a").answers(/stat -c %s \/var\/lib\/x\.part/, () => `${there}\n`);
    await own.run(plan);
    expect(own.host("a").piped).toEqual([{ command: "cat >>/var/lib/x.part", bytes: 600 }]);
    expect(own.host("a").applied).toEqual(["serve/before", "serve/copy", "serve/after"]);
    expect(
      own.events
        .flatMap((event) => (event.type === "progress" ? [event.bytes] : []))
        .reduce((sum, bytes) => sum + bytes, 0),
    ).toBe(600);

    await own.run(plan);
    expect(own.host("a").piped).toHaveLength(1);

    for (const [size, piped] of [
      [900, undefined],
      [5000, { command: "cat >/var/lib/x.part", bytes: 900 }],
    ] as const) {
      there = size;
      own.host("a").so.delete("serve/copy");
      own.host("a").piped.length = 0;
      await own.run(plan);
      expect(own.host("a").piped).toEqual(piped ? [piped] : []);
    }
  });
});

describe("a plan for fewer", () => {
  const plan = planInstall(siteOf());

  it.each([
    [{ only: ["hosts", "trust"] as StageName[] }, ["hosts", "trust"]],
    [
      { skip: ["verify", "addons", "network", "workers", "control-plane"] as StageName[] },
      ["hosts", "trust", "serve", "repository", "packages", "runtime"],
    ],
    [{ only: ["hosts", "trust"] as StageName[], skip: ["trust"] as StageName[] }, ["hosts"]],
    [{ only: ["registry"] as StageName[] }, []],
  ])("%j", (wishes, names) => {
    expect(narrow(plan, wishes).stages.map(({ name }) => name)).toEqual(names);
  });

  it("of some hosts touches no other, but for what those need of it", async () => {
    const some = narrow(plan, { hosts: ["node1"] });
    using own = new Rig(some, ["master1", "node1"]);
    await own.run(some);
    expect(own.host("master1").applied).toEqual(["workers/token"]);
    expect(own.host("node1").applied.length).toBeGreaterThan(20);
    expect(some.stages.map(({ name }) => name)).not.toContain("serve");
  });
});

describe("a checkAll", () => {
  it("is one round trip a host, and sends nothing that could change something", async () => {
    const input = siteOf();
    const plan = planInstall(input);
    using own = new Rig(plan, ["master1", "node1"], input);
    const found = await checkAll(plan, ["master1", "node1"], own.context);
    expect([...found.keys()]).toEqual(["master1", "node1"]);
    for (const host of Object.values(own.hosts)) {
      expect(host.sent).toHaveLength(1);
      const [{ script, mode } = { script: "", mode: "" }] = host.sent;
      expect(mode).toBe("check");
      expect(script).not.toMatch(/^apply\(\)/m);
    }
    const scripts = Object.values(own.hosts).flatMap(({ sent }) => sent.map(({ script }) => script));
    for (const secret of [
      input.secrets.keys?.ca.key ?? "?",
      input.secrets.tls?.server.key ?? "?",
      input.secrets.joinToken,
    ]) {
      const shown = scripts.some((script) => script.includes(secret));
      expect(shown, createHash("sha256").update(secret).digest("hex")).toBe(false);
    }
    expect(own.events.filter(({ type }) => type !== "stage" && type !== "host")).toEqual([]);
    expect(own.recorded).toEqual([]);
  });
});
