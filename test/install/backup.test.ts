import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { END_OF_ARCHIVE, entryHeader } from "../../src/bundle/tar.ts";
import { Backup, type BackupAbout, backupBytes } from "../../src/install/backup/archive.ts";
import { FunctionHost } from "../support/install/function-host.ts";
import { SHELLS } from "../support/install/shells.ts";
import { Scratch } from "../support/scratch.ts";

const ABOUT: BackupAbout = {
  apiVersion: "airgap/v1",
  kind: "Backup",
  cluster: "site",
  taken: "2026-11-30T12:00:00.000Z",
  kubernetes: "v1.34.4",
  etcd: { mode: "stacked", version: "3.6.5", revision: 42 },
};
const database = Buffer.alloc(4096, "etcd");
/** As etcd writes it: the database, then its digest. */
const snapshot = Buffer.concat([database, createHash("sha256").update(database).digest()]);
const FILES = new Map([
  ["pki/ca.crt", Buffer.from("a certificate\n")],
  ["cluster.yaml", Buffer.from("name: site\n")],
]);

async function made(bytes = snapshot, about = ABOUT): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const pieces = async function* () {
    yield bytes.subarray(0, 1000);
    yield bytes.subarray(1000);
  };
  for await (const chunk of backupBytes(about, FILES, { size: bytes.length, bytes: pieces() }))
    chunks.push(chunk);
  return Buffer.concat(chunks);
}

const opened = (bytes: Buffer): Backup => {
  using scratch = new Scratch();
  const path = scratch.path("site-backup.tar");
  writeFileSync(path, bytes);
  return Backup.open(path);
};
const refused = (bytes: Buffer, why: RegExp): void => {
  expect(() => opened(bytes)).toThrow(
    expect.objectContaining({ code: "corrupt", exit: 3, message: expect.stringMatching(why) }),
  );
};

describe("a backup", () => {
  it("is read as it was written, and the same content gives the same bytes", async () => {
    const bytes = await made();
    expect(bytes).toEqual(await made());
    const backup = opened(bytes);
    expect(backup.about).toEqual(ABOUT);
    expect(backup.names).toEqual(["about.json", "cluster.yaml", "pki/ca.crt", "snapshot.db", "sha256sums"]);
    expect(backup.text("cluster.yaml")).toBe("name: site\n");
    const { offset, size } = backup.snapshot;
    expect(bytes.subarray(offset, offset + size)).toEqual(snapshot);
  });

  it("is an ordinary tar that can be checked without airgap", async () => {
    using scratch = new Scratch();
    scratch.write("b.tar", await made());
    const { status, stdout } = spawnSync("sh", ["-c", "tar -xf b.tar && sha256sum -c sha256sums"], {
      cwd: scratch.dir,
      encoding: "utf8",
    });
    expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringMatching(/^snapshot\.db: OK$/m) });
  });

  it("is refused when any byte of it differs, when it ends early, or when its snapshot is not etcd's", async () => {
    const bytes = await made();
    const places = [...bytes.keys()].filter((at) => at % 97 === 0 && bytes[at] !== 0);
    for (const at of places) {
      const other = Buffer.from(bytes);
      other[at] = (other[at] ?? 0) ^ 1;
      expect(() => opened(other), `byte ${at}`).toThrow(/is not a whole backup/);
    }
    refused(bytes.subarray(0, 3000), /is not complete|ends in the middle/);
    refused(Buffer.from("nothing"), /ends in the middle/);
    refused(await made(database), /no digest of etcd's own/);
    refused(await made(Buffer.concat([database, Buffer.alloc(32)])), /is not what etcd wrote/);
  });

  it.each(["../etc/passwd", "/etc/passwd", "pki/./ca.crt", "a b", "x/../../y"])("holds no %s", (name) => {
    const entry = Buffer.concat([entryHeader(name, 1), Buffer.alloc(512, 1)]);
    refused(Buffer.concat([entry, END_OF_ARCHIVE]), /which no backup has/);
  });

  it("says what it is of", async () => {
    const odd = { ...ABOUT, etcd: { ...ABOUT.etcd, revision: 1.5 } };
    await expect(made(snapshot, odd).then(opened)).rejects.toThrow(/about\.json does not say/);
  });
});

describe.each(SHELLS)("functions of backups, by %s", (...shell) => {
  it("keep_backup writes what airgap reads, and keeps only the newest", () => {
    using host = new FunctionHost(shell);
    host.place("etc/kubernetes/pki/ca.key", "key\n");
    host.place("etc/kubernetes/pki/etcd/ca.key", "key\n");
    host.place("snap", "");
    writeFileSync(host.path("snap"), snapshot);
    const kubectl = `case "$*" in *'-o name') echo configmap/kubeadm-config; echo configmap/coredns;; *) echo 'kind: ConfigMap';; esac`;
    const { code, output } = host.run(
      `take_snapshot() { cp '${host.path("snap")}' "$2"; echo 'snapshot 42 3.6.5 4128'; }
mkdir '${host.path("b")}'; touch '${host.path("b")}/site-2001.tar' '${host.path("b")}/site-2002.tar' '${host.path("b")}/mine.tar'
keep_backup '${host.path("b")}' 2 cp1 stacked site v1.34.4
ls '${host.path("b")}'`,
      { kubectl },
    );
    expect({ code, output }).toMatchObject({ code: 0 });
    const names = output.trim().split("\n").slice(1);
    expect(names).toEqual(["mine.tar", "site-2002.tar", expect.stringMatching(/^site-\d{8}T\d{6}Z\.tar$/)]);
    const backup = Backup.open(host.path(`b/${names[2]}`));
    expect(backup.about).toMatchObject({ cluster: "site", kubernetes: "v1.34.4", etcd: ABOUT.etcd });
    expect(backup.names).toEqual(
      expect.arrayContaining([
        "kubeadm/kubeadm-config.yaml",
        "pki/ca.key",
        "pki/etcd/ca.key",
        "snapshot.db",
        "sha256sums",
      ]),
    );
    expect(readFileSync(host.path(`b/${names[2]}`)).includes("coredns")).toBe(false);
    backup.close();
  });

  it("take_snapshot fails when etcd's program does, also where failing is waited out", () => {
    using host = new FunctionHost(shell);
    const kubectl = `case "$*" in *'endpoint status'*) printf '"Revision" : 7\\n"Version" : "3.6.5"\\n';; *) exit 1;; esac`;
    const asked = `if take_snapshot cp1 '${host.path("keep/etcd.db")}'; then echo taken; fi`;
    expect(host.run(asked, { kubectl }).output).not.toContain("taken");
    expect(host.run(asked, { kubectl, mv: "exit 1" }).output).not.toContain("taken");
  });

  it("print_control_plane gives the same tar each time", () => {
    using host = new FunctionHost(shell);
    host.place("etc/kubernetes/pki/ca.key", "key\n");
    const print = (): string =>
      host.run(`print_control_plane '${host.path("work")}'`, { kubectl: "" }).output;
    const first = print();
    expect(Buffer.from(first, "base64").length).toBeGreaterThan(512);
    expect(print()).toBe(first);
  });
});
