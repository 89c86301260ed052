import { Args, Flags } from "@oclif/core";
import { ClusterCommand } from "../cluster-command.ts";
import { withEnv } from "../command.ts";
import { Exit } from "../errors.ts";
import { type CertsResult, certs } from "../install/certificates/certs.ts";

export default class Certs extends ClusterCommand<CertsResult> {
  static override summary = "Show every certificate of every host with its last day, or renew them";
  static override description =
    "Lists kubeadm's certificates and kubeconfigs, those of kubelets, of etcd's members and of airgap's own services; the one that ends first comes first. Exits with 1 when one has expired or ends within 30 days. --renew makes kubeadm's and airgap's own again, restarts the control planes one by one, and brings the new kubeconfig here. It needs no API server, so it also helps a cluster whose certificates have expired.";
  static override examples = [
    "<%= config.bin %> certs cluster.yaml",
    "<%= config.bin %> certs cluster.yaml --renew",
  ];
  static override args = { cluster: Args.string({ description: "The cluster file (YAML)", required: true }) };
  static override flags = withEnv({
    renew: Flags.boolean({ description: "Renew the certificates of kubeadm and of airgap's own services" }),
  });

  async run(): Promise<CertsResult> {
    const { args, flags } = await this.parse(Certs);
    const result = await certs({
      clusterFile: args.cluster,
      renew: flags.renew,
      sure: (question) => this.confirm(question),
      confirm: this.hostKeys(flags),
      emit: this.emit,
      signal: this.signal,
    });
    this.report.end();
    this.#tell(result);
    if (!result.fine) process.exitCode = Exit.failed;
    return result;
  }

  #tell({ certificates, problems, renewed, kubeconfig }: CertsResult): void {
    const { report } = this;
    const width = Math.max(4, ...certificates.map(({ host }) => host.length));
    for (const { host, name, days, until } of certificates)
      report.line(`${until.slice(0, 10)}  ${`${days} d`.padStart(7)}  ${host.padEnd(width)}  ${name}`);
    for (const [host, what] of Object.entries(renewed ?? {}))
      report.say(`${host}: renewed ${what.join(", ")}`);
    if (kubeconfig) report.say(`The new kubeconfig: ${kubeconfig}`);
    for (const problem of problems) report.line(`! ${problem}`);
  }
}
