import { Flags } from "@oclif/core";
import { type Confirm, confirmHostKey } from "./cluster/flags.ts";
import { BaseCommand, withEnv } from "./command.ts";

/** Flags of whatever installs on hosts. */
export const installFlags = {
  patience: Flags.integer({
    description: "How long to wait for a host that is unreachable or rebooting",
    min: 0,
    default: 180,
    helpValue: "SECONDS",
  }),
  parallel: Flags.integer({
    description: "Hosts to work on at a time",
    min: 1,
    default: 50,
    helpValue: "N",
  }),
  "ignore-check": Flags.string({
    description: "Continue even if this check fails",
    multiple: true,
    multipleNonGreedy: true,
    helpValue: "NAME",
    default: [],
  }),
};

/** The base of all commands that connect to the hosts of a cluster file. */
export abstract class ClusterCommand<Result> extends BaseCommand<Result> {
  static override baseFlags = {
    ...BaseCommand.baseFlags,
    ...withEnv({
      "accept-new-host-keys": Flags.boolean({
        description:
          "Accept the SSH host keys of hosts that ssh does not know yet, print their fingerprints and record them. Without this flag airgap asks about each key; --yes does not answer that question",
      }),
    }),
  };

  /** Decides about host keys as the flags say. */
  protected hostKeys(flags: { "accept-new-host-keys": boolean }): Confirm {
    return confirmHostKey({
      acceptNew: flags["accept-new-host-keys"],
      ask: (question) => this.ask(question),
      emit: this.emit,
    });
  }
}
