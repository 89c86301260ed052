import { describe, expect, it } from "vitest";
import type { RunningHost } from "../../src/rehearse/hosts.ts";
import { Meter } from "../../src/rehearse/meter.ts";
import type { Engine, MachineUsage } from "../../src/transport/engine.ts";

const host = { id: "1", name: "w1" } as RunningHost;

async function measured(told: MachineUsage | undefined, own: string, code = 0): Promise<unknown> {
  const engine = { usage: async () => told, exec: async () => ({ code, stdout: own, stderr: "" }) };
  return (await new Meter(engine as unknown as Engine, [host]).end()).get("w1");
}

describe("what a host uses", () => {
  const own = "memory 5000\nfiles 1000\nnetwork 100 1 0 0 0 0 0 0 200 3 0 0 0 0 0 0\n";

  it("is what the engine tells", async () => {
    const told = { memoryBytes: 1, receivedBytes: 2, sentBytes: 3 };
    expect(await measured(told, own)).toEqual(told);
  });

  it("is what the host itself tells where the engine has no numbers", async () => {
    expect(await measured(undefined, own)).toEqual({ memoryBytes: 4000, receivedBytes: 100, sentBytes: 200 });
    expect(await measured(undefined, "")).toEqual({ memoryBytes: 0, receivedBytes: 0, sentBytes: 0 });
    expect(await measured(undefined, own, 1)).toBeUndefined();
  });
});
