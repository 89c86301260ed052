import { apiAddress, type ClusterHost, hostsOf } from "../../cluster/cluster.ts";
import { fillShipped } from "../../host/shipped.ts";
import { call } from "../../plan/shell.ts";
import type { Wave, Work } from "../../plan/stage.ts";
import { fileStep, type Step, shortHash } from "../../plan/step.ts";
import { balancerInterface, balancersOf, movingAddresses, sharedAddresses } from "../balancers.ts";
import { type Context, wave } from "../context.ts";
import { bindsOwn, haproxyConfig } from "./haproxy.ts";
import { HAPROXY_CHECK, keepalivedConfig } from "./keepalived.ts";
import { stopIfOurs } from "./wanted.ts";

const HAPROXY = "/etc/haproxy/haproxy.cfg";
const KEEPALIVED = "/etc/keepalived/keepalived.conf";

/** The address of the API leads to a load balancer before a control plane is made that is asked there. */
export function loadBalancerStage(context: Context): Wave[] {
  const { cluster } = context;
  const balancers = balancersOf(cluster).filter(({ name }) => context.facts[name]);
  if (balancers.length === 0) return [];
  // Whoever is among their servers: their load balancers have to know them.
  const served = hostsOf(cluster, "control-plane", ...(cluster.endpoint?.ingress ? ["worker" as const] : []));
  const names = served.map(({ name }) => name);
  return [
    balancers.map(
      (host): Work => ({
        host: host.name,
        steps: [...haproxySteps(context, host), ...keepalivedSteps(context, host)],
        for: names,
      }),
    ),
    wave(context.hosts("control-plane"), () => [answerStep(context)]),
  ];
}

function haproxySteps(context: Context, host: ClusterHost): Step[] {
  const config = haproxyConfig(context.cluster);
  return [
    ...nonlocalSteps(context),
    ...booleanStep(context, host),
    restartsStep("haproxy"),
    fileStep({
      id: "haproxy-config",
      title: "haproxy leads to the control planes that are ready",
      path: HAPROXY,
      content: config,
      undone: call("systemctl", "try-restart", "haproxy"),
    }),
    balancerService("haproxy", HAPROXY, config),
  ];
}

/** Where both addresses have one port, haproxy listens at each of them, also while another host holds it. */
function nonlocalSteps({ cluster }: Context): Step[] {
  const shared = sharedAddresses(cluster);
  if (!bindsOwn(shared)) return [];
  const family = shared.some(({ address }) => address.includes(":")) ? "ipv6" : "ipv4";
  const setting = `net.${family}.ip_nonlocal_bind`;
  return [
    fileStep({
      id: "nonlocal-file",
      title: "At boot, programs may listen at addresses that another host holds",
      path: "/etc/sysctl.d/98-airgap-balancer.conf",
      content: `${setting} = 1\n`,
    }),
    {
      id: "nonlocal",
      title: "Programs may listen at addresses that another host holds",
      check: call("sysctls_are_set", [`${setting}=1`], []),
      apply: call("set_sysctls", [`${setting}=1`], []),
      undo: call("restore_sysctls"),
    },
  ];
}

function booleanStep(context: Context, host: ClusterHost): Step[] {
  const { selinux } = context.factsOf(host);
  if (selinux === undefined || selinux === "Disabled") return [];
  return [
    {
      id: "selinux",
      title: "SELinux lets haproxy use the cluster's ports",
      check: call("haproxy_may_connect"),
      apply: call("let_haproxy_connect"),
      undo: call("limit_haproxy_again"),
    },
  ];
}

/** Not every distribution starts them again when they end. */
const restartsStep = (unit: string): Step =>
  fileStep({
    id: `${unit}-unit`,
    title: `systemd starts ${unit} again whenever it ends`,
    path: `/etc/systemd/system/${unit}.service.d/airgap.conf`,
    content: "[Service]\nRestart=always\nRestartSec=1\nStartLimitInterval=0\n",
    after: call("systemctl", "daemon-reload"),
    undone: call("systemctl", "daemon-reload"),
  });

function balancerService(unit: "haproxy" | "keepalived", path: string, ...reads: string[]): Step {
  const stamp = shortHash(...reads);
  return {
    id: unit,
    title: `${unit} runs with this configuration`,
    check: call("stamped", unit, stamp, path),
    apply: [call(`${unit}_accepts`, path), call("take_configuration", unit, stamp)].join("\n"),
    undo: stopIfOurs([unit], unit),
  };
}

function keepalivedSteps(context: Context, host: ClusterHost): Step[] {
  const { cluster } = context;
  const moving = movingAddresses(cluster);
  if (moving.length === 0) return [];
  const device = balancerInterface(cluster, host, context.factsOf(host)) ?? "eth0";
  const config = keepalivedConfig(cluster, host, device);
  const check = fillShipped("keepalived/haproxy-answers.sh", {
    PORT: String(cluster.endpoint?.statusPage.port ?? 9999),
  });
  return [
    restartsStep("keepalived"),
    fileStep({
      id: "keepalived-check",
      title: "keepalived can ask whether haproxy answers",
      path: HAPROXY_CHECK,
      content: check,
      mode: "755",
    }),
    fileStep({
      id: "keepalived-config",
      title: `keepalived moves ${moving.map(({ address }) => address).join(" and ")} to a host that works`,
      path: KEEPALIVED,
      content: config,
      undone: call("systemctl", "try-restart", "keepalived"),
    }),
    balancerService("keepalived", KEEPALIVED, config, check),
  ];
}

/** Of a machine that is not ours, the network says so by its hardware's address. */
function answerStep({ cluster, balancers = {} }: Context): Step {
  const { address, port } = apiAddress(cluster);
  const known = balancersOf(cluster).flatMap(({ name }) => balancers[name]?.mac || []);
  const macs = known.length < balancersOf(cluster).length ? [] : known.toSorted();
  const asked = ["leads_to_balancer", address, port, ...macs] as const;
  return {
    id: "answer",
    title: `${address}:${port} leads to a load balancer from here`,
    check: call(...asked),
    apply: call("wait_for", 60, ...asked),
  };
}
