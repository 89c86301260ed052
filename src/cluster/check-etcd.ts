import type { Cluster } from "./cluster.ts";

/** https://etcd.io/docs/v3.6/faq/: an even number tolerates no more failures than one less. */
function etcdHosts({ hosts, etcd }: Cluster): string[] {
  const members = hosts.filter(({ roles }) => roles.includes("etcd"));
  const names = members.map(({ name }) => name).join(", ");
  if (etcd.mode !== "external")
    return members.length === 0
      ? []
      : [`hosts: ${names} have the role etcd, but \`etcd:\` does not say external`];
  if (members.length === 0) return ["etcd: external needs hosts with the role etcd; three are usual"];
  return members.length % 2 === 0
    ? [
        `hosts: ${members.length} have the role etcd (${names}): an odd number is needed, because an even one survives no more failures`,
      ]
    : [];
}

function givenEtcd({ etcd }: Cluster): string[] {
  if (etcd.mode !== "given") return [];
  const missing = [
    ...(etcd.endpoints.length === 0 ? ["endpoints"] : []),
    ...(["caFile", "certFile", "keyFile"] as const).filter((key) => etcd[key] === ""),
  ];
  return missing.length === 0 ? [] : [`etcd: an etcd that exists already needs ${missing.join(", ")} too`];
}

/** Rules of an etcd that is not on the control planes. A problem is `PATH: what is wrong`. */
export const ETCD_RULES: ((cluster: Cluster) => string[])[] = [etcdHosts, givenEtcd];
