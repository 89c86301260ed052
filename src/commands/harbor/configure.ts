import { text } from "node:stream/consumers";
import { Args, Flags } from "@oclif/core";
import { BaseCommand, withEnv } from "../../command.ts";
import { Exit } from "../../errors.ts";
import { type ConfigureResult, configureHarbor } from "../../site/harbor/configure.ts";
import { parseWanted } from "../../site/harbor/wanted.ts";

export default class HarborConfigure extends BaseCommand<ConfigureResult> {
  static override summary = "Give a Harbor its projects, users and roles";
  static override description =
    "Reads from standard input, as JSON, what Harbor must have, and makes what is missing. Projects, users and roles that it has beyond them stay; users keep their passwords. airgap install calls this on the host that serves the bundle. docs/harbor.md shows the input.";
  static override examples = [
    "<%= config.bin %> harbor configure harbor.site.local < harbor.json",
    "<%= config.bin %> harbor configure harbor.site.local --check < harbor.json",
  ];
  static override args = { host: Args.string({ description: "host[:port]", required: true }) };
  static override flags = withEnv({
    check: Flags.boolean({
      description: "Print what differs and change nothing; exit with 3 if anything does",
    }),
    insecure: Flags.boolean({ description: "Allow plain http, and https without a certificate check" }),
    "ca-file": Flags.string({
      description: "PEM file of the authority that signed Harbor's certificate",
      helpValue: "FILE",
    }),
  });

  async run(): Promise<ConfigureResult> {
    const { args, flags } = await this.parse(HarborConfigure);
    const wanted = parseWanted(await text(process.stdin), "The input of airgap harbor configure");
    const result = await configureHarbor(wanted, {
      host: args.host,
      check: flags.check,
      insecure: flags.insecure,
      ...(wanted.login ? { login: wanted.login } : {}),
      ...(flags["ca-file"] === undefined ? {} : { caFile: flags["ca-file"] }),
      emit: this.emit,
      signal: this.signal,
    });
    this.report.end();
    for (const change of result.changes) this.report.line(`${flags.check ? "differs" : "made"}: ${change}`);
    if (result.changes.length === 0) this.report.say(`${args.host} has everything`);
    if (flags.check && result.changes.length > 0) process.exitCode = Exit.check;
    return result;
  }
}
