import { AirgapError } from "../../errors.ts";
import type { Context } from "../context.ts";
import { CLUSTER_CHECKS } from "./between.ts";
import { BUNDLE_CHECKS } from "./bundle.ts";
import { CHECKS, type CheckName, type Finding } from "./finding.ts";
import { HOST_CHECKS } from "./hosts.ts";
import { MEMBER_CHECKS } from "./members.ts";

/** Every finding, from facts and the bundle. Connects to nothing and changes nothing. */
export function preflight(context: Context): Finding[] {
  return [...preflightHosts(context), ...BUNDLE_CHECKS.flatMap((check) => check(context))];
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
  return [...hosts, ...[...CLUSTER_CHECKS, ...MEMBER_CHECKS].flatMap((check) => check(context))];
}

/** One line: `node1: kernel: …`. */
export const formatFinding = ({ host, check, message }: Finding): string =>
  `${host ? `${host}: ` : ""}${check}: ${message}`;

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

/** @throws AirgapError `check-failed` with every error that is not ignored */
export function refuse(findings: Finding[], ignored: readonly string[]): void {
  const errors = findings.filter(({ severity, check }) => severity === "error" && !ignored.includes(check));
  if (errors.length === 0) return;
  const suggestions = [...new Set(errors.flatMap(({ suggestion }) => suggestion ?? []))];
  throw new AirgapError(
    "check-failed",
    `Nothing was changed: ${errors.length === 1 ? "a check" : `${errors.length} checks`} failed.\n${errors.map((each) => `  ${formatFinding(each)}`).join("\n")}`,
    {
      suggestions: [
        ...suggestions,
        `to go on all the same: ${[...new Set(errors.map(({ check }) => `--ignore-check ${check}`))].join(" ")}`,
      ],
      data: { findings },
    },
  );
}
