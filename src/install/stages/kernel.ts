import type { Cluster } from "../../cluster/cluster.ts";
import type { Facts } from "../../host/facts.ts";
import { sh } from "../../plan/shell.ts";
import { fileStep, type Step } from "../../plan/step.ts";

/** nf_conntrack took in nf_conntrack_ipv4 with 4.19, and with el8's 4.18. */
function modulesFor(cluster: Cluster, facts: Facts): string[] {
  const [major = 0, minor = 0] = facts.kernel.split(".").map((part) => Number.parseInt(part, 10));
  const old = major < 4 || (major === 4 && minor < 19);
  const ipvs = cluster.kubernetes.proxyMode === "ipvs" ? ["ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh"] : [];
  const nft = cluster.kubernetes.proxyMode === "nftables" ? ["nf_tables"] : [];
  return [
    "overlay",
    "br_netfilter",
    old && facts.modules.includes("nf_conntrack_ipv4") ? "nf_conntrack_ipv4" : "nf_conntrack",
    ...ipvs,
    ...nft,
  ];
}

/** What shows that code is there, or is not, also where it was built into the kernel or loaded outside of our sight. */
const TRACES: Record<string, string> = {
  overlay: "grep -qw overlay /proc/filesystems",
  br_netfilter: "[ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]",
  nf_conntrack: "[ -e /proc/sys/net/netfilter/nf_conntrack_max ]",
  nf_conntrack_ipv4: "[ -e /proc/sys/net/netfilter/nf_conntrack_max ]",
  ip_vs: "[ -e /proc/net/ip_vs ]",
};

/** Without a trace, what is built in stands in a list; a kernel without modules has no such list, and what it has shows when it is used. */
const UNTRACED = sh`
  within() { [ -d /sys/module/"$1" ] || [ ! -d "/lib/modules/$(uname -r)" ] || grep -qs "/$1\\.ko" "/lib/modules/$(uname -r)/modules.builtin"; }`;

export function moduleSteps(cluster: Cluster, facts: Facts): Step[] {
  const modules = modulesFor(cluster, facts);
  const checks = modules.map((name) => {
    const trace = TRACES[name];
    return `${trace ? `[ -d /sys/module/${name} ] || ${trace}` : `within ${name}`} || fail 'the kernel module ${name} is not loaded'`;
  });
  const untraced = modules.every((name) => TRACES[name]) ? [] : [UNTRACED];
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
      check: [...untraced, ...checks].join("\n"),
      apply: sh`
        for module in ${modules}; do modprobe "$module" || :; done`,
    },
  ];
}

const REQUIRED: Record<string, number> = {
  "net.ipv4.ip_forward": 1,
  "net.bridge.bridge-nf-call-iptables": 1,
  "net.bridge.bridge-nf-call-ip6tables": 1,
};

/** Set where the kernel takes it; not insisted upon. `fs.may_detach_mounts` is el7's alone. */
function wished({ kernel }: Facts): Record<string, number> {
  return { "vm.swappiness": 0, ...(kernel.startsWith("3.10.") ? { "fs.may_detach_mounts": 1 } : {}) };
}

const procFile = (name: string): string => `/proc/sys/${name.replaceAll(".", "/")}`;

/** A value in /etc/sysctl.conf comes last when all are read, so it is taken out there. */
export function sysctlSteps(facts: Facts): Step[] {
  const all = { ...REQUIRED, ...wished(facts) };
  const pattern = `^[[:space:]]*(${Object.keys(all)
    .map((name) => name.replaceAll(".", "[.\\/]"))
    .join("|")})[[:space:]]*=`;
  const checks = Object.entries(REQUIRED).map(
    ([name, value]) => `[ "$(cat ${procFile(name)})" = ${value} ] || fail '${name} is not ${value}'`,
  );
  const writes = Object.entries(all).map(([name, value]) => {
    const file = procFile(name);
    return `set_to ${file} ${value}`;
  });
  return [
    fileStep({
      id: "sysctl-file",
      title: "Kernel settings are made at boot",
      path: "/etc/sysctl.d/99-airgap.conf",
      content: Object.entries(all)
        .map(([name, value]) => `${name} = ${value}\n`)
        .join(""),
    }),
    {
      id: "sysctl",
      title: "Kernel settings are made: forwarding, bridged packets through iptables",
      check: [
        ...checks,
        sh`! grep -qsE ${pattern} /etc/sysctl.conf || fail "/etc/sysctl.conf has the last word on some of them"`,
      ].join("\n"),
      apply: [
        sh`
          # What was there before is put down, once, for the way back.
          set_to() {
            [ -e "$1" ] && [ "$(cat "$1")" != "$2" ] || return 0
            grep -qsF "$1 " "$airgap_home/sysctl" || printf '%s %s\n' "$1" "$(cat "$1")" >>"$airgap_home/sysctl"
            printf '%s\n' "$2" >"$1" || :
          }
          if grep -qsE ${pattern} /etc/sysctl.conf; then
            keep /etc/sysctl.conf
            sed -i -E ${`/${pattern}/s/^/# airgap: /`} /etc/sysctl.conf
          fi`,
        ...writes,
      ].join("\n"),
      undo: sh`
        [ ! -e "$airgap_home/before/etc/sysctl.conf" ] || give_back /etc/sysctl.conf
        [ -e "$airgap_home/sysctl" ] || exit 0
        while read -r file value; do printf '%s\n' "$value" >"$file" || :; done <"$airgap_home/sysctl"
        rm -f "$airgap_home/sysctl"`,
    },
  ];
}
