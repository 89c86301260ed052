import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { readCluster } from "../../src/cluster/read.ts";
import { loadSecrets } from "../../src/cluster/secrets.ts";
import { AirgapError } from "../../src/errors.ts";
import type { Event } from "../../src/events.ts";
import { Backup, backupBytes } from "../../src/install/backup/archive.ts";
import { backup } from "../../src/install/backup/backup.ts";
import { restore } from "../../src/install/backup/restore.ts";
import { certs } from "../../src/install/certificates/certs.ts";
import { reset } from "../../src/install/reset.ts";
import { makeAuthority, makeCertificate } from "../../src/pki/certificate.ts";
import { StateDir } from "../../src/plan/state-dir.ts";
import { adminConf } from "../support/install/admin-conf.ts";
import { PlayedSite } from "../support/install/played-site.ts";

const ETCD = [1, 2, 3].map((n) => ({ name: `etcd${n}`, address: `10.0.0.3${n}`, roles: ["etcd"] }));
const HOSTS = [{ name: "master1", address: "10.0.0.12", roles: ["control-plane", "registry"] }, ...ETCD];
const CA = await makeAuthority({ commonName: "kubernetes", days: 100 });
const OTHER = await makeAuthority({ commonName: "kubernetes", days: 100 });
const NAMES = ["etcd1", "etcd2", "etcd3"];

const database = Buffer.alloc(1024, "etcd");
const SNAPSHOT = Buffer.concat([database, createHash("sha256").update(database).digest()]);

let site: PlayedSite;
const options = () => ({
  clusterFile: site.clusterFile,
  open: site.open,
  emit: (event: Event) => void site.events.push(event),
});
const said: string[] = [];
const yes = async (question: string): Promise<boolean> => said.push(question) > 0;

/** A backup of the site. */
async function made(ca = CA.cert, more: object = {}): Promise<string> {
  const about = {
    ...{ apiVersion: "airgap/v1", kind: "Backup", cluster: "site", kubernetes: "v1.28.2" },
    ...{ taken: "2026-01-02T03:04:05.000Z", etcd: { mode: "external", version: "3.6.5", revision: 40 } },
    ...more,
  } as Parameters<typeof backupBytes>[0];
  const files = new Map(
    [
      "ca.crt",
      "ca.key",
      "etcd/ca.crt",
      "etcd/ca.key",
      "front-proxy-ca.crt",
      "front-proxy-ca.key",
      "sa.pub",
      "sa.key",
    ].map((name) => [`pki/${name}`, Buffer.from(name === "ca.crt" ? ca : `${name}\n`)] as const),
  );
  const whole = async function* () {
    yield SNAPSHOT;
  };
  const chunks: Buffer[] = [];
  for await (const chunk of backupBytes(about, files, { size: SNAPSHOT.length, bytes: whole() }))
    chunks.push(chunk);
  const path = site.scratch.path("site-backup.tar");
  writeFileSync(path, Buffer.concat(chunks));
  return path;
}

/** Master1 is a control plane with this authority. */
function stands(ca: string): void {
  const lines = ca
    .trimEnd()
    .split("\n")
    .map((line) => `kubernetes-ca|${line}`);
  site.tell(
    "master1",
    ["owner|site", "exists|/etc/kubernetes/admin.conf", "exists|/etc/kubernetes/kubelet.conf", ...lines].join(
      "\n",
    ),
  );
}

beforeEach(async () => {
  said.length = 0;
  site = new PlayedSite({
    os: "debian-12",
    bundle: { files: ["etcd"] },
    cluster: { etcd: "external", hosts: HOSTS },
  });
  await site.write();
  return () => site[Symbol.dispose]();
});

/** Calls on hosts that change something, each host's in order. */
const changes = (name: string): string[] =>
  site
    .host(name)
    .commands.map((command) => command.split("\n")[0]?.split(" <<")[0] ?? "")
    .filter((command) => !/^(?:show_|find_restorer)/.test(command));

describe("restore", () => {
  beforeEach(() => {
    for (const name of ["master1", ...NAMES])
      site
        .host(name)
        .answers(/^show_revision /, "revision 77\n")
        .answers(/./, "");
  });
  const run = (file: string, more: object = {}) => restore({ ...options(), file, sure: yes, ...more });

  it("stops API servers, then members; restores all; starts in the other order; and says before what is lost", async () => {
    stands(CA.cert);
    const file = await made();
    expect(await run(file)).toMatchObject({ restored: "everything", before: 77, members: NAMES });
    expect(said[0]).toMatch(
      /2026-01-02T03:04:05\.000Z, \d+ days ago, at revision 40; etcd is at revision 77 now/,
    );
    expect(changes("master1")).toEqual([
      "stop_static_pods kube-apiserver kube-controller-manager kube-scheduler",
      "start_static_pods",
      "wait_for 300 api_answers",
      "restart_service kubelet",
    ]);
    const initial = "etcd1=https://10.0.0.31:2380,etcd2=https://10.0.0.32:2380,etcd3=https://10.0.0.33:2380";
    expect(changes("etcd2")).toEqual([
      "close /var/lib/airgap/backup",
      "stop_etcd",
      expect.stringMatching(
        new RegExp(
          `^restore_member /var/lib/airgap/backup/restore\\.db etcd2 https://10\\.0\\.0\\.32:2380 ${initial} site-10\\.0\\.0\\.12-\\w+$`,
        ),
      ),
      "start_member",
      "wait_for_etcd 180",
      "remove_file /var/lib/airgap/backup/restore.db",
    ]);
    expect(site.host("etcd2").piped).toEqual([
      { command: "umask 077; cat >/var/lib/airgap/backup/restore.db", bytes: expect.any(Number) },
    ]);
  });

  it.each([
    ["another cluster", { cluster: "other" }, /is of the cluster other/],
    ["another kind of etcd", { etcd: { mode: "stacked", version: "3.6.5", revision: 1 } }, /etcd: stacked/],
    ["a newer Kubernetes", { kubernetes: "v1.29.0" }, /cannot read all that it wrote/],
  ])("changes nothing for a backup of %s", async (_, more, message) => {
    stands(CA.cert);
    await expect(run(await made(CA.cert, more))).rejects.toMatchObject({
      code: "check-failed",
      exit: 3,
      message: expect.stringMatching(message),
    });
    expect(NAMES.flatMap(changes)).toEqual([]);
  });

  it("changes nothing under another authority", async () => {
    stands(OTHER.cert);
    const file = await made();
    await expect(run(file)).rejects.toMatchObject({
      exit: 3,
      message: expect.stringMatching(/has another authority/),
    });
    expect(NAMES.flatMap(changes)).toEqual([]);
  });

  it("needs every member, and a yes", async () => {
    stands(CA.cert);
    const open: PlayedSite["open"] = async (host) => {
      if (host.name === "etcd3") throw new AirgapError("network", "etcd3: no connection");
      return site.open(host);
    };
    await expect(run(await made(), { open })).rejects.toMatchObject({ code: "network" });
    await expect(run(await made(), { sure: async () => false })).rejects.toMatchObject({
      code: "usage",
      message: "Cancelled: nothing was changed",
    });
    expect(["master1", ...NAMES].flatMap(changes)).toEqual([]);
  });

  it("that stops part-way says so, with 4", async () => {
    stands(CA.cert);
    const broken = site.host("etcd1");
    const play = broken.run.bind(broken);
    broken.run = (script, more) =>
      script.includes("\nrestore_member ")
        ? Promise.resolve({ code: 1, stdout: "", stderr: "disk full\n" })
        : play(script, more);
    await expect(run(await made())).rejects.toMatchObject({
      exit: 4,
      message: "The restore stopped part-way: etcd1: disk full",
      suggestions: [
        expect.stringMatching(/run the same command/),
        expect.stringMatching(/etcd-before-restore/),
      ],
    });
  });

  it("without control planes only keeps the keys of the backup, for install", async () => {
    expect(await run(await made())).toMatchObject({ restored: "keys", members: [] });
    const kept = JSON.parse(readFileSync(site.scratch.path(".airgap/site/secrets.json"), "utf8"));
    expect(kept.keys).toMatchObject({
      ca: { cert: CA.cert, key: "ca.key\n" },
      serviceAccount: { publicKey: "sa.pub\n" },
    });
    expect(["master1", ...NAMES].flatMap(changes)).toEqual([]);
  });
});

describe("backup", () => {
  it("takes the snapshot of a member that answers, in pieces, and of nobody's else's etcd", async () => {
    const tar = await tarOf({ "pki/ca.key": "key\n", "kubeadm/kubeadm-config.yaml": "kind: ConfigMap\n" });
    site
      .host("etcd1")
      .answers(/^take_snapshot /, { code: 1, stdout: "", stderr: "etcd on this host does not answer\n" });
    site
      .host("etcd2")
      .answers(/^take_snapshot /, `snapshot 40 3.6.5 ${SNAPSHOT.length}\n`)
      .answers(/^print_stretch /, SNAPSHOT.toString("base64"))
      .answers(/^remove_file /, "");
    site.host("master1").answers(/^print_control_plane /, tar.toString("base64"));
    site.host("etcd3");
    const output = site.scratch.path("b.tar");
    const result = await backup({ ...options(), output });
    expect(result).toMatchObject({ by: "etcd2", etcd: { mode: "external", version: "3.6.5", revision: 40 } });
    expect(statSync(output).mode & 0o777).toBe(0o600);
    expect(result.digest).toBe(`sha256:${createHash("sha256").update(readFileSync(output)).digest("hex")}`);
    const read = Backup.open(output);
    expect(read.text("cluster.yaml")).toBe(readFileSync(site.clusterFile, "utf8"));
    expect(read.names).toContain("pki/ca.key");
    read.close();
    await expect(backup({ ...options(), output })).rejects.toMatchObject({ code: "usage" });
  });

  it("leaves nothing where the snapshot is not what etcd wrote", async () => {
    site
      .host("etcd1")
      .answers(/^take_snapshot /, `snapshot 40 3.6.5 ${database.length}\n`)
      .answers(/^print_stretch /, database.toString("base64"));
    site
      .host("master1")
      .answers(/^print_control_plane /, (await tarOf({ "pki/ca.key": "key\n" })).toString("base64"));
    const output = site.scratch.path("b.tar");
    await expect(backup({ ...options(), output })).rejects.toMatchObject({ code: "corrupt" });
    expect([output, `${output}.part`].filter(existsSync)).toEqual([]);
  });
});

async function tarOf(files: Record<string, string>): Promise<Buffer> {
  const { END_OF_ARCHIVE, entryHeader, padded } = await import("../../src/bundle/tar.ts");
  const parts = Object.entries(files).flatMap(([name, text]) => [
    entryHeader(name, text.length),
    Buffer.concat([Buffer.from(text), Buffer.alloc(padded(text.length) - text.length)]),
  ]);
  return Buffer.concat([...parts, END_OF_ARCHIVE]);
}

describe("certs", () => {
  const leaf = (days: number) =>
    makeCertificate(
      { ...CA, name: { commonName: "kubernetes" } },
      { commonName: "x", days, hosts: [], usage: ["client"] },
    );
  const shown = async (days: Record<string, number>): Promise<string> =>
    (
      await Promise.all(
        Object.entries(days).map(async ([name, left]) => `=== ${name}\n${(await leaf(left)).cert}`),
      )
    ).join("");
  const run = (more: object = {}) => certs({ ...options(), renew: false, sure: yes, ...more });

  it("are shown of every host, the one that ends first before the others", async () => {
    site
      .host("master1")
      .answers(/^show_certificates$/, await shown({ "apiserver.crt": 200, "admin.conf": 12.5 }));
    for (const name of NAMES)
      site
        .host(name)
        .answers(
          /^show_certificates$/,
          await shown({ "airgap/etcd/member.crt": name === "etcd2" ? -0.01 : 900 }),
        );
    const { certificates, fine, problems } = await run();
    expect(certificates.map(({ host, name, days }) => `${host} ${name} ${days}`)).toEqual([
      "etcd2 airgap/etcd/member.crt -1",
      "master1 admin.conf 12",
      "master1 apiserver.crt 199",
      "etcd1 airgap/etcd/member.crt 899",
      "etcd3 airgap/etcd/member.crt 899",
    ]);
    expect({ fine, problems }).toEqual({
      fine: false,
      problems: ["etcd2: airgap/etcd/member.crt has expired", "master1: admin.conf expires in 12 days"],
    });
  });

  it("are renewed: members, then the control plane with its kubelet that has expired, and the kubeconfig comes home", async () => {
    const cluster = await readCluster(site.clusterFile);
    await loadSecrets(cluster, StateDir.open(cluster), {});
    const secrets = JSON.parse(readFileSync(site.scratch.path(".airgap/site/secrets.json"), "utf8"));
    stands(secrets.keys.ca.cert);
    const admin = await makeAuthority({ commonName: "kubernetes-admin", days: 1 });
    const before = secrets.etcd.members.etcd1.cert;
    const told = (name: string, text: string): string => text.trimEnd().replace(/^/gm, `${name}|`);
    site.tell(
      "master1",
      `${told("site-ca", secrets.authority.cert)}\n${told("site-certificate", secrets.server.cert)}`,
    );
    site
      .host("master1")
      .answers(
        /^show_certificates$/,
        await shown({ "apiserver.crt": -0.01, "kubelet-client-current.pem": -0.01, "kubelet.crt": 5 }),
      )
      .answers(
        /^cat \/etc\/kubernetes\/admin\.conf$/,
        adminConf({ server: "https://10.0.0.12:6443", ca: secrets.keys.ca.cert, ...admin }),
      )
      .answers(/./, "");
    for (const name of NAMES) site.host(name).answers(/./, "");
    const { renewed, kubeconfig } = await run({ renew: true });
    expect(renewed).toMatchObject({
      master1: [
        "kubeadm's certificates and kubeconfigs",
        "kubelet's client certificate",
        "kubelet's serving certificate",
      ],
      etcd1: ["etcd's member"],
    });
    expect(changes("etcd1")).toEqual(["keep_certificates", "put_for etcd /etc/airgap/etcd/member.key"]);
    expect(changes("master1").filter((command) => command !== "cat /etc/kubernetes/admin.conf")).toEqual([
      "keep_certificates",
      "renew_control_plane certs",
      "put_key /etc/kubernetes/pki/apiserver-etcd-client.key",
      "make_kubelet_kubeconfig kubeconfig master1",
      "give_kubelet_kubeconfig",
      "stop_static_pods kube-apiserver kube-controller-manager kube-scheduler etcd",
      "start_static_pods",
      "wait_for 300 api_answers",
      "copy_kubeconfig root",
      "renew_kubelet_server",
    ]);
    expect(kubeconfig).toBe(site.scratch.path(".airgap/site/kubeconfig"));
    const after = JSON.parse(readFileSync(site.scratch.path(".airgap/site/secrets.json"), "utf8"));
    expect(after.etcd.members.etcd1.cert).not.toBe(before);
    expect(after.keys).toEqual(secrets.keys);
  });
});

describe("reset with etcd on hosts of its own", () => {
  const run = (more: object = {}) =>
    reset({ ...options(), packages: false, sure: async () => true, ...more });
  beforeEach(() => {
    for (const name of ["master1", ...NAMES]) site.host(name).remembers = [{ step: "hosts/owner" }];
  });

  it("of everything empties the members", async () => {
    expect((await run()).etcd).toEqual({ emptied: "members", hosts: NAMES });
  });

  it("of all control planes deletes their keys from the etcd that stays", async () => {
    site.host("etcd1").answers(/^clear_etcd /, "312\n");
    expect((await run({ hosts: ["master1"] })).etcd).toEqual({
      emptied: "prefix",
      prefix: "/registry/",
      keys: 312,
    });
    expect(site.host("etcd1").commands).toEqual(["clear_etcd /registry/"]);
  });

  it("of a member lets the others forget it first; by another one when the first does not answer", async () => {
    site.host("etcd1").answers(/^remove_etcd_member /, { code: 1, stdout: "", stderr: "no leader\n" });
    site.host("etcd2").answers(/^remove_etcd_member /, "");
    expect((await run({ hosts: ["etcd3"] })).etcd).toBeUndefined();
    expect(site.host("etcd2").commands).toEqual(["remove_etcd_member etcd3 https://10.0.0.33:2380"]);
    site.host("etcd3").answers(/^remove_etcd_member /, { code: 1, stdout: "", stderr: "no leader\n" });
    await expect(run({ hosts: ["etcd2"] })).rejects.toMatchObject({
      code: "step-failed",
      message: expect.stringMatching(/etcd cannot do without etcd2/),
    });
  });
});
