import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cached } from "./cache.ts";
import { application, pushRecipes } from "./images/catalogue.ts";
import { startRegistry } from "./images/registry.ts";
import { must } from "./shell.ts";

/** The site's own name of the users' application: what they built themselves and no registry outside has. */
export const applicationImage = "register.rig.test/team/shop";
/** At every node. */
export const applicationPort = 30081;

/** An archive as `docker save` makes it, of an application that says its version at port 8080. */
export async function applicationArchive(version: string): Promise<string> {
  const recipe = await application(`shop ${version}`);
  const folder = await cached(`shop-${version}`, recipe, async (folder) => {
    const work = await mkdtemp(join(tmpdir(), "rig-shop-"));
    try {
      await using registry = await startRegistry({ storage: join(work, "storage"), work });
      await pushRecipes(registry.host, new Map([[`team/shop:${version}`, recipe]]));
      const target = `docker-archive:${join(folder, "shop.tar")}:shop:${version}`;
      await must("skopeo", [
        "--insecure-policy",
        "copy",
        "-q",
        "--src-tls-verify=false",
        `docker://${registry.host}/team/shop:${version}`,
        target,
      ]);
    } finally {
      await must("rm", ["-rf", work]);
    }
  });
  return join(folder, "shop.tar");
}

/** Writes the users' own manifests, beside a cluster file: two pods of a version, and a port of every node. */
export async function writeApplication(folder: string, version: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(
    join(folder, "10-deployment.yaml"),
    `apiVersion: apps/v1
kind: Deployment
metadata: { name: shop }
spec:
  replicas: 2
  selector: { matchLabels: { app: shop } }
  template:
    metadata: { labels: { app: shop } }
    spec:
      terminationGracePeriodSeconds: 1
      shareProcessNamespace: true
      containers:
        - name: shop
          image: ${applicationImage}:${version}
          readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1 }
`,
  );
  await writeFile(
    join(folder, "20-service.yaml"),
    `apiVersion: v1
kind: Service
metadata: { name: shop }
spec:
  type: NodePort
  selector: { app: shop }
  ports: [{ port: 80, targetPort: 8080, nodePort: ${applicationPort} }]
`,
  );
}
