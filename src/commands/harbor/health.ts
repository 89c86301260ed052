import { Args, Flags } from "@oclif/core";
import { BaseCommand, withEnv } from "../../command.ts";
import { Exit } from "../../errors.ts";
import { type HarborHealth as Health, harborHealth } from "../../site/harbor/configure.ts";

export default class HarborHealth extends BaseCommand<Health> {
  static override summary = "Print the health of a Harbor, one component a line";
  static override description =
    "Needs no login. Exits with 1 when a component is not healthy. For one that airgap installed, airgap status shows the same.";
  static override examples = ["<%= config.bin %> harbor health harbor.site.local"];
  static override args = { host: Args.string({ description: "host[:port]", required: true }) };
  static override flags = withEnv({
    insecure: Flags.boolean({ description: "Allow plain http, and https without a certificate check" }),
    "ca-file": Flags.string({
      description: "PEM file of the authority that signed Harbor's certificate",
      helpValue: "FILE",
    }),
  });

  async run(): Promise<Health> {
    const { args, flags } = await this.parse(HarborHealth);
    const health = await harborHealth({
      host: args.host,
      insecure: flags.insecure,
      ...(flags["ca-file"] === undefined ? {} : { caFile: flags["ca-file"] }),
      emit: this.emit,
      signal: this.signal,
    });
    this.report.end();
    for (const { name, healthy, error } of health.components)
      this.report.line(`${name} ${healthy ? "healthy" : "unhealthy"}${error ? `: ${error}` : ""}`);
    if (!health.healthy) process.exitCode = Exit.failed;
    return health;
  }
}
