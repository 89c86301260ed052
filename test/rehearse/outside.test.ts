import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { readFileSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";
import { packetsIn, questionsIn } from "../../src/rehearse/outside.ts";
import { freePort } from "../support/daemon.ts";
import { Scratch } from "../support/scratch.ts";

const scratch = new Scratch();
afterAll(() => scratch[Symbol.dispose]());

/** A query as resolvers send it: RFC 1035, 4.1. */
function query(name: string, type: number): Buffer {
  const labels = name.split(".").flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]);
  return Buffer.concat([
    Buffer.from("abcd01000001000000000000", "hex"),
    ...labels,
    Buffer.from([0, 0, type, 0, 1]),
  ]);
}

describe("the name server of a rehearsal", () => {
  it("knows no name and writes down who asked, by UDP and TCP, whatever else it is sent", async () => {
    const port = await freePort();
    const text = readFileSync(join(import.meta.dirname, "../../manifests/rehearse/names.mjs"), "utf8");
    expect(text.match(/\b(?:bind|listen)\(53\)/g)).toHaveLength(2);
    writeFileSync(scratch.path("names.mjs"), text.replace(/\b(bind|listen)\(53\)/g, `$1(${port})`));
    const child = spawn(process.execPath, [scratch.path("names.mjs")], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let log = "";
    child.stdout.on("data", (chunk: Buffer) => (log += chunk.toString()));
    try {
      const socket = createSocket("udp4");
      const answered = new Promise<Buffer>((resolve) => socket.once("message", resolve));
      // Garbage, truncated names and answers are no reason to stop.
      for (const bad of [Buffer.alloc(3), Buffer.alloc(40, 0xff), query("a.b", 1).subarray(0, 15)])
        socket.send(bad, port, "127.0.0.1");
      const asking = setInterval(
        () => socket.send(query("Telemetry.example.com", 28), port, "127.0.0.1"),
        100,
      );
      const reply = await answered;
      clearInterval(asking);
      socket.close();
      expect([reply.readUInt16BE(0), (reply[3] ?? 0) & 0x0f, reply.readUInt16BE(6)]).toEqual([0xabcd, 3, 0]);
      const tcp = createConnection({ host: "127.0.0.1", port });
      const message = query("tcp.example.com", 1);
      tcp.write(Buffer.concat([Buffer.from([0, message.length]), message]));
      const answer = await new Promise<Buffer>((resolve) => tcp.once("data", resolve));
      tcp.destroy();
      expect((answer[5] ?? 0) & 0x0f).toBe(3);
      // What it wrote comes through another pipe than its answers.
      await vi.waitFor(() =>
        expect(questionsIn(log).map(({ from, name, type }) => `${from} ${name} ${type}`)).toEqual(
          expect.arrayContaining(["127.0.0.1 telemetry.example.com AAAA", "127.0.0.1 tcp.example.com A"]),
        ),
      );
    } finally {
      child.kill();
    }
  });
});

describe("what was recorded", () => {
  it("is read from nft's sets as nft 1.0 prints them", () => {
    const element = (concat: unknown[], packets: number) => ({
      elem: { val: { concat }, counter: { packets, bytes: 1 } },
    });
    const printed = {
      nftables: [
        { metainfo: { version: "1.0.6" } },
        { set: { name: "asked", elem: [element(["10.91.0.12", "203.0.113.7", "tcp", 80], 4)] } },
        { set: { name: "other", elem: [element(["10.91.0.11", "198.51.100.1", "icmp"], 2)] } },
        { set: { name: "asked" } },
      ],
    };
    expect(packetsIn(JSON.stringify(printed))).toEqual([
      { host: "10.91.0.12", kind: "address", to: "203.0.113.7", what: "tcp/80", times: 4 },
      { host: "10.91.0.11", kind: "address", to: "198.51.100.1", what: "icmp", times: 2 },
    ]);
    expect(packetsIn("Error: no such table")).toEqual([]);
  });

  it("leaves out lines that are no questions", () => {
    expect(questionsIn('{"from":"10.0.0.1","name":"","type":"A"}\nnode: warning\n{"from":1}\n')).toEqual([]);
  });
});
