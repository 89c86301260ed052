import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hashSync } from "bcryptjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { InstallResult } from "../../src/install/install.ts";
import type { ClusterStatus } from "../../src/install/status.ts";
import { Scratch } from "../support/scratch.ts";
import { applicationPort, writeApplication } from "./rig/application.ts";
import { siteBundle } from "./rig/bundle.ts";
import type { ConnectedOptions } from "./rig/connected.ts";
import type { Host } from "./rig/host.ts";
import { type Registry, startRegistry } from "./rig/images/registry.ts";
import { compiled, installPrograms } from "./rig/prepare.ts";
import { Rig } from "./rig/rig.ts";
import { must } from "./rig/shell.ts";
import {
  askedForImages,
  clusterFile,
  debugContainerd,
  heardOutside,
  type Member,
  nodesReady,
  Operator,
  workloadsAnswer,
} from "./rig/site.ts";

const SIDE: Omit<ConnectedOptions, "extra"> = {
  version: "v1.34.4",
  systems: ["debian", "el"],
  runtime: "containerd",
};
const PASSWORD = `rig-${Math.random().toString(36).slice(2)}`;
const REGISTRY_PASSWORD = `registry-${Math.random().toString(36).slice(2)}`;
const NAME = "register.rig.test";
const scratch = new Scratch();

/** A certificate as the site's own authority signs it. */
async function certificate(address: string): Promise<{ caFile: string; certificate: string; key: string }> {
  const at = (name: string): string => scratch.path(name);
  const request = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "90",
  ];
  await must("openssl", [
    ...request,
    "-keyout",
    at("ca.key"),
    "-out",
    at("ca.crt"),
    "-subj",
    "/CN=The site's own authority",
  ]);
  const names = [
    "-addext",
    `subjectAltName=DNS:${NAME},IP:${address}`,
    "-addext",
    "basicConstraints=critical,CA:FALSE",
  ];
  const signed = ["-CA", at("ca.crt"), "-CAkey", at("ca.key"), "-subj", `/CN=${NAME}`];
  await must("openssl", [
    ...request,
    ...signed,
    ...names,
    "-keyout",
    at("registry.key"),
    "-out",
    at("registry.crt"),
  ]);
  return { caFile: at("ca.crt"), certificate: at("registry.crt"), key: at("registry.key") };
}

describe.runIf(compiled(SIDE.version))("a real cluster with a registry that the site has already", () => {
  let rig: Rig;
  let operator: Operator;
  let registry: Registry;
  let cp1: Host;
  let w1: Host;
  let cluster = "";
  let bundle = "";
  let caFile = "";

  beforeAll(async () => {
    await installPrograms();
    bundle = await siteBundle({ ...SIDE, application: "v0.1" });
    rig = await Rig.create("10.79.0");
    const address = rig.network.operator;
    const tls = await certificate(address);
    caFile = tls.caFile;
    const htpasswd = scratch.write("htpasswd", `puller:${hashSync(REGISTRY_PASSWORD, 5)}\n`);
    registry = await startRegistry({
      storage: scratch.path("registry"),
      work: scratch.path("work"),
      network: rig.network,
      address,
      port: 443,
      tls,
      htpasswd,
    });
    [cp1, w1] = await Promise.all([
      rig.host({ name: "cp1", password: PASSWORD }),
      rig.host({ name: "w1", password: PASSWORD }),
    ]);
    await Promise.all([cp1, w1].map(debugContainerd));
    const members: Member[] = [
      [cp1, "control-plane"],
      [w1, "worker"],
    ];
    await writeApplication(scratch.path("site/apps"), "v0.1");
    cluster = await clusterFile(scratch.path("site"), members, {
      kubernetes: { version: SIDE.version },
      registry: {
        ...{ host: NAME, address, mode: "external", layout: "flat", prefix: "mirror" },
        ...{ user: "puller", passwordEnv: "RIG_REGISTRY_PASSWORD", caFile },
      },
      repository: { host: "cp1" },
      addons: ["workloads", { manifest: "apps/" }],
    });
    const docker = scratch.path("docker");
    await must("mkdir", ["-p", docker]);
    const auth = Buffer.from(`puller:${REGISTRY_PASSWORD}`).toString("base64");
    await writeFile(join(docker, "config.json"), JSON.stringify({ auths: { [registry.host]: { auth } } }));
    operator = new Operator(rig, {
      AIRGAP_SSH_PASSWORD: PASSWORD,
      RIG_REGISTRY_PASSWORD: REGISTRY_PASSWORD,
      DOCKER_CONFIG: docker,
    });
  });

  afterAll(async () => {
    await registry?.stop();
    await rig?.destroy();
    scratch[Symbol.dispose]?.();
  });

  const push = () =>
    operator.expect(0, "push", bundle, `${registry.host}/mirror`, "--layout", "flat", "--ca-file", caFile);

  /** Somebody cleans up in the registry. */
  async function remove(repository: string, tag: string): Promise<void> {
    const ask = [
      "curl",
      "-fsS",
      "--cacert",
      caFile,
      "-u",
      `puller:${REGISTRY_PASSWORD}`,
      "-H",
      "Accept: application/vnd.oci.image.manifest.v1+json",
    ];
    const base = `https://${registry.host}/v2/${repository}/manifests`;
    const { stdout } = await rig.run([...ask, "-I", `${base}/${tag}`]);
    const digest = /^docker-content-digest: (\S+)/im.exec(stdout)?.[1] ?? "";
    const { code, stderr } = await rig.run([...ask, "-X", "DELETE", `${base}/${digest}`]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  }

  it("stops before kubeadm begins when the registry lacks something, and names all of it", {
    timeout: 900_000,
  }, async () => {
    await push();
    await remove("mirror/kube-proxy", SIDE.version);
    await remove("team/shop", "v0.1");
    const said = await operator.expect(1, "install", cluster, "--bundle", bundle, "--yes");
    const [, lacking = ""] =
      /Error: cp1: registry\/images .*? failed\n(.*?)Code: step-failed/s.exec(said) ?? [];
    expect(lacking.match(/register\.rig\.test\/(?:mirror|team)\/\S+/g)?.sort()).toEqual([
      `register.rig.test/mirror/kube-proxy:${SIDE.version}`,
      "register.rig.test/team/shop:v0.1",
    ]);
    expect(await cp1.sh("ls /etc/kubernetes/admin.conf 2>/dev/null || true")).toBe("");
  });

  it("push brings what is missing, and install goes on to a cluster", { timeout: 900_000 }, async () => {
    await push();
    await operator.expect(0, "install", cluster, "--bundle", bundle, "--yes");
    expect((await nodesReady(cp1, 2)).sort()).toEqual(["cp1", "w1"]);
    await workloadsAnswer(rig, cp1, [w1]);
    expect(await heardOutside(rig, `http://${w1.address}:${applicationPort}/`)).toBe("shop v0.1");
  });

  it("a second install has nothing to do, and status says that all is well", async () => {
    const { changed } = await operator.json<InstallResult>("install", cluster, "--bundle", bundle, "--yes");
    expect(changed).toBe(0);
    const { healthy, problems } = await operator.json<ClusterStatus>("status", cluster);
    expect({ healthy, problems }).toEqual({ healthy: true, problems: [] });
  });

  it("every image came out of that registry", async () => {
    for (const node of [cp1, w1]) expect((await askedForImages(node)).hosts).toEqual([NAME]);
    const log = await registry.log();
    for (const name of [
      "mirror/kube-proxy",
      "mirror/coredns",
      "mirror/flannel",
      "mirror/busybox",
      "team/shop",
    ]) {
      expect(log).toMatch(new RegExp(`GET /v2/${name}/blobs/sha256:\\w+ HTTP/1.1" 200`));
    }
  });

  it("its password is in no log and no file that all may read", async () => {
    const texts = [REGISTRY_PASSWORD, Buffer.from(`puller:${REGISTRY_PASSWORD}`).toString("base64")];
    for (const text of texts) {
      expect(
        (await must("sh", ["-c", `grep -rlsF '${text}' "$0" || true`, scratch.path("site")])).stdout.trim(),
      ).toBe("");
      for (const host of [cp1, w1]) {
        const files = (
          await host.sh(`grep -rlsF '${text}' /etc /var/log /var/lib/airgap /root /run/log || true`)
        )
          .split("\n")
          .filter(Boolean);
        for (const file of files)
          expect(`${file} ${await host.sh(`stat -c %a '${file}'`)}`).toBe(`${file} 600`);
      }
    }
  });
});
