import { existsSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { FunctionHost } from "../support/install/function-host.ts";
import { SHELLS } from "../support/install/shells.ts";

describe.each(SHELLS)("functions of load balancers, by %s", (...shell) => {
  let host: FunctionHost;
  beforeEach(() => {
    host = new FunctionHost(shell);
    return () => host[Symbol.dispose]();
  });

  it("take_configuration lets a service that runs read it again, and starts one that does not", () => {
    const running = { systemctl: "case $1 in is-active) return 0 ;; esac", sleep: "" };
    expect(host.run("take_configuration haproxy abc", running).code).toBe(0);
    expect(host.calls.filter((each) => /reload h|restart/.test(each))).toEqual(["systemctl reload haproxy"]);
    const stopped = {
      ...{ sleep: "", journalctl: "echo no such file" },
      systemctl: "case $1 in is-active) return 3 ;; esac",
    };
    const { code, output } = host.run("take_configuration keepalived abc", stopped);
    expect(host.calls).toContain("systemctl restart keepalived");
    expect({ code, output }).toEqual({ code: 1, output: "no such file\nkeepalived does not run\n" });
  });

  it("show_shared_addresses tells what it has, who answers elsewhere and which routers it hears", () => {
    const ip = `case $* in
      *'show to 10.0.0.200') echo '2: eth0 inet 10.0.0.200/32' ;;
      *'neigh show 10.0.0.201 dev lo') echo '10.0.0.201 lladdr bb:00:00:00:00:01 REACHABLE' ;;
    esac`;
    const python3 = "printf '%s\\n' 'vrrp 10.0.0.7 51' 'vrrp 10.0.0.7 51'";
    const asked = "show_shared_addresses lo 10.0.0.18 1 10.0.0.200 10.0.0.201 10.0.0.202";
    const { output } = host.run(asked, { ip, python3, timeout: "return 1", have: '[ "$1" = python3 ]' });
    expect(output.trim().split("\n").sort()).toEqual([
      "holds 10.0.0.200",
      "mac 00:00:00:00:00:00",
      "neighbor 10.0.0.201 bb:00:00:00:00:01",
      "vrrp 10.0.0.7 51",
    ]);
    const deaf = host.run("hear_vrrp 10.0.0.18 1", { have: "return 1" });
    expect(deaf.output).toBe("deaf the host has neither perl nor python\n");
  });

  it("leads_to_balancer refuses a machine that is none, where the network tells", () => {
    const ip = "echo '10.0.0.200 dev eth0 lladdr bb:00:00:00:00:01 REACHABLE'";
    const open = { timeout: "", ip };
    expect(host.run("leads_to_balancer 10.0.0.200 6443 aa:1 bb:00:00:00:00:01", open).code).toBe(0);
    expect(host.run("leads_to_balancer 10.0.0.200 6443", open).code).toBe(0);
    expect(host.run("leads_to_balancer 10.0.0.200 6443 aa:1", { timeout: "", ip: "" }).code).toBe(0);
    expect(host.run("leads_to_balancer 10.0.0.200 6443 aa:1", open).output).toContain(
      "10.0.0.200 is answered by bb:00:00:00:00:01",
    );
    expect(host.run("leads_to_balancer 10.0.0.200 6443 aa:1", { ...open, timeout: "return 1" }).code).toBe(1);
  });

  it("SELinux's boolean is turned back only where it was turned on", () => {
    const off = { getsebool: "echo 'haproxy_connect_any --> off'", setsebool: "" };
    host.run("mkdir -p $airgap_home");
    expect(host.run("haproxy_may_connect", off).code).toBe(1);
    host.run("limit_haproxy_again", off);
    expect(host.calls.filter((each) => each.startsWith("setsebool"))).toEqual([]);
    host.run("let_haproxy_connect; limit_haproxy_again", off);
    expect(host.calls.filter((each) => each.startsWith("setsebool"))).toEqual([
      "setsebool -P haproxy_connect_any 1",
      "setsebool -P haproxy_connect_any 0",
    ]);
  });

  it("ufw lets a protocol through by a section of its own, and forgets it again", () => {
    const rules = host.place("etc/ufw/before.rules", "*filter\n:ufw-before-input - [0:0]\nCOMMIT\n");
    const ufw = { ufw: "", iptables: "" };
    expect(host.run("ufw_has_protocols 112", ufw).code).toBe(1);
    expect(host.run("mkdir -p $airgap_home; ufw_add_protocols 112; ufw_has_protocols 112", ufw).code).toBe(0);
    expect(host.run(`tail -n 5 ${rules}`).output).toBe(
      "# BEGIN airgap\n*filter\n-A ufw-before-input -p 112 -j ACCEPT\nCOMMIT\n# END airgap\n",
    );
    expect(host.run(`ufw_remove_protocols; cat ${rules}`, ufw).output).toBe(
      "*filter\n:ufw-before-input - [0:0]\nCOMMIT\n",
    );
    expect(host.calls.filter((each) => each === "ufw reload")).toHaveLength(2);
  });

  it("remove_leftover removes one thing of one kind", () => {
    const file = host.place("etc/cni/net.d/05-old.conflist");
    expect(host.run(`remove_leftover configuration ${file}`).code).toBe(0);
    expect(existsSync(file)).toBe(false);
    host.run("remove_leftover device cni0", { ip: "" });
    expect(host.calls).toContain("ip link delete cni0");
    const stays = { systemctl: "" };
    expect(host.run("remove_leftover service rke2-server", stays).output).toContain("still runs");
    const gone = { systemctl: "case $1 in is-active) return 3 ;; esac" };
    expect(host.run("remove_leftover service kubelet", gone).code).toBe(0);
    expect(host.run("remove_leftover disk sda").code).toBe(1);
  });
});
