import { type Document, parseAllDocuments } from "yaml";
import { textAt } from "../manifest.ts";

/** Where people find the dashboard. */
export const DASHBOARD_PORT = 30_443;
/** Who may do everything there; `airgap status --token dashboard` prints the token. */
export const DASHBOARD_ADMIN = "airgap-dashboard-admin";
/** Of the manifest of 2.x; of the chart of 7.x, which puts a gateway before its parts. */
const SERVICE = /^kubernetes-dashboard$|-kong-proxy$/;

/**
 * The dashboard's own manifest, at a port of every node, and with an administrator's account.
 * @param inNamespace where objects go that name no namespace
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
