import type { Opening } from "../../bundle/reader.ts";
import type { Emit } from "../../events.ts";
import { quote } from "../../host/host.ts";
import type { NameLayout } from "../../names/landing.ts";
import type { Signer } from "../../trust/key.ts";

/** What `airgap push` is told; paths and texts as they were typed. */
export interface PushOptions {
  /** `host[:port][/prefix]` */
  target: string;
  layout: NameLayout;
  /** `FROM=TO`, in their order. */
  map: string[];
  /** Make missing Harbor projects. */
  createProjects?: "public" | "private";
  /** Storage limit of the projects that are made: `200GiB`. */
  projectQuota?: string;
  /** Push charts too, as artifacts for `helm pull`. */
  withCharts?: boolean;
  /** Signs every image at the target, for admission controllers and `cosign verify --key`. */
  signer?: Signer | undefined;
  /** The path of the signer's key, for commands to type again. */
  signKey?: string | undefined;
  /** Make robot accounts in Harbor: one for nodes, one for the next push. */
  makeRobots?: boolean;
  /** Where their secrets go, instead of to stdout. */
  robotsFile?: string;
  dryRun: boolean;
  /** Look below manifests that are there. */
  repair: boolean;
  /** A quota that is too small is only a warning. */
  yes: boolean;
  /** Images, and requests, at a time at most. Default: 8 images, and as many requests as the registry bears. */
  concurrency?: number;
  /** Plain http, or https without a certificate check. */
  insecure?: boolean;
  /** PEM file of the authority that signed the registry's certificate. */
  caFile?: string;
  emit: Emit;
  signal?: AbortSignal;
  opening?: Opening | undefined;
}

/** The command with all its options, to be typed again. */
export function commandOf(bundle: string, options: PushOptions): string {
  const value = (flag: string, given: string | number | undefined): string[] =>
    given === undefined ? [] : [`${flag} ${quote(String(given))}`];
  const toggle = (flag: string, on: boolean | undefined): string[] => (on === true ? [flag] : []);
  return [
    "airgap push",
    quote(bundle),
    quote(options.target),
    ...(options.layout === "host" ? [] : [`--layout ${options.layout}`]),
    ...options.map.flatMap((rule) => value("--map", rule)),
    ...value("--create-projects", options.createProjects),
    ...value("--project-quota", options.projectQuota),
    ...toggle("--charts", options.withCharts),
    ...value("--sign-key", options.signKey),
    ...toggle("--make-robots", options.makeRobots),
    ...value("--robots-file", options.robotsFile),
    ...toggle("--dry-run", options.dryRun),
    ...toggle("--repair", options.repair),
    ...toggle("--yes", options.yes),
    ...value("--concurrency", options.concurrency),
    ...toggle("--insecure", options.insecure),
    ...value("--ca-file", options.caFile),
  ].join(" ");
}
