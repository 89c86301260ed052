import { describe, expect, it } from "vitest";
import { AirgapError } from "../../src/errors.ts";
import { Meter } from "../../src/report/meter.ts";
import { formatError, formatEvent, printable, styleFor } from "../../src/report/text.ts";

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
    expect(meter.line(2000, 100)).toBe("50 %  2.00 MiB of 4.00 MiB  1.00 MiB/s  2.0 s left");
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
