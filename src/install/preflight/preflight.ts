import { AirgapError } from "../../errors.ts";
import { someOf } from "../../format.ts";
import type { Context } from "../context.ts";
import { BALANCER_CHECKS } from "./balancers.ts";
import { CLUSTER_CHECKS } from "./between.ts";
import { BUNDLE_CHECKS } from "./bundle.ts";
import { ETCD_CHECKS, etcdRelease } from "./etcd.ts";
import { CHECKS, type CheckName, type Finding, NEVER_ADVISED } from "./finding.ts";
import { HARBOR_CHECKS } from "./harbor.ts";
import { HOST_CHECKS } from "./hosts.ts";
import { MEMBER_CHECKS } from "./members.ts";

/** Every finding, from facts and the bundle. Connects to nothing and changes nothing. */
export function preflight(context: Context): Finding[] {
  return [
    ...preflightHosts(context),
    ...[...BUNDLE_CHECKS, etcdRelease, ...HARBOR_CHECKS].flatMap((check) => check(context)),
  ];
}

/** Findings about the hosts alone. */
export function preflightHosts(context: Context): Finding[] {
  const hosts = context.reached.flatMap((host) =>
    HOST_CHECKS.flatMap((check) =>
      check(host, context.factsOf(host), context).map(
        (finding): Finding => ({ ...finding, host: host.name }),
      ),
    ),
  );
  return [
    ...hosts,
    ...[...CLUSTER_CHECKS, ...BALANCER_CHECKS, ...MEMBER_CHECKS, ...ETCD_CHECKS].flatMap((check) =>
      check(context),
    ),
  ];
}

/** Findings that say the same of different hosts, the first of each with all its hosts. In order. */
export function byCause(findings: readonly Finding[]): { finding: Finding; hosts: string[] }[] {
  const causes = new Map<string, { finding: Finding; hosts: string[] }>();
  for (const finding of findings) {
    const shared = { ...finding, message: withoutAddress(finding) };
    const key = JSON.stringify({
      ...shared,
      host: undefined,
      ...(finding.check === "unreachable" ? { suggestion: "" } : {}),
    });
    const cause = causes.get(key) ?? { finding, hosts: [] };
    if (finding.host !== undefined) cause.hosts.push(finding.host);
    if (cause.hosts.length > 1) cause.finding = shared;
    causes.set(key, cause);
  }
  return [...causes.values()];
}

const ADDRESS = /\b\d{1,3}(?:\.\d{1,3}){3}\b|\b[\da-f]{1,4}(?::[\da-f]{0,4}){1,6}:[\da-f]{1,4}\b/gi;

/** ssh names the address of a host that it cannot reach; the cause is the same at each. */
const withoutAddress = ({ check, message }: Finding): string =>
  check === "unreachable" ? message.replace(ADDRESS, "…") : message;

/** One line: `node1: kernel: …`. */
export const formatFinding = ({ host, check, message }: Finding): string =>
  `${host ? `${host}: ` : ""}${check}: ${message}`;

/** One line for all its hosts: `node1, node2: kernel: …`. */
export const formatCause = ({ finding, hosts }: { finding: Finding; hosts: string[] }): string =>
  formatFinding(hosts.length > 0 ? { ...finding, host: someOf(hosts) } : finding);

/** @throws AirgapError `usage` for an unknown name */
export function parseIgnored(names: string[]): CheckName[] {
  return names.map((name) => {
    if (Object.hasOwn(CHECKS, name)) return name as CheckName;
    throw new AirgapError(
      "usage",
      `There is no check '${name}'. The checks: ${Object.keys(CHECKS).join(", ")}`,
    );
  });
}

/** Never one line that ignores all: each finding is somebody's decision. */
function accepting(checks: readonly CheckName[]): string[] {
  if (checks.length === 0) return [];
  return [
    checks.length === 1
      ? `if it does no harm here: --ignore-check ${checks[0]}`
      : `if one of them does no harm here, accept it by its name: --ignore-check NAME (${checks.join(", ")})`,
  ];
}

/** @throws AirgapError `check-failed` with every error that is not ignored */
export function refuse(findings: Finding[], ignored: readonly string[]): void {
  const errors = findings.filter(({ severity, check }) => severity === "error" && !ignored.includes(check));
  if (errors.length === 0) return;
  const suggestions = [...new Set(errors.flatMap(({ suggestion }) => suggestion ?? []))];
  const acceptable = [...new Set(errors.map(({ check }) => check))].filter(
    (check) => !NEVER_ADVISED.has(check),
  );
  throw new AirgapError(
    "check-failed",
    `Nothing was changed: ${errors.length === 1 ? "a check" : `${errors.length} checks`} failed.\n${byCause(
      errors,
    )
      .map((each) => `  ${formatCause(each)}`)
      .join("\n")}`,
    {
      suggestions: [...suggestions, ...accepting(acceptable)],
      data: { findings },
    },
  );
}
