import { AirgapError } from "../errors.ts";
import { knownSystem } from "../install/systems/known.ts";
import { rulesOf } from "../kubernetes/rules.ts";
import { knownVersions } from "../kubernetes/table.ts";
import { nearest } from "../schema/nearest.ts";
import type { InitHost } from "./hosts-file.ts";
import type { Network } from "./networks.ts";
import { type Arch, INIT_SYSTEMS, type InitSystem, SYSTEM_ALIASES } from "./systems.ts";

export const RUNTIMES = ["containerd", "docker"] as const;
export const REGISTRIES = ["serve", "harbor", "external"] as const;

/** What `init` asks, and the scenarios answer. */
export interface Answers {
  /** Name of the bundle and the cluster. */
  name: string;
  system: InitSystem;
  archs: Arch[];
  /** `v1.34.4` */
  kubernetes: string;
  runtime: (typeof RUNTIMES)[number];
  network: Network;
  registry: (typeof REGISTRIES)[number];
  /** The site's registry, as images and hosts call it. */
  registryHost: string;
  /** Use mirrors in China. */
  china: boolean;
  hosts: InitHost[];
  /** The shared address of several control planes. */
  endpoint?: string;
  /** Further parts of a scenario, as lines of YAML. */
  more?: ScenarioParts;
}

/** Parts of ready-made files that `init` does not ask about. */
export interface ScenarioParts {
  /** First lines of both files, without `#`. */
  title: string[];
  images?: string[];
  /** Below `manifests:`, indented. */
  manifests?: string[];
  /** Below the first level of the cluster file. */
  cluster?: string[];
  proxyMode?: string;
}

/** @throws AirgapError `usage` with the nearest name */
export function systemNamed(name: string): InitSystem {
  const lower = name.toLowerCase();
  const wanted = SYSTEM_ALIASES[lower] ?? lower;
  const found = INIT_SYSTEMS.find((system) => system.name === wanted);
  if (found) return found;
  const names = INIT_SYSTEMS.map((system) => system.name);
  const near = nearest(wanted, [...names, ...Object.keys(SYSTEM_ALIASES)]);
  throw new AirgapError("usage", `--os: airgap init does not know '${name}'. It knows ${names.join(", ")}`, {
    suggestions: [near ? `--os ${SYSTEM_ALIASES[near] ?? near}` : "for another system see docs/systems.md"],
  });
}

/** `1.34` and `v1.34` → the newest known patch; `1.34.4` → `v1.34.4`. @throws AirgapError `usage` */
export function versionNamed(text: string): string {
  const version = text.replace(/^v?/, "v");
  if (/^v1\.\d+\.\d+$/.test(version)) return version;
  const newest = knownVersions().find((known) => known.startsWith(`${version}.`));
  if (newest) return newest;
  throw new AirgapError("usage", `--kubernetes: '${text}' is not a release like v1.34.4`, {
    suggestions: [`the newest of each minor: ${knownVersions().slice(0, 8).join(", ")}`],
  });
}

/** Answers that contradict each other, or that cannot work. @throws AirgapError `usage` with all of them */
export function checkAnswers(answers: Answers): void {
  const problems = [...kubernetesProblems(answers), ...hostProblems(answers), ...dockerProblems(answers)];
  if (problems.length === 0) return;
  throw new AirgapError("usage", problems.map(({ message }) => message).join("\n"), {
    suggestions: problems.flatMap(({ suggestion }) => suggestion ?? []),
  });
}

interface Problem {
  message: string;
  suggestion?: string;
}

function kubernetesProblems({ system, kubernetes }: Answers): Problem[] {
  const rules = rulesOf(kubernetes);
  const known = knownSystem(system.for[0] ?? "");
  const number = (version: string): number => {
    const [major = 0, minor = 0] = version.split(".").map(Number);
    return major * 1000 + minor;
  };
  return [
    ...(known && number(known.kernel) < number(rules.kernel.oldest)
      ? [
          {
            message: `${system.title} has the kernel ${known.kernel}, and Kubernetes ${kubernetes} refuses kernels older than ${rules.kernel.oldest}`,
            suggestion: `--kubernetes ${system.kubernetes}`,
          },
        ]
      : []),
    ...(system.format === "deb" && rules.minor < 24
      ? [
          {
            message: `There are no DEB packages of Kubernetes ${kubernetes} any more; the oldest are of 1.24`,
            suggestion: "--kubernetes v1.24.17, or an RPM system",
          },
        ]
      : []),
  ];
}

function hostProblems({ hosts, endpoint, registry }: Answers): Problem[] {
  const planes = hosts.filter(({ roles }) => roles.includes("control-plane"));
  const registries = hosts.filter(({ roles }) => roles.includes("registry"));
  return [
    ...(planes.length === 0
      ? [{ message: "No host has the role control-plane", suggestion: "cp1 10.0.0.12 control-plane" }]
      : []),
    ...(planes.length > 1 && planes.length % 2 === 0
      ? [
          {
            message: `${planes.length} control planes are no safer than ${planes.length - 1}: etcd needs a majority`,
          },
        ]
      : []),
    ...(planes.length > 1 && endpoint === undefined
      ? [{ message: "Several control planes need a shared address", suggestion: "--endpoint ADDRESS" }]
      : []),
    ...(registry !== "external" && registries.length !== 1
      ? [
          {
            message: `${registries.length === 0 ? "No host has" : "Only one host can have"} the role registry`,
            suggestion: "register 10.0.0.20 registry",
          },
        ]
      : []),
  ];
}

function dockerProblems({ runtime, kubernetes, archs }: Answers): Problem[] {
  return runtime === "docker" && !rulesOf(kubernetes).dockershim && archs.length > 1
    ? [
        {
          message: "Docker needs cri-dockerd, which is one file for one architecture",
          suggestion: "--runtime containerd, or one --arch",
        },
      ]
    : [];
}
