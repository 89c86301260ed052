import type { ClusterHost } from "../../cluster/cluster.ts";
import { fillShipped } from "../../host/shipped.ts";
import { call } from "../../plan/shell.ts";
import { fileStep, type Step } from "../../plan/step.ts";
import type { Context } from "../context.ts";

/** Where the timer puts backups. `reset` leaves them. */
export const BACKUPS = "/var/backups/airgap";
const SCRIPT = "/etc/airgap/backup/run.sh";
const UNIT = "airgap-backup";

/** The first control plane of the file makes backups by a timer, where the cluster file asks for it. */
export function backupSteps({ cluster, planes }: Context, host: ClusterHost): Step[] {
  const { backup, name, kubernetes } = cluster;
  if (backup === undefined || host.name !== planes[0]?.name) return [];
  const args = [SCRIPT, BACKUPS, backup.keep, host.name, "stacked", name, kubernetes.version] as const;
  return [
    {
      id: "backup-script",
      title: `Backups go to ${BACKUPS}; the newest ${backup.keep} stay`,
      check: call("backup_script_is", ...args),
      apply: call("put_backup_script", ...args),
      undo: call("give_back", SCRIPT),
    },
    fileStep({
      id: "backup-unit",
      title: "Making a backup is a service",
      path: `/etc/systemd/system/${UNIT}.service`,
      content: fillShipped(`systemd/${UNIT}.service`, {}),
    }),
    fileStep({
      id: "backup-timer-unit",
      title: `A backup is made every ${backup.every}`,
      path: `/etc/systemd/system/${UNIT}.timer`,
      content: fillShipped(`systemd/${UNIT}.timer`, { EVERY: backup.every }),
      after: [call("systemctl", "daemon-reload"), call("systemctl", "try-restart", `${UNIT}.timer`)].join(
        "\n",
      ),
      undone: call("systemctl", "daemon-reload"),
    }),
    {
      id: "backup-timer",
      title: "The timer runs",
      check: call("systemctl", "is-active", "--quiet", `${UNIT}.timer`),
      apply: [call("systemctl", "daemon-reload"), call("systemctl", "enable", "--now", `${UNIT}.timer`)].join(
        "\n",
      ),
      undo: call("disable_services", `${UNIT}.timer`),
    },
  ];
}
