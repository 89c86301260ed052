import { Args, Flags } from "@oclif/core";
import { names } from "../../cluster/flags.ts";
import { ClusterCommand } from "../../cluster-command.ts";
import { withEnv } from "../../command.ts";
import { type AuthorizeResult, authorize } from "../../install/authorize.ts";

export default class HostsAuthorize extends ClusterCommand<AuthorizeResult> {
  static override summary = "Install an SSH key on the hosts, after one login with a password";
  static override description =
    "Uses the cluster file's `ssh.identityFile` and creates it if it does not exist; without that setting, the first key in ~/.ssh. Then logs in with the key to prove that it works.";
  static override examples = ["AIRGAP_SSH_PASSWORD=… <%= config.bin %> hosts authorize cluster.yaml"];
  static override args = { cluster: Args.string({ description: "The cluster file (YAML)", required: true }) };
  static override flags = withEnv({
    hosts: Flags.string({ description: "Only these hosts (comma-separated)", helpValue: "NAME,…" }),
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
        `${host}: ${key} ${state === "present" ? "was already installed" : "is now installed"} for ${user}`,
      );
    this.report.say("Next: you can remove `passwordEnv` from the cluster file");
    return result;
  }
}
