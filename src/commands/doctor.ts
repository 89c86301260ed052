import { Args } from "@oclif/core";
import { BaseCommand } from "../command.ts";
import { DOCTOR_NAMES, type DoctorResult, examine } from "../doctor/doctor.ts";
import { Exit } from "../errors.ts";

export default class Doctor extends BaseCommand<DoctorResult> {
  static override summary = "Show what this machine has and lacks, and what each missing thing switches off";
  static override description =
    "Looks at Node, SQLite, memory, disks, ssh, helm, git, kubectl, Docker's engine, proxies, logins of registries and trusted keys. Asks no server and changes nothing. With names it looks at these alone, and exits with 3 unless all of them are there: for scripts.";
  static override examples = ["<%= config.bin %> doctor", "<%= config.bin %> doctor ssh helm disk"];
  static override strict = false;
  static override args = { name: Args.string({ description: `Only these: ${DOCTOR_NAMES.join(", ")}` }) };

  async run(): Promise<DoctorResult> {
    const { argv } = await this.parse(Doctor);
    const result = await examine(argv.map(String));
    for (const { name, state, found, without, remedy } of result.findings) {
      this.report.line(`${state.padEnd(7)}  ${name.padEnd(7)}  ${found}`);
      if (without !== undefined) this.report.line(`                  effect: ${without}`);
      if (remedy !== undefined) this.report.line(`                  remedy: ${remedy}`);
    }
    if (argv.length > 0 && result.findings.some(({ state }) => state !== "ok")) process.exitCode = Exit.check;
    return result;
  }
}
