import { Flags } from "@oclif/core";
import { type Confirm, confirmHostKey } from "./cluster/flags.ts";
import { BaseCommand, withEnv } from "./command.ts";

/** What all commands share that connect to the hosts of a cluster file. */
export abstract class ClusterCommand<Result> extends BaseCommand<Result> {
  static override baseFlags = {
    ...BaseCommand.baseFlags,
    ...withEnv({
      "accept-new-host-keys": Flags.boolean({
        description:
          "Accept the SSH host keys of hosts that ssh does not know yet, print their fingerprints and record them. Without it each is asked about; --yes does not answer that",
      }),
    }),
  };

  /** Decides about host keys, as the flags say. */
  protected hostKeys(flags: { "accept-new-host-keys": boolean }): Confirm {
    return confirmHostKey({
      acceptNew: flags["accept-new-host-keys"],
      ask: (question) => this.ask(question),
      emit: this.emit,
    });
  }
}
