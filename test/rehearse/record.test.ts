import { writeFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import {
  checkRehearsed,
  describeRehearsed,
  encodeRehearsal,
  type Rehearsal,
  readRehearsal,
  writeRehearsal,
} from "../../src/bundle/rehearsal.ts";
import { signable, signWith } from "../../src/bundle/sign.ts";
import { openSigner } from "../../src/trust/key.ts";
import { makeKeyFiles } from "../../src/trust/make.ts";
import { Trust } from "../../src/trust/trust.ts";
import { Scratch } from "../support/scratch.ts";

const scratch = new Scratch();
afterAll(() => scratch[Symbol.dispose]());

const lockDigest = `sha256:${"1".repeat(64)}` as const;
const record: Rehearsal = {
  ...{ apiVersion: "airgap/v1", kind: "Rehearsal", bundle: "site", lockDigest },
  ...{
    cluster: "site",
    kubernetes: "v1.34.4",
    passed: true,
    finished: "2026-11-30T12:00:00Z",
    seconds: 90,
    airgap: "0.1.0",
  },
  engine: { name: "Engine", version: "28.0.1", kernel: "6.1.0" },
  hosts: [
    {
      ...{ name: "cp1", asked: "10.0.0.1", address: "10.0.0.1", system: "debian-12", image: lockDigest },
      ...{ diskBytes: 1, memoryBytes: 2, receivedBytes: 3, sentBytes: 4, packages: 5, images: 6 },
    },
  ],
  stages: [{ stage: "hosts", ms: 5 }],
  proved: [{ what: "nodes", good: true, detail: "all" }],
  outside: [{ host: "cp1", kind: "name", to: "x.example", what: "A", times: 1 }],
  ...{ adjusted: [], notShown: [] },
};
const about = { name: "site", lockDigest };
const write = (name: string, value: Rehearsal): string => {
  writeRehearsal(scratch.path(name), value);
  return scratch.path(name);
};

describe("a rehearsal's record", () => {
  it("says of exactly its bundle that it passed", () => {
    const proof = checkRehearsed(write("good.json", record), about);
    expect(describeRehearsed(proof)).toBe(
      "Rehearsed: exactly this bundle passed on 2026-11-30T12:00:00Z: site, Kubernetes v1.34.4, 1 throw-away hosts with debian-12 (Engine 28.0.1, kernel 6.1.0); 1 attempts to reach something outside; the file is not signed",
    );
  });

  it("says nothing of another bundle, and nothing good of one that did not pass", () => {
    const other = { name: "site", lockDigest: `sha256:${"2".repeat(64)}` as const };
    expect(() => checkRehearsed(write("good.json", record), other)).toThrow("another bundle was rehearsed");
    const bad = write("bad.json", { ...record, passed: false, failure: "w1: no disk" });
    expect(() => checkRehearsed(bad, about)).toThrow("did not pass: w1: no disk");
  });

  it("is hostile until checked", () => {
    for (const [name, value] of Object.entries({
      digest: { ...record, lockDigest: "sha256:1" },
      date: { ...record, finished: "yesterday" },
      extra: { ...record, more: 1 },
      lines: { ...record, cluster: "a\u001b[2Jb\n" },
    })) {
      writeFileSync(scratch.path(`${name}.json`), JSON.stringify(value));
      expect(() => readRehearsal(scratch.path(`${name}.json`)), name).toThrow();
    }
    writeFileSync(scratch.path("other.json"), JSON.stringify({ kind: "Receipt" }));
    expect(() => checkRehearsed(scratch.path("other.json"), about)).toThrow("is no rehearsal");
  });

  it("is signed as it is, and a changed one has no signature that counts", async () => {
    const made = makeKeyFiles(scratch.path("site"), "ed25519", undefined);
    const file = write("signed.json", record);
    signWith(await openSigner(made.key, async () => undefined), await signable(file, {}));
    const trust = () => new Trust({ keys: [made.pub], folders: [] });
    expect(checkRehearsed(file, about, { trust: trust() }).signedBy).toEqual([made.pub]);
    expect(encodeRehearsal(readRehearsal(file) as Rehearsal)).toEqual(encodeRehearsal(record));
    writeRehearsal(file, { ...record, seconds: 1 });
    expect(() => checkRehearsed(file, about, { trust: trust() })).toThrow(/signature/);
    const unsigned = write("unsigned.json", record);
    expect(() => checkRehearsed(unsigned, about, { trust: trust() })).toThrow("is not signed");
  });
});
