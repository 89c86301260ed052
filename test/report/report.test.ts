import { describe, expect, it } from "vitest";
import { AirgapError } from "../../src/errors.ts";
import { jsonText, printable } from "../../src/format.ts";
import { Meter } from "../../src/report/meter.ts";
import { formatError, formatEvent, message, styleFor } from "../../src/report/text.ts";
import { meantBy, unknownCommand } from "../../src/report/unknown-command.ts";

const plain = styleFor(false);

describe("errors", () => {
  it("are shown with code and what to type next", () => {
    const error = new AirgapError("refused", "pushing failed", {
      suggestions: ["airgap push a b"],
      ref: "docs/push.md",
      cause: new Error("HTTP 403"),
    });
    expect(formatError(error, plain)).toBe(
      "Error: pushing failed: HTTP 403\nCode: refused\nTry this: airgap push a b\nReference: docs/push.md",
    );
  });

  it("list several suggestions", () => {
    expect(formatError(new AirgapError("usage", "no", { suggestions: ["a", "b"] }), plain)).toContain(
      "Try this:\n  * a\n  * b",
    );
  });

  it("let no control character of an answer reach the terminal", () => {
    expect(printable("a\u001b[31mb\u0007\n")).toBe("a\ufffd[31mb\ufffd\n");
  });

  it("take the carriage returns off the ends of lines, as ssh writes them", () => {
    expect(message("timed out\r\nno route\r")).toBe("timed out\n  no route");
  });

  it.each([
    [
      'must be a list, not "https://user:p@ss@mirror.site/x"',
      'must be a list, not "https://***@mirror.site/x"',
    ],
    ["http://token@h:80/a and oci://u:p@reg.site/b", "http://***@h:80/a and oci://***@reg.site/b"],
    ["docker://h:5000/a/b@sha256:00", "docker://h:5000/a/b@sha256:00"],
    ["https://h/a@b?c=d@e", "https://h/a@b?c=d@e"],
    ["ssh://root@10.0.0.1", "ssh://root@10.0.0.1"],
  ])("show no user and password of a URL: %s", (text, shown) => {
    const error = new AirgapError("spec", text, { suggestions: [text], cause: new Error(`${text}!`) });
    expect(formatError(error, plain)).toBe(`Error: ${shown}: ${shown}!\nCode: spec\nTry this: ${shown}`);
    expect(formatEvent({ type: "warning", message: text, suggestion: text }, true, plain)).toBe(
      `Warning: ${shown} (${shown})`,
    );
    expect(message(text)).toBe(shown);
  });

  const UNSEEN = [
    ..."\u0000\b\u000b\r\u001b\u007f\u0085\u009b\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2028\u2029",
    ..."\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\u206f\ufeff\ufff9\u{e0001}\u{e0041}\u{e0100}",
    "\ud800",
  ];

  it.each(UNSEEN.map((character) => [character.codePointAt(0)?.toString(16), character]))(
    "show nothing of U+%s, wherever it stands",
    (_, character) => {
      const text = `a${character}b`;
      const error = new AirgapError("refused", text, { suggestions: [text], cause: new Error(`${text}!`) });
      const shown = [
        formatError(error, plain),
        formatEvent({ type: "phase", name: "x", detail: text }, true, plain),
        formatEvent({ type: "note", message: text }, true, plain),
        formatEvent({ type: "warning", message: text, suggestion: text }, true, plain),
        formatEvent({ type: "retry", what: text, reason: text, attempt: 1, waitMs: 1 }, true, plain),
        formatEvent({ type: "item", item: text, state: "failed", detail: text }, true, plain),
        formatEvent({ type: "step", host: text, step: text, state: "failed", detail: text }, true, plain),
        message(text),
      ].join("\n");
      expect(shown).not.toContain(character);
      expect(shown.match(/a\ufffdb/g)).toHaveLength(15);
      const json = jsonText({ [text]: text }, 2);
      expect(json).not.toContain(character);
      expect(JSON.parse(json)).toEqual({ [text]: text });
    },
  );

  it("leave what can be seen alone", () => {
    const text = "é 中文 한국어 → … 😀\tдa";
    expect([printable(text), jsonText(text)]).toEqual([text, JSON.stringify(text)]);
  });

  it("let no line of an answer pass for one of ours", () => {
    const error = new AirgapError("refused", "no\nCode: done\n\nTry this: rm -rf /\n", {
      suggestions: ["a\nb"],
    });
    expect(formatError(error, plain)).toBe(
      "Error: no\n  Code: done\n\n  Try this: rm -rf /\n\nCode: refused\nTry this: a b",
    );
    expect(message("a\n  b\nc")).toBe("a\n  b\n  c");
  });
});

describe("events", () => {
  it("say items only when asked, failures always", () => {
    expect(formatEvent({ type: "item", item: "x", state: "done" }, false, plain)).toBeUndefined();
    expect(formatEvent({ type: "item", item: "x", state: "done" }, true, plain)).toBe("x: done");
    expect(formatEvent({ type: "item", item: "x", state: "failed", detail: "why" }, false, plain)).toBe(
      "x: failed, why",
    );
  });
});

describe("the meter", () => {
  it("tells how far, how fast and how long still", () => {
    const meter = new Meter();
    meter.take({ type: "plan", items: 2, bytes: 4 << 20 }, 0);
    for (let second = 1; second <= 2; second++)
      meter.take({ type: "progress", item: "a", bytes: 1 << 20 }, second * 1000);
    expect(meter.line(2000, 100)).toBe("50 %  1.00 MiB/s  2.0 s left  2.00 MiB of 4.00 MiB");
  });

  it("never exceeds its total", () => {
    const meter = new Meter();
    meter.take({ type: "plan", items: 1, bytes: 1000 }, 0);
    for (let i = 0; i < 3; i++)
      meter.take({ type: "item", item: "a", state: "mounted", bytes: 600 }, 1000 + i);
    expect(meter.line(2000, 200)).toMatch(/^100 % {2}1000 B {2}hashing/);
  });

  it("counts back what has to be fetched again, and names what is slow", () => {
    const meter = new Meter();
    meter.take({ type: "plan", items: 1, bytes: 1000 }, 0);
    meter.take({ type: "progress", item: "sha256:abc", bytes: 500 }, 1000);
    meter.take({ type: "progress", item: "sha256:abc", bytes: -500 }, 1500);
    meter.take({ type: "progress", item: "sha256:abc", bytes: 10 }, 20_000);
    expect(meter.line(20_000, 200)).toMatch(/^1 % .*slow: sha256:abc \(19 s, 10 B\)$/);
  });
});

describe("the meter tells the truth", () => {
  const MiB = 1 << 20;

  it("about a stall, by time alone", () => {
    const meter = new Meter();
    meter.take({ type: "plan", items: 1, bytes: 400 * MiB, names: new Map([["sha256:a", "web:1"]]) }, 0);
    for (let at = 100; at <= 10_000; at += 100)
      meter.take({ type: "progress", item: "sha256:a", bytes: MiB }, at);
    expect(meter.line(10_000, 100)).toMatch(/^25 % {2}10\.0 MiB\/s {2}30 s left/);
    expect(meter.progress(12_000).rate).toBeLessThan(9 * MiB);
    expect(meter.line(55_000, 100)).toBe(
      "25 %  stalled for 45 s  100.0 MiB of 400.0 MiB  waiting for web:1 (55 s, 100.0 MiB)",
    );
    expect(meter.progress(55_000)).toEqual({ done: 100 * MiB, total: 400 * MiB, rate: 0, stalledMs: 45_000 });
  });

  it("about the rate after a resume: what was there is no speed", () => {
    const meter = new Meter();
    meter.take({ type: "plan", items: 2, bytes: 400 * MiB }, 0);
    meter.take({ type: "item", item: "a", state: "present", bytes: 300 * MiB }, 100);
    meter.take({ type: "progress", item: "b", bytes: 20 * MiB, had: true }, 200);
    for (let at = 300; at <= 4000; at += 100)
      meter.take({ type: "progress", item: "b", bytes: MiB / 10 }, at);
    expect(meter.progress(4000).rate).toBeLessThan(1.1 * MiB);
    expect(meter.progress(4000).leftMs).toBeGreaterThan(60_000);
  });

  it("in forty columns: the rate and the time first, nothing is cut", () => {
    const meter = new Meter();
    meter.take({ type: "plan", items: 1, bytes: 400 * MiB }, 0);
    for (let at = 100; at <= 20_000; at += 100)
      meter.take({ type: "progress", item: "a", bytes: MiB / 10 }, at);
    const line = meter.line(20_000, 40);
    expect(line.length).toBeLessThan(40);
    expect(line).toBe("5 %  1.00 MiB/s  6 min 20 s left");
  });

  it("at the end: how much, how long, how fast; nothing where nothing moved", () => {
    const meter = new Meter();
    meter.take({ type: "plan", items: 1, bytes: 20 * MiB }, 0);
    for (let at = 500; at <= 10_000; at += 500) meter.take({ type: "progress", item: "a", bytes: MiB }, at);
    expect(meter.line(11_000, 100)).toBe("100 %  20.0 MiB  hashing, and writing to disk");
    expect(meter.summary(15_000)).toBe("20.0 MiB in 10 s, 2.00 MiB/s");
    expect(meter.summary(15_000)).toBeUndefined();
    meter.take({ type: "plan", items: 1, bytes: MiB }, 20_000);
    meter.take({ type: "item", item: "a", state: "present", bytes: MiB }, 30_000);
    expect(meter.summary(30_000)).toBeUndefined();
  });
});

describe("an unknown command", () => {
  const commands = ["build", "list", "packages export", "packages resolve", "images find", "help", "version"];

  it.each([
    ["biuld site.yaml", "build site.yaml"],
    ["pakages", "packages --help"],
    ["pakages --json", "packages --help"],
    ["pakages resolv site.yaml", "packages resolve site.yaml"],
    ["packages rsolve site.yaml", "packages resolve site.yaml"],
    ["packages nonsense", "packages --help"],
    ["imgaes find .", "images find ."],
    ["find .", "images find ."],
    ["resolve site.yaml", "packages resolve site.yaml"],
    ["hlep", "help"],
    ["versoin", "version"],
    ["zzzzzzzzz", undefined],
  ])("%s: %s is meant", (words, meant) => expect(meantBy(words.split(" "), commands)).toBe(meant));

  it("is named with its topic", () => {
    expect(unknownCommand(["packages", "rsolve"], commands).message).toContain("'packages rsolve'");
    expect(unknownCommand(["rsolve", "x"], commands).message).toContain("'rsolve'");
  });
});
