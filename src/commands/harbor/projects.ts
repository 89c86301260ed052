import { text } from "node:stream/consumers";
import { Args, Flags } from "@oclif/core";
import { BaseCommand, withEnv } from "../../command.ts";
import { listProjects } from "../../site/harbor/configure.ts";
import { parseWanted } from "../../site/harbor/wanted.ts";

export interface HarborProjectList {
  host: string;
  projects: string[];
}

export default class HarborProjects extends BaseCommand<HarborProjectList> {
  static override summary = "List the projects of a Harbor, one a line";
  static override description =
    "Lists what the login may see: all projects for an administrator. Uses the login of docker login; with --login, the one of the input of airgap harbor configure.";
  static override examples = ["<%= config.bin %> harbor projects harbor.site.local"];
  static override args = { host: Args.string({ description: "host[:port]", required: true }) };
  static override flags = withEnv({
    login: Flags.boolean({ description: "Read the login from standard input" }),
    insecure: Flags.boolean({ description: "Allow plain http, and https without a certificate check" }),
    "ca-file": Flags.string({
      description: "PEM file of the authority that signed Harbor's certificate",
      helpValue: "FILE",
    }),
  });

  async run(): Promise<HarborProjectList> {
    const { args, flags } = await this.parse(HarborProjects);
    const input = flags.login
      ? parseWanted(await text(process.stdin), "The input of airgap harbor projects")
      : {};
    const found = await listProjects({
      host: args.host,
      insecure: flags.insecure,
      ...(input.login ? { login: input.login } : {}),
      ...(flags["ca-file"] === undefined ? {} : { caFile: flags["ca-file"] }),
      emit: this.emit,
      signal: this.signal,
    });
    this.report.end();
    for (const name of found) this.report.line(name);
    return { host: args.host, projects: found };
  }
}
