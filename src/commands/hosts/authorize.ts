import { Args, Flags } from "@oclif/core";
import { names } from "../../cluster/flags.ts";
import { ClusterCommand } from "../../cluster-command.ts";
import { withEnv } from "../../command.ts";
import { type AuthorizeResult, authorize } from "../../install/authorize.ts";

export default class HostsAuthorize extends ClusterCommand<AuthorizeResult> {
  static override summary = "Install a key on hosts after a first login by password";
  static override description =
    "The key is the cluster file's `ssh.identityFile`, made when it is not there, else the first of ~/.ssh. Proves that it lets one in.";
  static override examples = ["AIRGAP_SSH_PASSWORD=… <%= config.bin %> hosts authorize cluster.yaml"];
  static override args = { cluster: Args.string({ description: "The cluster file (YAML)", required: true }) };
  static override flags = withEnv({
    hosts: Flags.string({ description: "Only these hosts, with commas between them", helpValue: "NAME,…" }),
  });

  async run(): Promise<AuthorizeResult> {
    const { args, flags } = await this.parse(HostsAuthorize);
    const result = await authorize({
      clusterFile: args.cluster,
      ...(flags.hosts ? { hosts: names(flags.hosts) } : {}),
      confirm: this.hostKeys(flags),
      signal: this.signal,
    });
    this.report.end();
    for (const { host, user, state, key } of result.hosts)
      this.report.line(
        `${host}: ${key} ${state === "present" ? "was there already" : "is installed"} for ${user}`,
      );
    this.report.say("Next: take `passwordEnv` out of the cluster file, if you like");
    return result;
  }
}
