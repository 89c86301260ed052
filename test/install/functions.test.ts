import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, it, test } from "vitest";
import { libraryIn, type Ran, runShell, SHELLS } from "../support/install/shells.ts";
import { Scratch } from "../support/scratch.ts";

const octal = (bytes: number[]): string =>
  bytes.map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
const label = (name: string): number[] => [
  ...name.split(".").flatMap((part) => [part.length, ...Buffer.from(part)]),
  0,
];

/** An answer as a DNS server sends it. */
function answer(
  name: string,
  records: { name?: number[]; type: number; data: number[] }[],
  code = 0,
): number[] {
  const question = [...label(name), 0, 1, 0, 1];
  const rest = records.flatMap(({ name: own = [0xc0, 12], type, data }) => [
    ...own,
    0,
    type,
    0,
    1,
    0,
    0,
    0,
    30,
    0,
    data.length,
    ...data,
  ]);
  return [0x41, 0x47, 0x81, 0x80 + code, 0, 1, 0, records.length, 0, 0, 0, 0, ...question, ...rest];
}

describe.each(SHELLS)("functions that look at the cluster by %s", (...shell) => {
  let scratch: Scratch;
  beforeEach(() => {
    scratch = new Scratch();
    return () => scratch[Symbol.dispose]();
  });
  const sh = (script: string): Ran => runShell(shell, `${libraryIn(scratch.dir)}${script}\n`);

  describe("dns", () => {
    const ask = (name: string, bytes: number[]): Ran => {
      return sh(`nsenter() { printf '${octal(bytes)}'; }\ndns 1 10.96.0.10 '${name}'`);
    };
    const A = (...data: number[]) => ({ type: 1, data });

    it.each([
      ["one address", [A(10, 96, 0, 1)], "10.96.0.1\n"],
      ["several", [A(10, 244, 0, 2), A(10, 244, 1, 255)], "10.244.0.2\n10.244.1.255\n"],
      [
        "a name on the way",
        [
          { type: 5, data: label("other.site") },
          { ...A(10, 0, 0, 50), name: label("other.site") },
        ],
        "10.0.0.50\n",
      ],
      ["only another kind", [{ type: 28, data: Array.from({ length: 16 }, () => 0) }], ""],
      ["nothing", [], ""],
      ["an address with a line feed in it", [A(10, 10, 10, 10)], "10.10.10.10\n"],
    ])("reads %s", (_, records, said) => {
      expect(
        ask("kubernetes.default.svc.cluster.local", answer("kubernetes.default.svc.cluster.local", records)),
      ).toMatchObject({ code: 0, stdout: said });
    });

    it("tells an error, and that nobody answers", () => {
      expect(ask("no.site", answer("no.site", [], 3))).toMatchObject({
        code: 1,
        stdout: "DNS says error 3\n",
      });
      expect(ask("no.site", [])).toMatchObject({ code: 1, stdout: "" });
      expect(ask("no.site", [1, 2, 3])).toMatchObject({ code: 1, stdout: "" });
    });

    it("does not run away with what is cut off or points astray", () => {
      const whole = answer("a.site", [A(10, 0, 0, 1), A(10, 0, 0, 2)]);
      for (const length of [13, 20, 30, 40, whole.length - 1])
        expect(ask("a.site", whole.slice(0, length)).code).not.toBeNull();
    });
  });

  it.each([
    [
      "a.bc",
      "\\101\\107\\001\\000\\000\\001\\000\\000\\000\\000\\000\\000\\001\\141\\002\\142\\143\\000\\000\\001\\000\\001",
    ],
    [
      "abcdefghij.x-1",
      "\\101\\107\\001\\000\\000\\001\\000\\000\\000\\000\\000\\000\\012\\141\\142\\143\\144\\145\\146\\147\\150\\151\\152\\003\\170\\055\\061\\000\\000\\001\\000\\001",
    ],
  ])("airgap_dns_query asks for %s as RFC 1035 has it", (name, octal) => {
    expect(sh(`airgap_dns_query ${name}`).stdout).toBe(octal);
    expect(octal.length / 4).toBe(name.length + 18);
  });

  describe("reaches", () => {
    const reach = (body: string): Ran => sh(`nsenter() { ${body}; }\nreaches 1 10.244.0.2`);
    it("takes being refused for an answer, and nothing else", () => {
      expect(reach("return 0").code).toBe(0);
      expect(reach("echo 'bash: connect: Connection refused'; return 1").code).toBe(0);
      expect(reach("return 124")).toMatchObject({
        code: 1,
        output: expect.stringContaining(
          "the pod at 10.244.0.2 is unreachable through the pod network of this host: no answer",
        ),
      });
      expect(reach("echo 'No route to host'; return 1").output).toContain("No route to host");
    });
  });

  describe("cri_loaded", () => {
    const first = "io.containerd.content.v1  content  -            ok";
    it.each([
      ["of containerd 1", "io.containerd.grpc.v1  cri  linux/amd64  ok", 0, ""],
      [
        "that did not load",
        "io.containerd.grpc.v1  cri  linux/amd64  error",
        1,
        "not loaded: io.containerd.grpc.v1.cri\n",
      ],
      [
        "that is switched off",
        "io.containerd.grpc.v1  images  -  ok",
        1,
        "not loaded: io.containerd.grpc.v1.cri\n",
      ],
      [
        "of containerd 2",
        "io.containerd.cri.v1  images  -  ok\nio.containerd.cri.v1  runtime  linux/amd64  ok\nio.containerd.grpc.v1  cri  -  ok",
        0,
        "",
      ],
      [
        "half of it",
        "io.containerd.cri.v1  images  -  ok\nio.containerd.cri.v1  runtime  linux/amd64  error",
        1,
        "not loaded: io.containerd.cri.v1.runtime\n",
      ],
    ])("knows a CRI plugin %s", (_, lines, code, said) => {
      expect(
        sh(
          `systemctl() { :; }\nctr() { printf '%s\\n' 'TYPE  ID  PLATFORMS  STATUS' '${first}' '${lines}'; }\ncri_loaded`,
        ),
      ).toMatchObject({
        code,
        stdout: said,
      });
    });
    it("takes a containerd that does not answer for none", () => {
      expect(
        sh("systemctl() { :; }\nctr() { echo 'connection error' >&2; return 1; }\ncri_loaded").code,
      ).toBe(1);
    });
    it("does not ask a containerd that does not run", () => {
      expect(sh("systemctl() { return 3; }\nctr() { echo asked; }\ncri_loaded")).toMatchObject({
        code: 1,
        output: expect.stringMatching(/does not run/),
      });
    });
  });

  describe("rolled_out", () => {
    // generation, observed, wanted, updated, ready
    test.each([
      ["1 1 2 2 2", 0, ""],
      ["2 2 0  ", 0, ""],
      ["2 1 2 2 2", 1, "its controller has not seen the change yet"],
      ["1 1 2 2 1", 1, "1 of 2 ready"],
      ["1 1 2 1 2", 1, "2 of 2 ready"],
      ["1 1 2  ", 1, "0 of 2 ready"],
      ["1  2  ", 1, "its controller has not seen the change yet"],
    ])("of '%s' gives %i", (status, code, said) => {
      const ran = sh(`kubectl() { printf '%s' '${status}'; }\nrolled_out kube-system deployment/x`);
      expect([ran.code, ran.output]).toEqual([code, said === "" ? "" : expect.stringContaining(said)]);
    });

    it("of what is not there says so", () => {
      expect(sh("kubectl() { return 1; }\nrolled_out a deployment/x")).toMatchObject({
        code: 1,
        output: "deployment/x in a is not there\n",
      });
    });
  });

  describe("roll_out of a DaemonSet", () => {
    const roll = (nodes: string, pods: string, kind = "daemonset/flannel"): string =>
      sh(
        `kubectl() { case $* in *'get nodes'*) printf '${nodes}' ;; *jsonpath*) printf '${pods}' ;; *rollout*) echo 'error: timed out waiting for the condition'; return 1 ;; esac; }\nroll_out net ${kind} 1`,
      ).output.replace(/^error: .*\n/, "");
    const nodes = "node a True\\nnode b Unknown\\nnode c False\\nnode d Unknown\\n";
    it("names the nodes that are down, and only those that it waits for", () => {
      const pods =
        "pod a True flannel\\npod b False flannel\\npod c True flannel\\npod d False other\\npod   flannel\\n";
      expect(roll(nodes, pods)).toBe("daemonset/flannel in net waits for pods on b, which is not ready\n");
      expect(roll(nodes, `${pods}pod d False flannel\\n`)).toBe(
        "daemonset/flannel in net waits for pods on b, d, which are not ready\n",
      );
    });
    it("blames no node that is well, and no other kind", () => {
      expect(roll(nodes, "pod a False flannel\\n")).toBe("daemonset/flannel in net is not ready\n");
      expect(roll(nodes, "pod b False flannel\\n", "deployment/flannel")).toBe(
        "deployment/flannel in net is not ready\n",
      );
    });
  });

  describe("apply_manifest", () => {
    it("lets the server apply what is too large for an annotation", () => {
      const ran = sh(
        `kubectl() { echo "kubectl $*" >>'${scratch.dir}/log'; case $* in *--server-side*) return 0 ;; esac; echo 'metadata.annotations: Too long: must have at most 262144 bytes'; return 1; }\napply_manifest /x.yaml`,
      );
      expect(ran.code).toBe(0);
      expect(readFileSync(scratch.path("log"), "utf8")).toBe(
        "kubectl apply -f /x.yaml\nkubectl apply --server-side --force-conflicts -f /x.yaml\n",
      );
    });

    it("makes the namespace that objects without one go to, in a configuration of its own", () => {
      const config = scratch.write("admin.conf", "kind: Config\n");
      const ran = sh(
        `KUBECONFIG='${config}'\nkubectl() { echo "$* by $([ "$KUBECONFIG" = '${config}' ] && echo admin || echo own)" >>'${scratch.dir}/log'; case $* in 'get namespace'*) return 1 ;; esac; }\napply_manifest /x.yaml shops`,
      );
      expect(ran.code, ran.output).toBe(0);
      expect(readFileSync(scratch.path("log"), "utf8").split("\n")).toEqual([
        "get namespace shops by admin",
        "create namespace shops by admin",
        "config set-context --current --namespace=shops by own",
        "apply -f /x.yaml by own",
        "",
      ]);
      expect(readFileSync(config, "utf8")).toBe("kind: Config\n");
    });
  });

  describe("airgap_rules", () => {
    it("takes away what the cluster put in, and nothing of anybody else", () => {
      const theirs = [
        "*filter",
        ":INPUT ACCEPT [0:0]",
        "-A INPUT -p tcp --dport 22 -j ACCEPT",
        "-A INPUT -s 10.0.0.0/8 -j DROP",
        "COMMIT",
      ];
      const ours = [
        ":KUBE-FIREWALL - [0:0]",
        "-A INPUT -j KUBE-FIREWALL",
        "-A FORWARD -m comment --comment flanneld -j FLANNEL-FWD",
        "-A FORWARD -j cali-FORWARD",
        "-A POSTROUTING -j CNI-HOSTPORT-MASQ",
      ];
      mkdirSync(scratch.path("bin"));
      scratch.write("rules", `${[theirs[0], theirs[1], ...ours, ...theirs.slice(2)].join("\n")}\n`);
      const program = (name: string, body: string): void =>
        writeFileSync(scratch.path(`bin/${name}`), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
      program("iptables", ":");
      program("iptables-save", `cat '${scratch.path("rules")}'`);
      program("iptables-restore", `cat >'${scratch.path("restored")}'`);
      const ran = sh(`PATH='${scratch.path("bin")}':$PATH\nhave() { [ "$1" = iptables ]; }\nairgap_rules`);
      expect(ran.code, ran.output).toBe(0);
      expect(readFileSync(scratch.path("restored"), "utf8")).toBe(`${theirs.join("\n")}\n`);
    });
  });
});
