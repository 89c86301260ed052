import { stringify } from "yaml";

interface Parts {
  server: string;
  /** PEM, as are the others. */
  ca: string;
  cert: string;
  key: string;
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** What kubeadm writes to /etc/kubernetes/admin.conf, as a document. */
export const adminDocument = ({ server, ca, cert, key }: Parts) => ({
  apiVersion: "v1",
  clusters: [{ cluster: { "certificate-authority-data": base64(ca), server }, name: "kubernetes" }],
  contexts: [
    { context: { cluster: "kubernetes", user: "kubernetes-admin" }, name: "kubernetes-admin@kubernetes" },
  ],
  "current-context": "kubernetes-admin@kubernetes",
  kind: "Config",
  preferences: {},
  users: [
    {
      name: "kubernetes-admin",
      user: { "client-certificate-data": base64(cert), "client-key-data": base64(key) },
    },
  ],
});

export const adminConf = (parts: Parts): string => stringify(adminDocument(parts), { lineWidth: 0 });
