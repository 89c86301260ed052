import type { ClusterHost } from "../../cluster/cluster.ts";
import { interfaceOf } from "../../host/facts.ts";
import { raw, sh } from "../../plan/shell.ts";
import type { Step } from "../../plan/step.ts";
import type { Context } from "../context.ts";

/** Ports that a host's roles need open, as firewalld writes them. */
export function openPorts({ cluster }: Context, host: ClusterHost): string[] {
  const has = (role: ClusterHost["roles"][number]): boolean => host.roles.includes(role);
  const node = has("control-plane") || has("worker");
  const calico = cluster.network?.name.includes("calico") === true;
  const overlay =
    cluster.network === undefined ? [] : calico ? ["4789/udp", "179/tcp", "5473/tcp"] : ["8472/udp"];
  const repository = cluster.repository.host === host.name;
  return [
    ...(has("control-plane") ? ["6443/tcp", "2379-2380/tcp", "10257/tcp", "10259/tcp"] : []),
    ...(has("etcd") && !has("control-plane") ? ["2379-2380/tcp"] : []),
    ...(node ? ["10250/tcp", "30000-32767/tcp", "30000-32767/udp", ...overlay] : []),
    ...(has("load-balancer") ? [`${cluster.endpoint?.port ?? 6443}/tcp`] : []),
    ...(repository ? [`${cluster.repository.port}/tcp`] : []),
    ...(host === timeServer(cluster.hosts, cluster.time.servers) ? ["123/udp"] : []),
  ];
}

/** Who tells the others the time, when no server is named. */
export function timeServer(hosts: ClusterHost[], servers: string[]): ClusterHost | undefined {
  return servers.length > 0 ? undefined : hosts.find(({ roles }) => roles.includes("control-plane"));
}

/** Opens what is needed where a firewall is on; it is never switched off. */
export function firewallStep(context: Context, host: ClusterHost): Step[] {
  const facts = context.factsOf(host);
  const ports = openPorts(context, host);
  if (facts.firewall === "firewalld") return [firewalldStep(context, host, ports)];
  return facts.firewall === "ufw" ? [ufwStep(context, host, ports)] : [];
}

function isNode({ roles }: ClusterHost): boolean {
  return roles.includes("control-plane") || roles.includes("worker");
}

/**
 * Set both ways: a reload would take away what kube-proxy has put in. Pods and services come from
 * trusted ranges. Each call of firewall-cmd takes half a second, so all ports are asked for at once.
 */
function firewalldStep({ cluster, factsOf }: Context, host: ClusterHost, ports: string[]): Step {
  const sources = isNode(host) ? [cluster.kubernetes.podSubnet, cluster.kubernetes.serviceSubnet] : [];
  const device = interfaceOf(factsOf(host), host.address) ?? "";
  const common = sh`
    zone=$(firewall-cmd --get-zone-of-interface=${device} 2>/dev/null) || zone=$(firewall-cmd --get-default-zone)
    list() { firewall-cmd \${way:+"$way"} --zone="$1" "$2" | tr ' ' '\n'; }
    # Only a range can hold a port that is not listed by itself.
    is_open() {
      if printf '%s\n' "$open" | grep -qxF -e "$1"; then return 0; fi
      case $open in
      *-*) firewall-cmd -q \${way:+"$way"} --zone="$zone" --query-port="$1" ;;
      *) return 1 ;;
      esac
    }
    is_trusted() { printf '%s\n' "$trusted" | grep -qxF -e "$1"; }
    look() {
      open=$(list "$zone" --list-ports)
      trusted=$(list trusted --list-sources)
    }`;
  return {
    id: "firewall",
    title: `The firewall lets through ${ports.join(", ") || "what is needed"}`,
    check: sh`
      ${raw(common)}
      for way in '' --permanent; do
        look
        for port in ${ports}; do is_open "$port" || fail "$port is not open $way"; done
        for source in ${sources}; do is_trusted "$source" || fail "$source is not trusted $way"; done
      done`,
    apply: sh`
      ${raw(common)}
      touch "$airgap_home/firewall"
      # What was closed before is closed again when this is taken back.
      opened() { grep -qxF -e "$*" "$airgap_home/firewall" || echo "$*" >>"$airgap_home/firewall"; }
      for way in '' --permanent; do
        look
        set --
        for port in ${ports}; do
          if ! is_open "$port"; then
            opened "$zone" "--remove-port=$port"
            set -- "$@" --add-port="$port"
          fi
        done
        [ $# -eq 0 ] || firewall-cmd -q \${way:+"$way"} --zone="$zone" "$@"
        set --
        for source in ${sources}; do
          if ! is_trusted "$source"; then
            opened trusted "--remove-source=$source"
            set -- "$@" --add-source="$source"
          fi
        done
        [ $# -eq 0 ] || firewall-cmd -q \${way:+"$way"} --zone=trusted "$@"
      done`,
    undo: sh`
      [ -e "$airgap_home/firewall" ] || exit 0
      for zone in $(cut -d ' ' -f 1 "$airgap_home/firewall" | sort -u); do
        set -- $(sed -n "s/^$zone //p" "$airgap_home/firewall")
        for way in '' --permanent; do firewall-cmd -q \${way:+"$way"} --zone="$zone" "$@" 2>/dev/null || :; done
      done
      rm -f "$airgap_home/firewall"`,
  };
}

function ufwStep({ cluster }: Context, host: ClusterHost, ports: string[]): Step {
  const sources = isNode(host) ? [cluster.kubernetes.podSubnet, cluster.kubernetes.serviceSubnet] : [];
  const rules = [
    ...ports.map((port) => `allow ${port.replace("-", ":")}`),
    ...sources.flatMap((source) => [
      `allow from ${source}`,
      `route allow from ${source}`,
      `route allow to ${source}`,
    ]),
  ];
  return {
    id: "firewall",
    title: `The firewall lets through ${ports.join(", ") || "what is needed"}`,
    check: sh`
      added=$(ufw show added)
      for rule in ${rules}; do printf '%s\n' "$added" | grep -qxF "ufw $rule" || fail "there is no rule to $rule"; done`,
    apply: sh`
      touch "$airgap_home/firewall"
      added=$(ufw show added)
      for rule in ${rules}; do
        if printf '%s\n' "$added" | grep -qxF "ufw $rule"; then continue; fi
        grep -qxF "$rule" "$airgap_home/firewall" || echo "$rule" >>"$airgap_home/firewall"
        # shellcheck disable=SC2086  # a rule is several words
        ufw $rule
      done`,
    undo: sh`
      [ -e "$airgap_home/firewall" ] || exit 0
      while read -r rule; do
        case $rule in
        route\ *) rule="route delete \${rule#route }" ;;
        *) rule="delete $rule" ;;
        esac
        # shellcheck disable=SC2086  # a rule is several words
        ufw $rule </dev/null || :
      done <"$airgap_home/firewall"
      rm -f "$airgap_home/firewall"`,
  };
}
