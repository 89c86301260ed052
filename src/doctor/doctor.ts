import { AirgapError } from "../errors.ts";
import { nearest } from "../schema/nearest.ts";
import { lookAtLogins, lookAtProxy, lookAtTrust } from "./access.ts";
import type { DoctorFinding, Look } from "./finding.ts";
import {
  lookAtCache,
  lookAtDisk,
  lookAtMemory,
  lookAtNode,
  lookAtSqlite,
  lookAtTemporary,
} from "./machine.ts";
import { lookAtDocker, lookAtGit, lookAtHelm, lookAtKubectl, lookAtSsh, lookAtSshKeys } from "./programs.ts";

const LOOKS: Record<string, Look> = {
  node: lookAtNode,
  sqlite: lookAtSqlite,
  memory: lookAtMemory,
  disk: lookAtDisk,
  cache: lookAtCache,
  tmp: lookAtTemporary,
  ssh: lookAtSsh,
  "ssh-key": lookAtSshKeys,
  helm: lookAtHelm,
  git: lookAtGit,
  kubectl: lookAtKubectl,
  docker: lookAtDocker,
  proxy: () => lookAtProxy(),
  logins: () => lookAtLogins(),
  trust: lookAtTrust,
};

/** What can be asked for by name. */
export const DOCTOR_NAMES: readonly string[] = Object.keys(LOOKS);

export interface DoctorResult {
  findings: DoctorFinding[];
}

/**
 * Looks at this machine alone.
 * @param names only these; all when empty
 * @throws AirgapError `usage` for a name that there is not
 */
export async function examine(names: readonly string[]): Promise<DoctorResult> {
  const looks = (names.length > 0 ? names : DOCTOR_NAMES).map((name) => {
    const look = Object.hasOwn(LOOKS, name) ? LOOKS[name] : undefined;
    if (look !== undefined) return look;
    const meant = nearest(name, DOCTOR_NAMES);
    throw new AirgapError(
      "usage",
      `doctor knows nothing called '${name}'; it knows ${DOCTOR_NAMES.join(", ")}`,
      {
        suggestions: [`airgap doctor${meant === undefined ? "" : ` ${meant}`}`],
      },
    );
  });
  return { findings: await Promise.all(looks.map((look) => look())) };
}
