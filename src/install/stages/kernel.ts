import type { Cluster } from "../../cluster/cluster.ts";
import type { Facts } from "../../host/facts.ts";
import { call } from "../../plan/shell.ts";
import { fileStep, type Step } from "../../plan/step.ts";

/** IPVS itself, and the ways in which it chooses among the pods of a service that kube-proxy offers most. */
export const IPVS_MODULES = ["ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh"];

/** nf_conntrack includes nf_conntrack_ipv4 since 4.19, and in el8's 4.18. */
function modulesFor(cluster: Cluster, facts: Facts): string[] {
  const [major = 0, minor = 0] = facts.kernel.split(".").map((part) => Number.parseInt(part, 10));
  const old = major < 4 || (major === 4 && minor < 19);
  const ipvs = cluster.kubernetes.proxyMode === "ipvs" ? IPVS_MODULES : [];
  const nft = cluster.kubernetes.proxyMode === "nftables" ? ["nf_tables"] : [];
  return [
    "overlay",
    "br_netfilter",
    old && facts.modules.includes("nf_conntrack_ipv4") ? "nf_conntrack_ipv4" : "nf_conntrack",
    ...ipvs,
    ...nft,
  ];
}

export function moduleSteps(cluster: Cluster, facts: Facts): Step[] {
  const modules = modulesFor(cluster, facts);
  return [
    fileStep({
      id: "modules-file",
      title: `Kernel modules are loaded at boot: ${modules.join(", ")}`,
      path: "/etc/modules-load.d/airgap.conf",
      content: `${modules.join("\n")}\n`,
    }),
    {
      id: "modules",
      title: "Kernel modules are loaded",
      check: call("modules_are_loaded", ...modules),
      apply: call("load_modules", ...modules),
    },
  ];
}

const REQUIRED: Record<string, number> = {
  "net.ipv4.ip_forward": 1,
  "net.bridge.bridge-nf-call-iptables": 1,
  "net.bridge.bridge-nf-call-ip6tables": 1,
};

/** Set if the kernel has it, but not required. Only el7 has `fs.may_detach_mounts`. */
function wished({ kernel }: Facts): Record<string, number> {
  return { "vm.swappiness": 0, ...(kernel.startsWith("3.10.") ? { "fs.may_detach_mounts": 1 } : {}) };
}

const assignments = (settings: Record<string, number>): string[] =>
  Object.entries(settings).map(([name, value]) => `${name}=${value}`);

export function sysctlSteps(facts: Facts): Step[] {
  const required = assignments(REQUIRED);
  const optional = assignments(wished(facts));
  return [
    fileStep({
      id: "sysctl-file",
      title: "Kernel settings are set at boot",
      path: "/etc/sysctl.d/99-airgap.conf",
      content: [...required, ...optional].map((each) => `${each.replace("=", " = ")}\n`).join(""),
    }),
    {
      id: "sysctl",
      title: "Kernel settings are set: forwarding, bridged packets through iptables",
      check: call("sysctls_are_set", required, optional),
      apply: call("set_sysctls", required, optional),
      undo: call("restore_sysctls"),
    },
  ];
}
