import { existsSync, writeFileSync } from "node:fs";
import { AirgapError, messageOf } from "../../errors.ts";
import type { Emit } from "../../events.ts";
import { count } from "../../format.ts";
import { isRecord } from "../../oci/descriptor.ts";
import { failure } from "../../transport/registry/answer.ts";
import type { HarborApi } from "./api.ts";
import { type Asker, failedCheck } from "./errors.ts";
import { ROLE_IDS } from "./wanted.ts";

/** What a robot account is for. */
type Role = "pull" | "push";

/** A new robot account. Harbor shows its secret this once. */
export interface Robot {
  role: Role;
  /** With Harbor's prefix: `robot$site-pull`. */
  name: string;
  secret: string;
}

/** Robot accounts that were made: with their secrets, or with the file that has these. */
export type MadeRobots = { accounts: Robot[] } | { accounts: Omit<Robot, "secret">[]; file: string };

interface Access {
  resource: string;
  action: string;
}

/** The least that each needs: nodes pull; a push also reads quota, policies and immutable tags before it sends. */
const ACCESS: Record<Role, Access[]> = {
  pull: [{ resource: "repository", action: "pull" }],
  push: [
    { resource: "repository", action: "pull" },
    { resource: "repository", action: "push" },
    { resource: "project", action: "read" },
    { resource: "artifact", action: "read" },
    { resource: "quota", action: "read" },
  ],
};

/** Harbor refuses permissions that it does not know: quotas are among them since 2.10.1. */
const isOld = ({ resource }: Access): boolean => resource !== "quota";

/** Whether a user who is no administrator may make robot accounts: in one project as its administrator, or its maker. */
async function mayMakeIn(api: HarborApi, projects: string[]): Promise<boolean> {
  const [name] = projects;
  if (name === undefined || projects.length > 1) return false;
  // Who makes a project is its administrator.
  if ((await api.hasProject(name)) === false) return true;
  const project = await api.get(`projects/${encodeURIComponent(name)}`);
  const roles =
    isRecord(project) && Array.isArray(project.current_user_role_ids) ? project.current_user_role_ids : [];
  return roles.includes(ROLE_IDS["projectAdmin"]);
}

/** Makes a robot account for nodes, and one for the next push. */
export class RobotMaker {
  readonly #api: HarborApi;
  readonly #asker: Asker;
  readonly #name: string;
  readonly #projects: string[];
  readonly #level: "system" | "project";
  readonly #file: string | undefined;

  private constructor(
    api: HarborApi,
    asker: Asker,
    name: string,
    projects: string[],
    level: "system" | "project",
    file: string | undefined,
  ) {
    this.#api = api;
    this.#asker = asker;
    this.#name = name;
    this.#projects = projects;
    this.#level = level;
    this.#file = file;
  }

  /**
   * Finds out whether the accounts can be made, before anything is sent. Only administrators make
   * robot accounts for several projects.
   * @throws AirgapError `usage`, `check-failed`
   */
  static async prepare(
    api: HarborApi | undefined,
    bundle: string,
    projects: string[],
    asker: Asker,
    file: string | undefined,
  ): Promise<RobotMaker> {
    if (api === undefined)
      throw new AirgapError("usage", `${asker.host} is not a Harbor, and has no robot accounts`, {
        suggestions: ["leave out --make-robots"],
      });
    if (file !== undefined && existsSync(file))
      throw new AirgapError("usage", `${file} is there already; a new file for the secrets is expected`, {
        suggestions: ["name another file with --robots-file, or remove this one"],
      });
    const user = await api.get("users/current");
    const isAdmin = isRecord(user) && user.sysadmin_flag === true;
    if (!isAdmin && !(isRecord(user) && (await mayMakeIn(api, projects))))
      throw failedCheck(
        `${asker.user ?? "An account without a login"} may not make robot accounts at ${asker.host} for ${count(projects.length, "project")}`,
        [
          "log in as an administrator, or for one project as its administrator (projectAdmin); or leave out --make-robots",
        ],
      );
    // What Harbor takes: lower-case letters and digits, parted by one of ._-
    const name = bundle
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-|-$/g, "");
    return new RobotMaker(api, asker, name || "airgap", projects, isAdmin ? "system" : "project", file);
  }

  /** @throws RegistryError when no account could be made */
  async make(emit: Emit): Promise<MadeRobots> {
    const accounts: Robot[] = [];
    for (const role of ["pull", "push"] as const) {
      try {
        const robot = await this.#one(role);
        if (robot) accounts.push(robot);
        else emit({ type: "warning", message: this.#exists(role) });
      } catch (error) {
        if (accounts.length === 0) throw error;
        // The secret that is known already would be lost with an error.
        emit({ type: "warning", message: `The robot account for ${role} was not made: ${messageOf(error)}` });
      }
    }
    if (this.#file === undefined || accounts.length === 0) return { accounts };
    try {
      writeFileSync(this.#file, `${JSON.stringify(accounts, undefined, 2)}\n`, { mode: 0o600, flag: "wx" });
    } catch (error) {
      // Harbor has shown the secrets; they must not be lost.
      emit({
        type: "warning",
        message: `${this.#file} cannot be written, so the secrets are printed: ${messageOf(error)}`,
      });
      return { accounts };
    }
    return { accounts: accounts.map(({ role, name }) => ({ role, name })), file: this.#file };
  }

  /** @returns undefined when there is an account of this name */
  async #one(role: Role, access = ACCESS[role]): Promise<Robot | undefined> {
    const response = await this.#api.send("robots", {
      method: "POST",
      body: {
        name: `${this.#name}-${role}`,
        description: `Made by airgap push, to ${role} images`,
        level: this.#level,
        duration: -1,
        disable: false,
        permissions: this.#projects.map((namespace) => ({
          kind: "project",
          namespace,
          access,
        })),
      },
    });
    if (response.status === 409) {
      await response.discard();
      return undefined;
    }
    if (response.status === 400 && !access.every(isOld)) {
      await response.discard();
      return await this.#one(role, access.filter(isOld));
    }
    const what = `the robot account ${this.#name}-${role}`;
    if (response.status !== 201) throw await failure(response, what, this.#asker.host);
    const value = await response.json(64 * 1024);
    if (!isRecord(value) || typeof value.name !== "string" || typeof value.secret !== "string")
      throw new AirgapError("protocol", `${this.#asker.host} made ${what}, but did not show its secret`, {
        suggestions: [`refresh its secret in Harbor: ${this.#page}`],
      });
    return { role, name: value.name, secret: value.secret };
  }

  get #page(): string {
    return this.#level === "system"
      ? "Administration, Robot Accounts"
      : `project ${this.#projects[0]}, Robot Accounts`;
  }

  #exists(role: Role): string {
    return `${this.#asker.host} has a robot account ${this.#name}-${role} already, and shows its secret only once: refresh it there, or remove the account and run the command again (${this.#page})`;
  }
}
