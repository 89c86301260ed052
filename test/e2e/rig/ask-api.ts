import { readFileSync } from "node:fs";
import { request } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import { parse } from "yaml";

// node ask-api.ts KUBECONFIG SECONDS: asks the cluster's API every 50 ms, each time by a new connection and for something
// that etcd holds. Prints what came of it as JSON.
const [, , kubeconfig = "", seconds = "0"] = process.argv;

interface Kubeconfig {
  clusters: { cluster: { server: string; "certificate-authority-data": string } }[];
  users: { user: { "client-certificate-data": string; "client-key-data": string } }[];
}
const { clusters, users } = parse(readFileSync(kubeconfig, "utf8")) as Kubeconfig;
const bytes = (text: string | undefined): Buffer => Buffer.from(text ?? "", "base64");
const tls = {
  ca: bytes(clusters[0]?.cluster["certificate-authority-data"]),
  cert: bytes(users[0]?.user["client-certificate-data"]),
  key: bytes(users[0]?.user["client-key-data"]),
};

const EVERY_MS = 50;
/** How long a client waits before it tries again. */
const PATIENCE_MS = 1000;

const ask = (): Promise<boolean> =>
  new Promise((resolve) => {
    const asked = request(
      `${clusters[0]?.cluster.server}/api/v1/namespaces/kube-system`,
      { ...tls, agent: false, timeout: PATIENCE_MS, signal: AbortSignal.timeout(PATIENCE_MS) },
      (answer) => {
        answer.resume();
        answer.once("end", () => resolve(answer.statusCode === 200));
        answer.once("error", () => resolve(false));
      },
    );
    asked.once("error", () => resolve(false));
    asked.end();
  });

const end = Date.now() + Number(seconds) * 1000;
let [last, longestGapMs, answered, asked] = [Date.now(), 0, 0, 0];
while (Date.now() < end) {
  const began = Date.now();
  const good = await ask();
  asked++;
  if (good) {
    answered++;
    longestGapMs = Math.max(longestGapMs, Date.now() - last);
    last = Date.now();
  }
  await sleep(Math.max(0, began + EVERY_MS - Date.now()));
}
process.stdout.write(
  JSON.stringify({ asked, answered, longestGapMs: Math.max(longestGapMs, Date.now() - last) }),
);
