import { type Document, parseAllDocuments } from "yaml";
import { textAt } from "../manifest.ts";

/** The port of the dashboard on every node. */
export const DASHBOARD_PORT = 30_443;
/** The administrator's account; `airgap status --token dashboard` prints its token. */
export const DASHBOARD_ADMIN = "airgap-dashboard-admin";
/** The service of the 2.x manifest, and of the 7.x chart, which has a gateway in front. */
const SERVICE = /^kubernetes-dashboard$|-kong-proxy$/;

/**
 * The dashboard's own manifest, with a port on every node and an administrator's account.
 * @param inNamespace the namespace of objects that do not name one
 */
export function withDashboardAccess(documents: Document[], inNamespace = "default"): Document[] {
  const service = documents.find(
    (document) =>
      textAt(document, "kind") === "Service" && SERVICE.test(textAt(document, "metadata", "name")),
  );
  if (service === undefined) return documents;
  service.setIn(["spec", "type"], "NodePort");
  service.setIn(["spec", "ports", 0, "nodePort"], DASHBOARD_PORT);
  const namespace = textAt(service, "metadata", "namespace") || inNamespace;
  const account = `apiVersion: v1
kind: ServiceAccount
metadata: { name: ${DASHBOARD_ADMIN}, namespace: ${namespace} }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: ${DASHBOARD_ADMIN} }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin }
subjects: [{ kind: ServiceAccount, name: ${DASHBOARD_ADMIN}, namespace: ${namespace} }]
`;
  return [...documents, ...(parseAllDocuments(account) as Document[])];
}
