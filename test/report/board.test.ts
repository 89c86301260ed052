import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { AirgapError } from "../../src/errors.ts";
import type { Event } from "../../src/events.ts";
import { Board, FEW } from "../../src/report/board.ts";
import { createReporter, type Reporter } from "../../src/report/reporter.ts";

const named = (count: number): string[] => Array.from({ length: count }, (_, i) => `w${i}`);
const begins = (name: string, hosts: number): Event => ({
  type: "stage",
  name,
  state: "started",
  hosts,
  done: 0,
});
const ends = (name: string, hosts: number, ms: number): Event => ({
  type: "stage",
  name,
  state: "done",
  hosts,
  done: hosts,
  ms,
});
const host = (
  name: string,
  stage: string,
  state: Extract<Event, { type: "host" }>["state"] = "started",
): Event => ({ type: "host", host: name, stage, state });
const step = (name: string, id: string, state: Extract<Event, { type: "step" }>["state"]): Event => ({
  type: "step",
  host: name,
  step: id,
  state,
  detail: "a title",
});

/** A terminal that knows what the reporter sends: lines, and how it moves up and clears. */
class Screen {
  readonly #lines: string[] = [""];

  write(text: string): void {
    for (const [part] of text.matchAll(/\p{Cc}\[\d*[AJ]|\p{Cc}|\P{Cc}+/gu)) {
      if (part === "\n") this.#lines.push("");
      else if (part.endsWith("[J")) this.#lines[this.#lines.length - 1] = "";
      else if (part.length > 1 && part.charCodeAt(0) === 27)
        this.#lines.splice(-Number.parseInt(part.slice(2), 10));
      else if (part !== "\r") this.#lines[this.#lines.length - 1] += part;
    }
  }

  get shown(): string[] {
    return this.#lines.filter((line) => line !== "");
  }
}

/** Played events: what a run over many hosts emits in a stage, without its end. */
function* stage(name: string, hosts: string[], failing: ReadonlySet<string> = new Set()): Iterable<Event> {
  yield begins(name, hosts.length);
  for (const each of hosts) yield host(each, name);
  for (const each of hosts) {
    yield step(each, `${name}/one`, "checking");
    yield step(each, `${name}/one`, "applying");
    yield step(each, `${name}/one`, failing.has(each) ? "failed" : "done");
    yield host(each, name, failing.has(each) ? "failed" : "done");
  }
}

describe("the board of a run over many hosts", () => {
  const THOUSAND = named(1000);

  const at = (): Board => {
    const board = new Board();
    board.take(begins("packages", 1000), 0);
    for (const name of THOUSAND.slice(0, 464)) board.take(host(name, "packages"), 0);
    for (const name of THOUSAND.slice(2, 414)) board.take(host(name, "packages", "done"), 1000);
    for (const name of THOUSAND.slice(0, 2)) board.take(host(name, "packages", "failed"), 1000);
    return board;
  };

  it("counts the hosts of a stage, in the words that the width has room for", () => {
    const board = at();
    expect(board.rows(2000, 80, 8)).toEqual(["packages: 412 of 1000 done, 50 at work, 2 failed"]);
    expect(board.rows(2000, 40, 8)).toEqual(["packages: 412/1000 done, 2 failed"]);
    expect(board.rows(2000, 30, 8)).toEqual(["packages 412/1000 +50 !2"]);
    expect(board.rows(2000, 10, 8)).toEqual(["packages "]);
  });

  it("names the hosts that are longest at one thing, and those that are lost", () => {
    const board = at();
    board.take(step("w414", "packages/install", "applying"), 1500);
    board.take(host("w415", "packages", "lost"), 10_000);
    expect(board.rows(14_000, 80, 8)).toEqual([
      "packages: 412 of 1000 done, 49 at work, 1 lost, 2 failed",
      "longest: w415 lost 4.0 s",
    ]);
    const [, longest = ""] = board.rows(240_000, 80, 8);
    expect(longest).toMatch(
      /^longest: w414 packages\/install 4 min 0 s, w416 packages 4 min 0 s.* and \d+ more$/,
    );
    expect(longest.length).toBeLessThan(80);
    expect(board.line(240_000)).toMatch(
      /^packages: 412 of 1000 done, 49 at work, 1 lost, 2 failed; longest: w414 /,
    );
  });

  it("has no more rows than there is room, those with failures first", () => {
    const board = new Board();
    for (const name of ["hosts", "trust", "serve", "repository", "packages", "runtime", "workers"])
      for (const event of stage(name, THOUSAND, new Set(name === "runtime" ? ["w7"] : [])))
        board.take(event, 0);
    for (const height of [1, 2, 3, 8])
      expect(board.rows(60_000, 80, height).length, String(height)).toBeLessThanOrEqual(height);
    expect(board.rows(60_000, 80, 3)).toEqual([
      "runtime: 999 of 1000 done, 1 failed",
      "hosts: 1000 of 1000 done",
      "and 5 stages more",
    ]);
  });

  it("forgets a stage that has ended, and says so once", () => {
    const board = new Board();
    for (const event of stage("hosts", THOUSAND)) board.take(event, 0);
    const end = ends("hosts", 1000, 182_000);
    expect(board.ended(end)).toBe("hosts: 1000 hosts in 3 min 2 s");
    board.forget(end);
    expect(board.active).toBe(false);
    expect(board.large).toBe(true);
  });

  it("leaves small clusters as they are", () => {
    const board = new Board();
    for (const event of stage("hosts", named(FEW))) {
      board.take(event, 0);
      expect(board.worthTelling(event)).toBe(event);
      expect(board.ended(event)).toBeUndefined();
    }
    expect(board.active).toBe(false);
  });
});

describe("what is printed of many hosts", () => {
  let written: string;
  let screen: Screen;
  let reporter: Reporter;
  const stderr = process.stderr as { isTTY?: boolean; columns?: number; rows?: number };
  const before = { ...{ isTTY: stderr.isTTY, columns: stderr.columns, rows: stderr.rows } };

  const report = (
    terminal: { columns: number; rows: number } | undefined,
    more: { verbose?: boolean; quiet?: boolean; progress?: "auto" | "json" } = {},
  ): void => {
    Object.assign(stderr, { isTTY: terminal !== undefined, ...terminal });
    reporter = createReporter({
      json: false,
      quiet: false,
      verbose: false,
      color: false,
      progress: "auto",
      ...more,
    });
  };
  /** Plays a run of two stages, 100 ms between two events. */
  const play = (hosts: number, failing: number): void => {
    const names = named(hosts);
    const bad = new Set(names.slice(0, failing));
    for (const event of [...stage("hosts", names), ends("hosts", hosts, 9000)]) {
      vi.advanceTimersByTime(100);
      reporter.emit(event);
    }
    for (const event of stage("packages", names, bad)) {
      vi.advanceTimersByTime(100);
      reporter.emit(event);
    }
    reporter.error(new AirgapError("step-failed", "w0, w1 and 8 more: packages/one failed"));
  };
  beforeEach(() => {
    written = "";
    screen = new Screen();
    vi.useFakeTimers();
    vi.spyOn(process.stderr, "write").mockImplementation((text) => {
      written += text;
      screen.write(String(text));
      return true;
    });
  });
  afterEach(() => {
    reporter.end();
    vi.restoreAllMocks();
    vi.useRealTimers();
    Object.assign(stderr, before);
  });

  it("without a terminal: counts every while, failures, what has ended; no line for each host", () => {
    report(undefined);
    play(1000, 10);
    const lines = written.trimEnd().split("\n");
    expect(lines.filter((line) => line.startsWith("hosts: 1000 hosts in 9.0 s"))).toHaveLength(1);
    expect(lines.filter((line) => line.includes("packages/one: failed"))).toHaveLength(5);
    expect(lines).toContain(
      "w4: packages/one: failed; more hosts that fail here are counted, and named at the end",
    );
    expect(lines.filter((line) => / done/.test(line)).length).toBeGreaterThan(10);
    // 1000 s of work: a line in 15 s at most, and what is told once.
    expect(lines.length).toBeLessThan(90);
    expect(lines.slice(-3)).toEqual([
      "packages: 990 of 1000 done, 10 failed",
      "Error: w0, w1 and 8 more: packages/one failed",
      "Code: step-failed",
    ]);
  });

  it("without a terminal: nothing while nothing changes, and the same again every two minutes", () => {
    report(undefined);
    for (const event of [...stage("hosts", named(100))].slice(0, 200)) reporter.emit(event);
    vi.advanceTimersByTime(20_000);
    written = "";
    vi.advanceTimersByTime(60_000);
    expect(written).toBe("");
    vi.advanceTimersByTime(120_000);
    expect(written.trim().split("\n")).toHaveLength(1);
  });

  it.each([
    [80, 24],
    [40, 24],
    [80, 4],
  ])("on a terminal of %i columns and %i rows: rows that stay in their place", (columns, rows) => {
    report({ columns, rows });
    const names = named(1000);
    for (const event of stage("packages", names, new Set(["w3"]))) {
      vi.advanceTimersByTime(100);
      reporter.emit(event);
      const { shown } = screen;
      expect(shown.length).toBeLessThanOrEqual(Math.min(9, rows));
    }
    const { shown } = screen;
    expect(shown[0]).toBe("w3: packages/one: failed, a title");
    expect(shown[1]).toMatch(/^packages: 99\d(?: of |\/)1000 done.*, 1 failed$/);
    for (const line of shown.slice(1)) expect(line.length).toBeLessThan(columns);
    reporter.end();
    expect(screen.shown).toEqual(["w3: packages/one: failed, a title"]);
  });

  it("draws nothing over a question", async () => {
    report({ columns: 80, rows: 24 });
    for (const event of [...stage("hosts", named(100))].slice(0, 300)) reporter.emit(event);
    vi.advanceTimersByTime(1000);
    await reporter.asking(async () => {
      written = "";
      vi.advanceTimersByTime(5000);
      reporter.emit(host("w99", "hosts", "done"));
      expect(written).toBe("");
    });
    vi.advanceTimersByTime(1000);
    expect(written).toContain("hosts: ");
  });

  it("of few hosts: a line for each step, as ever", () => {
    report(undefined);
    play(3, 1);
    expect(written.split("\n")).toEqual([
      "hosts",
      "w0: hosts/one: done, a title",
      "w1: hosts/one: done, a title",
      "w2: hosts/one: done, a title",
      "packages",
      "w0: packages/one: failed, a title",
      "w1: packages/one: done, a title",
      "w2: packages/one: done, a title",
      "Error: w0, w1 and 8 more: packages/one failed",
      "Code: step-failed",
      "",
    ]);
  });

  it("when asked: every step; for programs every event; and nothing when nothing is wanted", () => {
    report(undefined, { verbose: true });
    play(30, 0);
    expect(written.match(/: done, a title$/gm)).toHaveLength(60);
    written = "";
    report(undefined, { progress: "json" });
    play(30, 0);
    const events = written
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Event);
    expect(events.filter(({ type }) => type === "host")).toHaveLength(120);
    expect(events).toContainEqual(
      expect.objectContaining({ type: "stage", name: "packages", state: "started", hosts: 30 }),
    );
    written = "";
    report(undefined, { quiet: true });
    play(30, 5);
    expect(written.split("\n")[0]).toMatch(/^Error:/);
  });

  it("for programs: the bytes once a second, and all of them at the end", () => {
    report(undefined, { progress: "json" });
    reporter.emit({ type: "plan", items: 1, bytes: 100 });
    for (const bytes of [30, 30, 40]) {
      vi.advanceTimersByTime(400);
      reporter.emit({ type: "progress", item: "a", bytes });
    }
    reporter.end();
    reporter.end();
    const events = written
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { type: string; done?: number });
    const told = events.filter(({ type }) => type === "progress").map(({ done }) => done);
    expect(told.at(-1)).toBe(100);
    expect(told.filter((done) => done === 100)).toHaveLength(1);
  });
});
