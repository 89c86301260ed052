import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RUNTIMES } from "../../src/init/answers.ts";
import { sampleHosts } from "../../src/init/hosts-file.ts";
import { specText } from "../../src/init/spec.ts";
import type { Arch } from "../../src/init/systems.ts";
import { type PackageSetSpec, parseBundleSpec } from "../../src/lock/spec.ts";
import { resolveClosures } from "../../src/resolve/packages.ts";
import { writeDebRepository } from "../support/deb-metadata.ts";
import { debianRepository } from "../support/debian.ts";
import { packageContext } from "../support/packages.ts";
import { writeRpmRepository } from "../support/rpm-metadata.ts";
import { RECORDED, type Recorded, systems } from "./recorded.ts";

let at: Awaited<ReturnType<typeof packageContext>>;
beforeAll(async () => {
  at = await packageContext();
});
afterAll(() => at.close());

type Packages = [name: string, version: string][];
const split = (list: string[]): Packages =>
  list.map((each) => [each.split(" ")[0] ?? "", each.split(" ")[1] ?? "1-1"]);

/** The recorded packages of one repository of a spec; Kubernetes' own in the wanted release and its neighbour. */
function contentOf(id: string, recorded: Recorded, kubernetes: string): Packages {
  if (id === "docker") return split(recorded.docker);
  if (id !== "kubernetes") return split(recorded.base);
  const wanted = kubernetes.slice(1);
  const own = ["kubelet", "kubeadm", "kubectl"].flatMap(
    (name): Packages => [
      [name, `${wanted}-1.1`],
      [name, `${wanted}9-1.1`],
    ],
  );
  return [...own, ...split(recorded.kubernetes)];
}

let number = 0;

/** The same set, with its repositories as folders of what was recorded. */
async function recordedSet(
  set: PackageSetSpec,
  recorded: Recorded,
  kubernetes: string,
): Promise<PackageSetSpec> {
  const folder = `${at.dir}/${number++}`;
  const repositories: PackageSetSpec["repositories"] = [];
  for (const { id } of set.repositories) {
    const content = contentOf(id, recorded, kubernetes);
    if (set.format === "rpm") {
      await writeRpmRepository(
        `${folder}/${id}`,
        content.map(([name, evr]) => ({ name, evr, arch: set.arch })),
      );
      repositories.push({ id, baseurl: `${folder}/${id}` });
    } else {
      await writeDebRepository(
        `${folder}/${id}`,
        content.map(([name, version]) => ({ name, version, arch: set.arch })),
      );
      repositories.push({ id, uris: `${folder}/${id}`, suites: ["/"] });
    }
  }
  return { ...set, repositories, unsigned: ["*"] };
}

const answersFor = (
  system: (typeof systems)[number],
  more: { archs?: Arch[]; runtime?: "containerd" | "docker"; registry?: "serve" | "harbor" } = {},
) => {
  const hosts = sampleHosts(3, true);
  const balancers = ["lb1", "lb2"].map((name, i) => ({
    name,
    address: `10.0.9.${i + 1}`,
    roles: ["load-balancer" as const],
  }));
  return {
    name: "site",
    archs: more.archs ?? (["amd64"] as Arch[]),
    system,
    kubernetes: system.kubernetes,
    runtime: more.runtime ?? ("containerd" as const),
    network: "flannel" as const,
    registry: more.registry ?? ("serve" as const),
    registryHost: "register.site.local",
    china: false,
    hosts: [...hosts, ...balancers],
    endpoint: "10.0.0.200",
  };
};

const asked = (set: PackageSetSpec): string[] =>
  Array.isArray(set.install) ? set.install : Object.values(set.install).flat();

describe("what init writes resolves against what the systems' repositories were recorded to have", () => {
  it("every system has a record", () => {
    expect(Object.keys(RECORDED).toSorted()).toEqual(systems.map(({ name }) => name).toSorted());
  });

  it.each(systems.map(({ name }) => name))(
    "%s: both runtimes, both architectures, every role, Harbor too",
    async (name) => {
      const system = systems.find((each) => each.name === name);
      const recorded = RECORDED[name];
      if (system === undefined || recorded === undefined) throw new Error(name);
      for (const runtime of RUNTIMES)
        for (const registry of ["serve", "harbor"] as const) {
          const answers = answersFor(system, { archs: ["amd64", "arm64"], runtime, registry });
          const { packages } = parseBundleSpec(specText(answers, "x"), "site.yaml");
          expect(packages).toHaveLength(2);
          for (const set of packages) {
            const closures = await resolveClosures(
              await recordedSet(set, recorded, system.kubernetes),
              at.context,
            );
            const roles = Object.keys(set.install);
            expect(roles).toEqual(
              expect.arrayContaining(["all", "control-plane", "worker", "load-balancer"]),
            );
            const chosen = new Set(closures.flatMap((closure) => closure.packages.map((each) => each.name)));
            for (const text of asked(set))
              expect(
                [...chosen].some((each) => text.startsWith(each)),
                text,
              ).toBe(true);
            const kubelet = closures
              .flatMap((closure) => closure.packages)
              .filter((each) => each.name === "kubelet");
            for (const { version } of kubelet) expect(version).toContain(`${system.kubernetes.slice(1)}-`);
          }
        }
    },
  );

  it("a name that no repository has is an error that names it", async () => {
    const [system] = systems;
    const recorded = RECORDED[system?.name ?? ""];
    if (system === undefined || recorded === undefined) throw new Error("no system");
    const [set] = parseBundleSpec(specText(answersFor(system), "x"), "site.yaml").packages;
    const without = { ...recorded, base: recorded.base.filter((each) => each !== "socat") };
    await expect(
      resolveClosures(await recordedSet(set as PackageSetSpec, without, system.kubernetes), at.context),
    ).rejects.toThrow(/socat/);
  });
});

const repository = (() => {
  try {
    return debianRepository();
  } catch {
    return undefined;
  }
})();

it.skipIf(repository === undefined || !/bookworm/.test(repository.sources))(
  "Debian 12's record is what its real repository has, as this machine's apt knows it",
  () => {
    const names = RECORDED["debian-12"]?.base ?? [];
    const known = execFileSync("apt-cache", ["pkgnames"], {
      encoding: "utf8",
      maxBuffer: 1 << 26,
    }).split("\n");
    expect(names.filter((name) => !known.includes(name))).toEqual([]);
  },
);
