import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { AirgapError, messageOf } from "../errors.ts";
import { nearest } from "../schema/nearest.ts";

const ROLES = ["control-plane", "worker", "registry", "load-balancer", "etcd"] as const;

export interface InitHost {
  name: string;
  address: string;
  roles: string[];
}

/**
 * Reads hosts, one a line: `NAME ADDRESS ROLE[,ROLE…]`; `#` starts a comment.
 * @throws AirgapError `usage` with every line that is wrong, `disk`
 */
export function readHosts(path: string): InitHost[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new AirgapError("usage", `--hosts: cannot read ${path}: ${messageOf(cause)}`, {
      cause,
      suggestions: ["a line for each host: cp1 10.0.0.12 control-plane"],
    });
  }
  return parseHosts(text, path);
}

/** @param path for messages */
export function parseHosts(text: string, path: string): InitHost[] {
  const problems: string[] = [];
  const hosts = text.split(/\r?\n/).flatMap((raw, i): InitHost[] => {
    const line = raw.replace(/#.*/, "").trim();
    if (line === "") return [];
    const [name = "", address = "", roles = "", ...rest] = line.split(/\s+/);
    const host = { name, address, roles: roles.split(",").filter(Boolean) };
    for (const problem of wrong(host, rest)) problems.push(`${path}:${i + 1}: ${problem}`);
    return [host];
  });
  const twice = (key: "name" | "address"): string[] =>
    hosts.map((host) => host[key]).filter((value, i, all) => all.indexOf(value) !== i);
  for (const value of [...twice("name"), ...twice("address")])
    problems.push(`${path}: ${value} is there twice`);
  if (hosts.length === 0) problems.push(`${path}: there is no host in it`);
  if (problems.length === 0) return hosts;
  throw new AirgapError("usage", problems.join("\n"), {
    suggestions: [`a line for each host: cp1 10.0.0.12 control-plane; roles: ${ROLES.join(", ")}`],
  });
}

function wrong({ name, address, roles }: InitHost, rest: string[]): string[] {
  return [
    ...(/^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/.test(name)
      ? []
      : [`'${name}' is not a host name of lower-case letters, digits and '-'`]),
    ...(isIP(address) ? [] : [`'${address}' is not an IP address`]),
    ...(roles.length === 0 ? ["the role is missing"] : []),
    ...roles
      .filter((role) => !(ROLES as readonly string[]).includes(role))
      .map((role) => {
        const near = role === "master" ? "control-plane" : role === "node" ? "worker" : nearest(role, ROLES);
        return `'${role}' is not a role${near ? `; did you mean ${near}?` : ""}`;
      }),
    ...(rest.length > 0 ? [`'${rest.join(" ")}' is too much: write roles with a comma and no space`] : []),
  ];
}

/** Hosts of the examples, to be replaced. @param planes one or three */
export function sampleHosts(planes: number, registry: boolean): InitHost[] {
  const hosts = Array.from({ length: planes }, (_, i) => ({
    name: `cp${i + 1}`,
    address: `10.0.0.${12 + i}`,
    roles: ["control-plane"],
  }));
  return [
    ...hosts,
    { name: "node1", address: "10.0.0.15", roles: ["worker"] },
    { name: "node2", address: "10.0.0.16", roles: ["worker"] },
    ...(planes > 1
      ? [
          { name: "lb1", address: "10.0.0.18", roles: ["load-balancer"] },
          { name: "lb2", address: "10.0.0.19", roles: ["load-balancer"] },
        ]
      : []),
    ...(registry ? [{ name: "register", address: "10.0.0.20", roles: ["registry"] }] : []),
  ];
}
