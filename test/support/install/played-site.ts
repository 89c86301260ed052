import { readFileSync } from "node:fs";
import { join } from "node:path";
import { apiAddress, type ClusterHost } from "../../../src/cluster/cluster.ts";
import type { Event } from "../../../src/events.ts";
import { type InstallOptions, type InstallResult, install } from "../../../src/install/install.ts";
import { planInstall } from "../../../src/install/plan.ts";
import { STAGE_NAMES } from "../../../src/install/stages/index.ts";
import { makeAuthority } from "../../../src/pki/certificate.ts";
import { Scratch } from "../scratch.ts";
import { adminConf } from "./admin-conf.ts";
import { writeBundleFile } from "./bundle-file.ts";
import { RecordingHost } from "./recording-host.ts";
import { clusterText, siteOf, type Wishes } from "./site.ts";
import { RAW, type System } from "./systems.ts";

const ADMIN = await makeAuthority({ commonName: "kubernetes-admin", days: 1 });

/** A cluster file, a bundle and played hosts: for the front functions of installing, from file to file. */
export class PlayedSite implements Disposable {
  readonly scratch = new Scratch();
  readonly events: Event[] = [];
  readonly hosts = new Map<string, RecordingHost>();
  /** Hosts that were connected to, in order. */
  readonly opened: string[] = [];
  /** Whether somebody holds the endpoint of the cluster file. */
  endpointAnswers = true;
  #wishes: Wishes;

  constructor(wishes: Wishes = {}) {
    this.#wishes = wishes;
  }

  get clusterFile(): string {
    return this.scratch.path("cluster.yaml");
  }

  /** Writes the files, for a cluster that is perhaps another one by now. */
  async write(cluster: Record<string, unknown> = this.#wishes.cluster ?? {}): Promise<void> {
    this.#wishes = { ...this.#wishes, cluster };
    this.scratch.write("cluster.yaml", clusterText(cluster));
    const { bundle } = siteOf(this.#wishes);
    await writeBundleFile(this.scratch.path("site.tar"), bundle);
  }

  /** The host of this name, with what its facts.sh prints; made when it is asked for first. */
  host(name: string): RecordingHost {
    const found = this.hosts.get(name);
    if (found) return found;
    const input = siteOf(this.#wishes);
    const i = input.cluster.hosts.findIndex((host) => host.name === name);
    const own = input.cluster.hosts[i];
    const system: System = this.#wishes.on?.[name] ?? this.#wishes.os ?? "rocky-9.4";
    const host = new RecordingHost(name);
    host.facts = readFileSync(join(RAW, `${system}.txt`), "utf8")
      .replaceAll("10.0.0.12", own?.address ?? "10.0.0.99")
      .replace(/^machine-id\|.*$/m, `machine-id|${Buffer.from(name.padEnd(16, "0")).toString("hex")}`)
      .replace(/^product-uuid\|.*$/m, `product-uuid|${name}`)
      .replace(/^mac\|.*$/m, `mac|00:50:56:8a:00:${String(10 + i)}`)
      .replace(/^end\|.*$/m, () => `end|${Math.round(Date.now() / 1000)}`);
    host
      .answers(/stat -c %s/, "0\n")
      .answers(/^endpoint_answers /, () => ({ code: this.endpointAnswers ? 0 : 1, stdout: "", stderr: "" }))
      .answers(/^cat \/etc\/kubernetes\/admin\.conf$/, () => this.#adminConf(host));
    this.hosts.set(name, host);
    return host;
  }

  /** As kubeadm writes it. */
  #adminConf({ facts = "" }: RecordingHost): string {
    const { cluster } = siteOf(this.#wishes);
    const standing = [...facts.matchAll(/^kubernetes-ca\|(.*)$/gm)].map(([, line]) => `${line}\n`).join("");
    const kept = JSON.parse(readFileSync(this.scratch.path(".airgap/site/secrets.json"), "utf8"));
    const { address, port } = apiAddress(cluster);
    return adminConf({ server: `https://${address}:${port}`, ca: standing || kept.keys.ca.cert, ...ADMIN });
  }

  /** Adds lines to what a host's facts.sh prints. */
  tell(name: string, lines: string): void {
    const host = this.host(name);
    host.facts = host.facts?.replace(/^end\|/m, `${lines}\nend|`);
  }

  readonly open = async (host: ClusterHost): Promise<RecordingHost> => {
    this.opened.push(host.name);
    const played = this.host(host.name);
    played.closed = false;
    // Whatever facts and flags are: a host knows every step that there may be of it.
    const input = siteOf(this.#wishes);
    if (input.cluster.hosts.some(({ name }) => name === host.name)) played.knows(planInstall(input));
    // Behind what a test has told it: a cluster that knows nobody.
    played
      .answers(/^show_members /, "")
      .answers(/^show_etcd_status /, "")
      .answers(/^show_certificates$/, "");
    const lost = input.cluster.hosts.map(({ name }) => `forget-${name}`);
    played.knows({
      stages: STAGE_NAMES.map((name) => ({
        name,
        needs: [],
        wholeCluster: false,
        waves: [
          [
            {
              host: host.name,
              steps: [...EXTRA, ...lost].map((id) => ({ id, title: id, check: "", apply: "" })),
            },
          ],
        ],
      })),
    });
    return played;
  };

  install(more: Partial<InstallOptions> = {}): Promise<InstallResult> {
    return install({
      clusterFile: this.clusterFile,
      bundle: this.scratch.path("site.tar"),
      dryRun: false,
      ignoreChecks: [],
      open: this.open,
      emit: (event) => this.events.push(event),
      ...more,
    });
  }

  /** Texts of the warnings and notes that were emitted. */
  get told(): string[] {
    return this.events.flatMap((event) =>
      event.type === "warning" || event.type === "note" ? [event.message] : [],
    );
  }

  [Symbol.dispose](): void {
    this.scratch[Symbol.dispose]();
  }
}

/** Steps that depend on facts that the played hosts may have and the plan's own have not. */
const EXTRA = ["token", "pod-network", "machine-id", "users", "auth"];
