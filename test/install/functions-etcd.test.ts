import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { FunctionHost } from "../support/install/function-host.ts";
import { type Ran, SHELLS } from "../support/install/shells.ts";

const LIST = `a1, started, etcd1, https://10.0.0.31:2380, https://10.0.0.31:2379, false
a2, started, etcd2, https://10.0.0.32:2380, https://10.0.0.32:2379, false
b3, unstarted, , https://10.0.0.33:2380, , true`;

/** etcdctl, of which only what comes behind its certificates counts. */
const etcdctl = (cases: string): string =>
  `case "$*" in ${cases} *'member list') printf '%s\\n' '${LIST}';; esac`;

describe.each(SHELLS)("functions of etcd, by %s", (...shell) => {
  let host: FunctionHost;
  beforeEach(() => {
    host = new FunctionHost(shell);
    return () => host[Symbol.dispose]();
  });
  const sh = (script: string, bodies?: Record<string, string>): Ran => host.run(script, bodies);
  const changes = (): string[] =>
    host.calls.flatMap((call) => / (member (?:add|remove|promote).*)$/.exec(call)?.[1] ?? []);

  it("show_etcd says members, also one that never started, and how many keys there are", () => {
    const fields = String.raw`printf '"Revision" : 9\n"More" : false\n"Count" : 12\n'`;
    expect(sh("show_etcd /registry/", { etcdctl: etcdctl(`*'get /registry/'*) ${fields};;`) }).stdout).toBe(
      "member a1 started etcd1 https://10.0.0.31:2380 voter\nmember a2 started etcd2 https://10.0.0.32:2380 voter\nmember b3 unstarted - https://10.0.0.33:2380 learner\nkeys 12\n",
    );
    expect(sh("show_etcd /registry/", { etcdctl: "return 1" }).code).toBe(1);
  });

  it("a lost member is forgotten before the new one is added, and others stay", () => {
    const url = "https://10.0.0.32:2380";
    expect(sh(`etcd_awaits ${url}`, { etcdctl: etcdctl("") }).output).toMatch(/does not wait for a member/);
    expect(sh("etcd_awaits https://10.0.0.33:2380", { etcdctl: etcdctl("") }).code).toBe(0);
    expect(sh(`admit_etcd_member etcd2 ${url}`, { etcdctl: etcdctl("") }).code).toBe(0);
    expect(changes()).toEqual(["member remove a2", `member add etcd2 --learner --peer-urls=${url}`]);
  });

  it("a member that got its data is promoted; a member that leaves is removed once", () => {
    expect(sh("etcd_votes https://10.0.0.33:2380", { etcdctl: etcdctl("") }).output).toMatch(/does not vote/);
    expect(sh("etcd_votes https://10.0.0.31:2380", { etcdctl: etcdctl("") }).code).toBe(0);
    sh("promote_etcd_member https://10.0.0.33:2380", { etcdctl: etcdctl("") });
    expect(sh("remove_etcd_member etcd1 https://10.0.0.31:2380", { etcdctl: etcdctl("") }).code).toBe(0);
    expect(sh("remove_etcd_member etcd9 https://10.0.0.39:2380", { etcdctl: etcdctl("") }).code).toBe(44);
    expect(sh("remove_etcd_member etcd1 https://10.0.0.31:2380", { etcdctl: "return 1" }).output).toMatch(
      /does not answer/,
    );
    expect(changes()).toEqual(["member promote b3", "member remove a1"]);
  });

  it("a first start says with whom; a later one leaves that alone", () => {
    host.place("etc/airgap/etcd/etcd.env");
    const start = (state: string): Ran =>
      sh(`mkdir -p "$airgap_home"\nstart_etcd ${state} a=https://1:2380,b=https://2:2380 token 123`, {
        systemctl: "",
      });
    expect(start("existing").code).toBe(0);
    expect(readFileSync(host.path("etc/airgap/etcd/initial.env"), "utf8")).toBe(
      "ETCD_INITIAL_CLUSTER_STATE=existing\nETCD_INITIAL_CLUSTER=a=https://1:2380,b=https://2:2380\nETCD_INITIAL_CLUSTER_TOKEN=token\n",
    );
    expect(host.calls.at(-1)).toBe("systemctl restart --no-block etcd.service");
  });

  it("a disk is measured by writes that are synchronised, and nothing is left", () => {
    // In memory: the disk of this machine may be at others' service.
    const { stdout } = sh(
      'folder=$(mktemp -d /dev/shm/airgap.XXXXXX)\nmeasure_sync "$folder"\nls -A "$folder"\nrmdir "$folder"',
    );
    expect(stdout).toMatch(/^sync \d+\.\d\d \d+\.\d\d\n$/);
  });

  it("certificates are shown without the keys that lie beside them", () => {
    writeFileSync(
      host.place("etc/airgap/serve/tls.crt"),
      "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----\nSECRET\n-----END EC PRIVATE KEY-----\n",
    );
    const { stdout } = sh("show_certificates");
    expect(stdout).toContain("=== airgap/serve/tls.crt\n-----BEGIN CERTIFICATE-----\nMIIB\n");
    expect(stdout).not.toContain("SECRET");
  });

  it("static pods that are stopped come back as they were, and others are not touched", () => {
    for (const name of ["kube-apiserver", "etcd", "kube-vip"])
      host.place(`etc/kubernetes/manifests/${name}.yaml`, name);
    const here = (name: string): boolean => existsSync(host.path(`etc/kubernetes/manifests/${name}.yaml`));
    expect(sh("stop_static_pods kube-apiserver kube-scheduler etcd", { runs: "return 1" }).code).toBe(0);
    expect([here("kube-apiserver"), here("etcd"), here("kube-vip")]).toEqual([false, false, true]);
    expect(sh("start_static_pods\nstart_static_pods").code).toBe(0);
    expect([here("kube-apiserver"), here("etcd"), here("kube-vip")]).toEqual([true, true, true]);
    expect(existsSync(host.path("etc/kubernetes/airgap-stopped"))).toBe(false);
  });
});
