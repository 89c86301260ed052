import { existsSync, readFileSync } from "node:fs";
import { beforeEach, describe, expect, it, test } from "vitest";
import { FunctionHost } from "../support/install/function-host.ts";
import { type Ran, SHELLS } from "../support/install/shells.ts";

describe.each(SHELLS)("functions that make the cluster, by %s", (...shell) => {
  let scratch: FunctionHost;
  beforeEach(() => {
    scratch = new FunctionHost(shell);
    return () => scratch[Symbol.dispose]();
  });
  const sh = (script: string, bodies?: Record<string, string>): Ran => scratch.run(script, bodies);
  const place = (path: string, text?: string): string => scratch.place(path, text);
  const calls = (): string[] => scratch.calls;

  describe("images", () => {
    it("containerd_has_images takes whole names, and names the first that is missing", () => {
      const bodies = { systemctl: ":", ctr: "printf '%s\\n' a/b:1 a/b:10" };
      expect(sh("containerd_has_images a/b:1 a/b:10", bodies).code).toBe(0);
      expect(sh("containerd_has_images a/b:1 a.b:1", bodies)).toMatchObject({
        code: 1,
        output: "a.b:1 is not on the host\n",
      });
      expect(sh("containerd_has_images a", { systemctl: "return 3", ctr: "echo a" }).code).toBe(1);
    });

    it("a pull ends at the first that fails, also when it is repeated", () => {
      const pull = { docker: 'case $* in *bad) echo "no such image" >&2; return 1 ;; esac' };
      expect(sh("docker_pull /login good bad never", pull)).toMatchObject({ code: 1, stdout: "good\nbad\n" });
      expect(sh("wait_for 0 docker_pull /login good bad never", pull).output).toContain("no such image");
      expect(calls()).toEqual(
        Array(2)
          .fill(["good", "bad"])
          .flat()
          .map((name) => `docker --config /login pull ${name}`),
      );
    });

    it("containerd_pull asks as kubelet does, by crictl or by the same hosts.toml files", () => {
      const bodies = { crictl: ":", ctr: ":" };
      expect(sh("have() { false; }\ncontainerd_pull /certs a:1", bodies).code).toBe(0);
      expect(sh("have() { true; }\ncontainerd_pull /certs a:1 b:1", bodies).stdout).toBe("a:1\nb:1\n");
      expect(calls()).toEqual([
        "ctr -n k8s.io images pull --hosts-dir /certs a:1",
        "crictl pull a:1",
        "crictl pull b:1",
      ]);
    });

    it("before_init asks for images only until kubeadm has been there", () => {
      expect(sh("before_init docker_has_images a:1", { docker: "return 1" }).output).toContain("a:1 is not");
      place("etc/kubernetes/admin.conf");
      expect(sh("before_init docker_has_images a:1", { docker: "return 1" }).code).toBe(0);
    });
  });

  describe("kubeadm", () => {
    const bodies = {
      kubeadm: 'case "$1" in init | join) cat "$3" ;; esac',
      kubectl: ":",
      systemctl: ":",
      sleep: ":",
      journalctl: ":",
    };
    it("init_control_plane hands over the configuration for as long as it takes", () => {
      expect(sh("init_control_plane yes api:6443 <<'A'\nkind: X\nA", bodies)).toMatchObject({
        code: 0,
        stdout: "kind: X\n",
      });
      expect(calls()).toEqual([
        "kubeadm config validate --config /run/airgap-kubeadm.yaml",
        "kubeadm init --config /run/airgap-kubeadm.yaml --skip-token-print",
        "kubectl get --raw=/healthz",
      ]);
      expect(existsSync(scratch.path("run/airgap-kubeadm.yaml"))).toBe(false);
      expect(existsSync(scratch.path("kept/kubeadm-began"))).toBe(false);
    });

    it("touches nothing of a control plane that stands, or a node that has joined", () => {
      place("etc/kubernetes/admin.conf");
      place("etc/kubernetes/kubelet.conf");
      expect(
        sh("init_control_plane no api:6443 <<'A'\nkind: X\nA\njoin_node no <<'A'\nkind: X\nA", bodies).code,
      ).toBe(0);
      expect(calls().filter((call) => call.startsWith("kubeadm"))).toEqual([]);
    });

    it.each([
      ["knows whoever asks", "echo '{}'"],
      ["refuses whoever asks", "echo 'Error from server (Forbidden): forbidden' >&2; return 1"],
      ["wants a login", "echo 'error: You must be logged in to the server (Unauthorized)' >&2; return 1"],
    ])("init_control_plane makes no second cluster beside an API server that %s", (_, kubectl) => {
      place("etc/kubernetes/pki/ca.crt");
      const ran = sh("init_control_plane yes '[fd00::1]:6443' <<'A'\nkind: X\nA", { ...bodies, kubectl });
      expect(ran).toMatchObject({ code: 1, stdout: "" });
      expect(ran.output).toContain("a cluster of this authority answers at [fd00::1]:6443");
      expect(calls()).toEqual([
        "kubectl --kubeconfig /dev/null --server https://[fd00::1]:6443 --certificate-authority /etc/kubernetes/pki/ca.crt --request-timeout 10s get --raw /version",
      ]);
    });

    it.each([
      ["is of another authority", "x509: certificate signed by unknown authority"],
      ["is not there", "The connection to the server api:6443 was refused"],
      ["has nobody behind it", "EOF"],
    ])("init_control_plane goes on where the API server %s", (_, said) => {
      place("etc/kubernetes/pki/ca.crt");
      const kubectl = `case $* in *healthz) ;; *) echo '${said}' >&2; return 1 ;; esac`;
      expect(sh("init_control_plane yes api:6443 <<'A'\nkind: X\nA", { ...bodies, kubectl }).stdout).toBe(
        "kind: X\n",
      );
    });

    it("show_members says nodes, and members of etcd by where they are, also one that never started", () => {
      const kubectl = `case $* in *etcdctl*) printf '%s\\n' '8e9, started, cp1, https://10.0.0.12:2380, https://10.0.0.12:2379, false' '9f0, unstarted, , https://[fd00::13]:2380, , true' ;; *) echo node cp1 ;; esac`;
      expect(sh("show_members cp1", { kubectl }).stdout).toBe(
        "node cp1\netcd https://10.0.0.12:2380 cp1\netcd https://[fd00::13]:2380\n",
      );
      expect(calls()[1]).toMatch(/^kubectl -n kube-system exec etcd-cp1 -- etcdctl .* member list$/);
      const half = { kubectl: "case $* in *etcdctl*) return 1 ;; *) echo node cp1 ;; esac" };
      expect(sh("show_members cp1", half).code).toBe(1);
    });

    it("forget_node takes the member of exactly that address, then the node", () => {
      const members = [
        "1a, started, cp1, https://10.0.0.1:2380, x, false",
        "2b, started, cp2, https://10.0.0.12:2380, x, false",
      ];
      const kubectl = `case $* in *'member list') printf '%s\\n' ${members.map((line) => `'${line}'`).join(" ")} ;; esac`;
      expect(sh("forget_node cp1 10.0.0.1 cp2", { kubectl }).code).toBe(0);
      const asked = calls().map((call) => call.replace(/ --endpoints .*healthcheck-client\.key/, ""));
      expect(asked.shift()).toMatch(/^kubectl get node cp1 --ignore-not-found /);
      expect(asked).toEqual([
        "kubectl -n kube-system exec etcd-cp2 -- etcdctl member list",
        "kubectl -n kube-system exec etcd-cp2 -- etcdctl member remove 1a",
        "kubectl get node cp1 -o name",
        "kubectl delete node cp1",
      ]);
      const stranger = { kubectl: `case $* in 'get node '*name) return 1 ;; esac\n${kubectl}` };
      expect(sh("forget_node cp9 10.0.0.9 cp2", stranger).code).toBe(44);
      const silent = sh("forget_node cp1 10.0.0.1 cp2", {
        kubectl: "case $* in 'get node '*) ;; *) return 1 ;; esac",
      });
      expect(silent).toMatchObject({ code: 1, output: "etcd on cp2 does not answer\n" });
      const known = `case $* in *'get node'*) ;; *'member list') printf '%s\\n' ${members.map((line) => `'${line}'`).join(" ")} ;; esac`;
      expect(sh("node_is_forgotten cp1 10.0.0.1 cp2", { kubectl: known }).output).toContain("member of cp1");
      expect(sh("node_is_forgotten cp9 10.0.0.9 cp2", { kubectl: known }).code).toBe(0);
      expect(sh("node_is_forgotten cp9 10.0.0.9 cp2", { kubectl: "echo node/cp9" }).output).toContain(
        "still has the node cp9",
      );
      const alive = sh("forget_node cp1 10.0.0.1 cp2", { kubectl: "printf True" });
      expect(alive).toMatchObject({
        code: 1,
        output: expect.stringContaining("cp1 is ready: it is not gone"),
      });
      expect(calls().filter((call) => /remove|delete/.test(call))).toHaveLength(2);
    });

    it("a run that failed is told, and discarded before the next", () => {
      place("etc/cni/net.d/05-theirs.conflist");
      const failing = {
        ...bodies,
        kubeadm: '[ "$1" = reset ]',
        journalctl: "echo 'kubelet: no such cgroup'",
      };
      place("var/lib/kubelet/config.yaml");
      expect(sh("join_node no <<'A'\nkind: X\nA", failing).output).toMatch(
        /--- kubelet:\nkubelet: no such cgroup\nkubeadm join failed\n$/,
      );
      for (const predicate of ["kubeadm_finished", "node_has_joined", "control_plane_is_initialised"])
        expect(sh(predicate, failing).output).toBe("an earlier run of kubeadm did not finish\n");
      place("etc/cni/net.d/10-flannel.conflist");
      expect(sh("kubeadm_discard unix:///s\nkubeadm_finished", failing).code).toBe(0);
      expect(calls().at(-1)).toBe("kubeadm reset -f --cri-socket unix:///s");
      const mark = scratch.path("kept/kubeadm-discarded");
      expect(existsSync(mark)).toBe(true);
      expect(sh("airgap_kubeadm_ended").code).toBe(0);
      expect(existsSync(mark)).toBe(false);
      expect(existsSync(scratch.path("etc/cni/net.d/10-flannel.conflist"))).toBe(false);
      expect(existsSync(scratch.path("etc/cni/net.d/05-theirs.conflist"))).toBe(true);
    });

    it("token_exists compares the secret, make_token gives it two hours and leaves no file", () => {
      expect(sh("token_exists abc eHk=", { kubectl: "printf eHk=" }).code).toBe(0);
      expect(sh("token_exists abc eHk=", { kubectl: "printf eHkK" }).code).toBe(1);
      expect(sh("token_exists abc eHk=", { kubectl: "return 1" }).output).toContain("has no token");
      const { code, output } = sh(
        "wait_for() { shift; \"$@\"; }\nmake_token <<'A'\nkind: Secret\nstringData:\nA",
        {
          kubectl: 'cat "$3"',
          date: "echo 2030-01-01T02:00:00Z",
        },
      );
      expect([code, output]).toEqual([
        0,
        'kind: Secret\nstringData:\n  expiration: "2030-01-01T02:00:00Z"\n',
      ]);
      expect(existsSync(scratch.path("run/airgap-token.yaml"))).toBe(false);
    });
  });

  describe("nodes and pods", () => {
    test.each([
      ["master1 v1.28.2 True\nnode1 v1.28.2 True", "yes", 0, ""],
      ["master1 v1.28.2 True\nnode1 v1.28.2 False", "yes", 1, 'node1 is not "v1.28.2 True"; the nodes are:'],
      ["master1 v1.28.2 True\nnode1 v1.28.20 True", "yes", 1, 'node1 is not "v1.28.2 True"'],
      ["master1 v1.28.2\nnode1 v1.28.2", "no", 0, ""],
      ["master1 v1.28.2", "no", 1, 'node1 is not "v1.28.2"'],
    ])("nodes_are_at of %j, ready %s, gives %i", (nodes, ready, code, said) => {
      const ran = sh(`nodes_are_at v1.28.2 ${ready} master1 node1`, { kubectl: `echo '${nodes}'` });
      expect([ran.code, ran.output]).toEqual([code, said === "" ? "" : expect.stringContaining(said)]);
      expect(calls()[0]?.includes("Ready")).toBe(ready === "yes");
    });

    it("pods_are_ready leaves out those that have ended well", () => {
      const pods = (text: string): Ran => sh("pods_are_ready kube-system", { kubectl: `echo '${text}'` });
      expect(pods("a Running True\njob Succeeded False\nb Succeeded").code).toBe(0);
      expect(pods("a Running True\nb Pending").output).toBe("not ready in kube-system: b Pending\n");
      expect(sh("pods_are_ready x", { kubectl: "return 1" }).code).toBe(1);
    });

    it("mark_node and node_is_marked give and ask for labels and taints, each only where there are some", () => {
      const bodies = {
        kubectl: "case $* in *jsonpath*) printf '%s\\n' a=:NoSchedule ;; *) echo node/n ;; esac",
      };
      expect(sh("node_is_marked n 'x=1 y=' a=:NoSchedule", bodies).code).toBe(0);
      expect(sh("node_is_marked n '' b=:NoSchedule", bodies).output).toContain(
        "the taint b=:NoSchedule is missing",
      );
      expect(calls()[0]).toBe(
        "kubectl get nodes -o name -l kubernetes.io/hostname,x=1,y= --field-selector metadata.name=n",
      );
      expect(calls()[2]).toBe(
        "kubectl get nodes -o name -l kubernetes.io/hostname --field-selector metadata.name=n",
      );
      expect(sh("node_is_marked n x=1 ''", { kubectl: ":" }).output).toBe("labels are missing\n");
      sh("mark_node n 'x=1 y=' ''\nmark_node n '' 'a=:NoSchedule b=c:NoExecute'", { kubectl: ":" });
      expect(
        calls()
          .slice(-4)
          .filter((call) => !call.includes("get node")),
      ).toEqual([
        "kubectl label --overwrite node n x=1 y=",
        "kubectl taint --overwrite node n a=:NoSchedule b=c:NoExecute",
      ]);
    });

    it("remove_node drains before it deletes, deletes all the same, and knows one that is gone", () => {
      expect(sh("remove_node n --force", { kubectl: '[ "$1" != drain ]' })).toMatchObject({
        code: 0,
        stdout: "some pods of n were not evicted\n",
      });
      expect(calls()).toEqual([
        "kubectl get node n -o name",
        "kubectl drain n --force",
        "kubectl delete node n",
      ]);
      sh("remove_node n --force", { kubectl: "return 1" });
      expect(calls()).toHaveLength(4);
    });

    it("account_token asks for one, reads the one that is kept, and tells that there is no account", () => {
      const bodies = {
        kubectl:
          "case $* in *serviceaccounts*) echo ns ;; *secrets*) echo s ;; *data.token*) printf dG9rZW4= ;; *) echo new ;; esac",
      };
      expect(sh("account_token a request", bodies).stdout).toBe("new\n");
      expect(sh("account_token a secret", bodies).stdout).toBe("token");
      expect(sh("account_token a request", { kubectl: ":" }).code).toBe(44);
    });
  });

  describe("a tunnel of the pod network", () => {
    const programs = {
      ip: `case $* in
        '-4 route show dev flannel.1') echo '10.244.1.0/24 via 10.244.1.0 onlink' ;;
        'neigh show 10.244.1.0 dev flannel.1') echo '10.244.1.0 lladdr 3e:aa:01:02:03:04 PERMANENT' ;;
        *) return 1 ;; esac`,
      bridge:
        "printf '%s\\n' '3e:aa:01:02:03:05 dst 10.0.0.14 self' '3e:aa:01:02:03:04 dst 10.0.0.15 self permanent'",
    };
    const tried = (answer: string, more = {}): Ran =>
      sh("airgap_fail_for_tunnel", { ...programs, timeout: answer, ...more });

    it("that lets nothing through is named, with the host behind it", () => {
      expect(tried("return 124")).toMatchObject({
        code: 1,
        output:
          "nothing comes back from 10.0.0.15 through the tunnel flannel.1: is UDP 8472 blocked between the hosts?\n",
      });
      expect(tried("return 124", { bridge: "return 127" }).output).toContain("back from 10.244.1.0 through");
    });

    it("whose other end refuses is well, and so is none at all", () => {
      expect(tried("echo 'connect: Connection refused' >&2; return 1")).toMatchObject({
        code: 1,
        output: "",
      });
      expect(tried("return 124", { ip: "return 1" })).toMatchObject({ code: 1, output: "" });
    });

    it("is looked at only when pods do not reach what they should", () => {
      const failing = (dns: string): Ran =>
        sh(
          `pod_process() { echo 7; }\nwait_for() { shift; ("$@") || return 1; }\ndns() { ${dns}; }\nreaches() { :; }\nprobe_network 10.96.0.10 c.local`,
          { ...programs, timeout: "return 124" },
        );
      expect(failing("echo 10.244.0.2").code).toBe(0);
      expect(failing("return 1").output).toMatch(/does not answer for[\s\S]*is UDP 8472 blocked/);
    });
  });

  describe("probe_network", () => {
    const probe = (answers: string, reached = ":"): Ran =>
      sh(
        `pod_process() { echo 7; }\ndns() { case $3 in ${answers} esac; }\nreaches() { ${reached}; }\nprobe_network 10.96.0.10 c.local db.site 10.0.0.7`.replace(
          /^/,
          'wait_for() { shift; "$@"; }\n',
        ),
      );
    const api = "kubernetes.default.svc.c.local) echo 10.96.0.1 ;;";
    const pods = "airgap-probe.kube-system.svc.c.local) printf '%s\\n' 10.244.0.2 10.244.1.2 ;;";
    const own = "db.site) echo 10.0.0.7 ;;";
    it.each([
      ["all is well", `${api} ${pods} ${own}`, ":", 0, ""],
      ["the API has no name", `${pods} ${own}`, ":", 1, "does not answer for kubernetes.default.svc.c.local"],
      [
        "pods have no name",
        `${api} ${own}`,
        ":",
        1,
        "does not answer for airgap-probe.kube-system.svc.c.local",
      ],
      ["DNS answers an error", "*) echo 'DNS says error 2'; return 1 ;;", ":", 1, "DNS says error 2"],
      [
        "a pod is not reached",
        `${api} ${pods} ${own}`,
        '[ "$2" != 10.244.1.2 ] || fail "no $2"',
        1,
        "no 10.244.1.2",
      ],
      [
        "another address",
        `${api} ${pods} db.site) echo 10.0.0.70 ;;`,
        ":",
        1,
        "DNS does not answer 10.0.0.7 for db.site",
      ],
    ])("where %s", (_, answers, reached, code, said) => {
      const ran = probe(answers, reached);
      expect([ran.code, ran.output]).toEqual([code, said === "" ? "" : expect.stringContaining(said)]);
    });
  });

  describe("coredns", () => {
    const corefile =
      ".:53 {\n    errors\n    kubernetes cluster.local in-addr.arpa {\n    }\n    forward . /etc/resolv.conf\n}\n";
    it("tell_coredns puts one block before the cluster's own plugin, however often", () => {
      scratch.write("corefile", corefile);
      const bodies = {
        kubectl: `case $* in
          *"get configmap"*) cat '${scratch.path("corefile")}' ;;
          *create*) cat "\${6#--from-file=Corefile=}" ;;
          replace*) cat >'${scratch.path("new")}' && mv '${scratch.path("new")}' '${scratch.path("corefile")}' ;;
          *) echo 1 1 2 2 2 ;;
        esac`,
      };
      const ask = (call: string): Ran => sh(call, bodies);
      expect(ask("coredns_knows '10.0.0.1 a.site'").code).toBe(1);
      for (const names of ["'10.0.0.9 z.site'", "'10.0.0.1 a.site' '10.0.0.2 b.site'"])
        expect(ask(`tell_coredns ${names}\ncoredns_knows ${names}`)).toMatchObject({ code: 0 });
      expect(readFileSync(scratch.path("corefile"), "utf8")).toBe(
        corefile.replace(
          "    kubernetes",
          "    # BEGIN airgap\n    hosts {\n        10.0.0.1 a.site\n        10.0.0.2 b.site\n        fallthrough\n    }\n    # END airgap\n    kubernetes",
        ),
      );
      expect(ask("coredns_knows '10.0.0.1 a.site'").code).toBe(1);
    });
  });

  describe("authorize_key", () => {
    it("adds a key once, behind what is there", () => {
      const bodies = {
        getent: `echo 'ops:x:1:1::${scratch.dir}:/bin/sh'`,
        id: "echo ops",
        install: 'for last; do :; done; mkdir -p "$last"',
        chown: ":",
      };
      place(".ssh/authorized_keys", "ssh-rsa AAAA theirs");
      const add = (): Ran => sh("SUDO_USER=ops; authorize_key 'ssh-ed25519 BBBB airgap'", bodies);
      expect([add().stdout, add().stdout]).toEqual(["installed ops\n", "present ops\n"]);
      expect(readFileSync(scratch.path(".ssh/authorized_keys"), "utf8")).toBe(
        "ssh-rsa AAAA theirs\nssh-ed25519 BBBB airgap\n",
      );
    });
  });
});
