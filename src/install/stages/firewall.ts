import type { ClusterHost } from "../cluster.ts";
import type { Context } from "../context.ts";
import { sh } from "../sh.ts";
import type { Step } from "../step.ts";

/** Ports that a host's roles need open, as firewalld writes them. */
export function openPorts({ cluster }: Context, host: ClusterHost): string[] {
  const has = (role: ClusterHost["roles"][number]): boolean => host.roles.includes(role);
  const node = has("control-plane") || has("worker");
  const calico = cluster.network?.name.includes("calico") === true;
  const overlay = cluster.network === undefined ? [] : calico ? ["4789/udp", "179/tcp", "5473/tcp"] : ["8472/udp"];
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

/** Set both ways: a reload would take away what kube-proxy has put in. Pods and services come from trusted ranges. */
function firewalldStep({ cluster }: Context, host: ClusterHost, ports: string[]): Step {
  const sources = isNode(host) ? [cluster.kubernetes.podSubnet, cluster.kubernetes.serviceSubnet] : [];
  return {
    id: "firewall",
    title: `The firewall lets through ${ports.join(", ") || "what is needed"}`,
    check: sh`
      for way in '' --permanent; do
        for port in ${ports}; do firewall-cmd -q \${way:+"$way"} --query-port="$port" || fail "$port is not open $way"; done
        for source in ${sources}; do firewall-cmd -q \${way:+"$way"} --zone=trusted --query-source="$source" || fail "$source is not trusted $way"; done
      done`,
    apply: sh`
      touch "$airgap_home/firewall"
      # What was closed before is closed again when this is taken back.
      opened() { grep -qxF -e "$1" "$airgap_home/firewall" || echo "$1" >>"$airgap_home/firewall"; }
      for way in '' --permanent; do
        for port in ${ports}; do
          if ! firewall-cmd -q \${way:+"$way"} --query-port="$port"; then
            opened "port $port"
            firewall-cmd -q \${way:+"$way"} --add-port="$port"
          fi
        done
        for source in ${sources}; do
          if ! firewall-cmd -q \${way:+"$way"} --zone=trusted --query-source="$source"; then
            opened "source $source"
            firewall-cmd -q \${way:+"$way"} --zone=trusted --add-source="$source"
          fi
        done
      done`,
    undo: sh`
      [ -e "$airgap_home/firewall" ] || exit 0
      while read -r kind value; do
        for way in '' --permanent; do
          case $kind in
          port) firewall-cmd -q \${way:+"$way"} --remove-port="$value" 2>/dev/null || : ;;
          source) firewall-cmd -q \${way:+"$way"} --zone=trusted --remove-source="$value" 2>/dev/null || : ;;
          esac
        done
      done <"$airgap_home/firewall"
      rm -f "$airgap_home/firewall"`,
  };
}

function ufwStep({ cluster }: Context, host: ClusterHost, ports: string[]): Step {
  const rules = ports.map((port) => port.replace("-", ":"));
  const sources = isNode(host) ? [cluster.kubernetes.podSubnet, cluster.kubernetes.serviceSubnet] : [];
  return {
    id: "firewall",
    title: `The firewall lets through ${ports.join(", ") || "what is needed"}`,
    check: sh`
      added=$(ufw show added)
      for rule in ${rules}; do printf '%s\n' "$added" | grep -qxF "ufw allow $rule" || fail "$rule is not open"; done
      for source in ${sources}; do printf '%s\n' "$added" | grep -qF "from $source" || fail "$source is not let in"; done`,
    apply: sh`
      for rule in ${rules}; do ufw allow "$rule"; done
      for source in ${sources}; do
        ufw allow from "$source"
        ufw route allow from "$source"
        ufw route allow to "$source"
      done`,
    undo: sh`
      for rule in ${rules}; do ufw delete allow "$rule" || :; done
      for source in ${sources}; do
        ufw delete allow from "$source" || :
        ufw route delete allow from "$source" || :
        ufw route delete allow to "$source" || :
      done`,
  };
}
