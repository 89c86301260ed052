import { describe, expect, it } from "vitest";
import type { Cluster } from "../../src/cluster/cluster.ts";
import { parseManifests, printManifests } from "../../src/install/manifest.ts";
import { withDashboardAccess } from "../../src/install/stages/dashboard.ts";
import { withKubeletAccess } from "../../src/install/stages/metrics-server.ts";

const parse = (text: string) => parseManifests([{ path: "addon.yaml", text }]);
const cluster = (kubelet: Record<string, unknown> = {}) =>
  ({ kubeadm: { KubeletConfiguration: kubelet } }) as unknown as Cluster;

const metricsServer = (args: string) => `apiVersion: apps/v1
kind: Deployment
metadata: { name: metrics-server, namespace: kube-system }
spec:
  template:
    spec:
      containers:
        - name: metrics-server
          image: registry.k8s.io/metrics-server/metrics-server:v0.7.2
${args}`;

describe("metrics-server", () => {
  const tuned = (args: string, kubelet?: Record<string, unknown>) =>
    printManifests(withKubeletAccess(parse(metricsServer(args)), cluster(kubelet)));
  const times = (text: string) => text.split("--kubelet-insecure-tls").length - 1;

  it("takes the certificates that kubeadm's kubelets signed themselves", () => {
    expect(tuned("          args: [--secure-port=10250]\n")).toContain(
      "--secure-port=10250, --kubelet-insecure-tls",
    );
    expect(times(tuned(""))).toBe(1);
  });

  it("is left alone where somebody has chosen", () => {
    expect(times(tuned("          args: [--kubelet-insecure-tls]\n"))).toBe(1);
    expect(times(tuned("          args: [--kubelet-certificate-authority=/ca.crt]\n"))).toBe(0);
    expect(times(tuned("          command: [/metrics-server, --kubelet-insecure-tls=false]\n"))).toBe(1);
    expect(times(tuned("", { serverTLSBootstrap: true }))).toBe(0);
  });
});

describe("dashboard", () => {
  const service = (name: string, namespace = "") => `apiVersion: v1
kind: Service
metadata: { name: ${name}${namespace} }
spec: { ports: [{ port: 443, targetPort: 8443 }] }
`;

  it("is at a port of every node, with an administrator's account beside it", () => {
    for (const name of ["kubernetes-dashboard", "kubernetes-dashboard-kong-proxy"]) {
      const printed = printManifests(
        withDashboardAccess(parse(service(name, ", namespace: kubernetes-dashboard"))),
      );
      expect(printed).toContain("type: NodePort");
      expect(printed).toContain("nodePort: 30443");
      expect(printed).toContain(
        "metadata: { name: airgap-dashboard-admin, namespace: kubernetes-dashboard }",
      );
    }
  });

  it("has its account where a chart that names no namespace is put", () => {
    expect(printManifests(withDashboardAccess(parse(service("kubernetes-dashboard")), "ops"))).toContain(
      "name: airgap-dashboard-admin, namespace: ops",
    );
  });

  it("is left alone when it is something else", () => {
    expect(withDashboardAccess(parse(service("grafana")))).toHaveLength(1);
  });
});
