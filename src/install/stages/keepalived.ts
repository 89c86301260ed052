import type { Cluster, ClusterHost } from "../../cluster/cluster.ts";
import { movingAddresses, type SharedAddress } from "../balancers.ts";

/** SELinux lets keepalived run programs of this folder without limits. */
export const HAPROXY_CHECK = "/usr/libexec/keepalived/airgap-haproxy";

/**
 * The first of an address has 250, each further one 10 less: who waits takes over after three missing messages and
 * (256 - priority) / 256 s, so high ones are quick. RFC 5798, 6.1
 */
const priority = ({ order }: SharedAddress, { name }: ClusterHost): number =>
  250 - 10 * order.findIndex((host) => host.name === name);

/** The address alone, without its network: so nothing that the host itself sends begins there. */
const alone = (address: string): string => `${address}/${address.includes(":") ? 128 : 32}`;

function instance(shared: SharedAddress, host: ClusterHost, device: string): string {
  const peers = shared.order.filter(({ name }) => name !== host.name).map(({ address }) => address);
  return `vrrp_instance ${shared.name} {
    state BACKUP
    interface ${device}
    virtual_router_id ${shared.routerId}
    priority ${priority(shared, host)}
    advert_int 1
    preempt_delay 10
    unicast_src_ip ${host.address}
${peers.length === 0 ? "" : `    unicast_peer {\n${peers.map((peer) => `        ${peer}\n`).join("")}    }\n`}    virtual_ipaddress {
        ${alone(shared.address)} dev ${device}
    }
    track_script {
        haproxy
    }
}
`;
}

/**
 * keepalived's configuration: who is alive and has a working haproxy holds the addresses. Those who share them name each other
 * (unicast), since many switches and clouds drop the group's messages. A host that comes back waits until its haproxy knows
 * its servers. A check without a weight gives the address up at once. https://keepalived.readthedocs.io
 */
export function keepalivedConfig(cluster: Cluster, host: ClusterHost, device: string): string {
  const instances = movingAddresses(cluster).map((shared) => instance(shared, host, device));
  return `# Written by airgap from the cluster file; it replaces changes made here.
global_defs {
    router_id ${host.name}
    enable_script_security
    script_user root
    vrrp_garp_master_refresh 60
}

vrrp_script haproxy {
    script "${HAPROXY_CHECK}"
    interval 1
    timeout 2
    fall 2
    rise 2
}

${instances.join("\n")}`;
}
