import { AirgapError } from "../../errors.ts";
import { isRecord } from "../../oci/descriptor.ts";
import { failure } from "../../transport/registry/answer.ts";
import type { HarborApi } from "./api.ts";
import { ROLE_IDS, type WantedHarbor } from "./wanted.ts";

type WantedUser = NonNullable<WantedHarbor["users"]>[number];

/** Answers on one page; Harbor gives at most a hundred. */
const PAGE = 100;

/** All entries of a list that Harbor gives in pages. */
export async function pages(api: HarborApi, path: string): Promise<Record<string, unknown>[]> {
  const found: Record<string, unknown>[] = [];
  const more = path.includes("?") ? "&" : "?";
  for (let page = 1; ; page++) {
    const value = await api.get(`${path}${more}page=${page}&page_size=${PAGE}`);
    const entries = Array.isArray(value) ? value.filter(isRecord) : [];
    found.push(...entries);
    if (entries.length < PAGE) return found;
  }
}

async function change(
  api: HarborApi,
  method: "POST" | "PUT",
  path: string,
  body: unknown,
  what: string,
): Promise<void> {
  const response = await api.send(path, { method, body });
  if (![200, 201, 409].includes(response.status)) throw await failure(response, what, api.client.host);
  await response.discard();
}

/** Sets an account's own password. @throws RegistryError */
export async function replacePassword(api: HarborApi, from: string, to: string): Promise<void> {
  const user = await api.get("users/current");
  const id = isRecord(user) ? user.user_id : undefined;
  await change(
    api,
    "PUT",
    `users/${String(id)}/password`,
    { old_password: from, new_password: to },
    "the password",
  );
}

/** One difference, and how it is put right. */
export interface Difference {
  /** `user ci`: what differs. */
  what: string;
  /** @throws RegistryError */
  settle(): Promise<void>;
}

async function userDifference(api: HarborApi, { name, email, password }: WantedUser): Promise<Difference[]> {
  if (await hasUser(api, name)) return [];
  const what = `user ${name}`;
  const body = { username: name, email, realname: name, password, comment: "made by airgap" };
  return [{ what, settle: () => makeUser(api, body, what) }];
}

async function hasUser(api: HarborApi, name: string): Promise<boolean> {
  const found = await pages(api, `users/search?username=${encodeURIComponent(name)}`);
  return found.some((user) => user.username === name);
}

/** Harbor says 409 for a name that is there, which is fine, and for an address that another user has, which is not. */
async function makeUser(
  api: HarborApi,
  body: { username: string; email: string },
  what: string,
): Promise<void> {
  const response = await api.send("users", { method: "POST", body });
  if (response.status === 409 && !(await hasUser(api, body.username))) {
    await response.discard();
    throw new AirgapError(
      "conflict",
      `${what} was not made: ${api.client.host} has another user with the address ${body.email}`,
      { suggestions: ["give each user an `email` of its own"] },
    );
  }
  if (response.status !== 201 && response.status !== 409)
    throw await failure(response, what, api.client.host);
  await response.discard();
}

/** A user's role in a project is set; roles that somebody else gave in other projects stay. */
async function roleDifference(
  api: HarborApi,
  user: string,
  project: string,
  role: string,
): Promise<Difference[]> {
  const path = `projects/${encodeURIComponent(project)}/members`;
  const members = await pages(api, `${path}?entityname=${encodeURIComponent(user)}`);
  const member = members.find((each) => each.entity_name === user && each.entity_type === "u");
  const wanted = ROLE_IDS[role];
  if (member?.role_id === wanted) return [];
  const what = `${role} ${user} of project ${project}`;
  const settle = (): Promise<void> =>
    member === undefined
      ? change(api, "POST", path, { role_id: wanted, member_user: { username: user } }, what)
      : change(api, "PUT", `${path}/${String(member.id)}`, { role_id: wanted }, what);
  return [{ what, settle }];
}

/** Users that are missing; those that are there keep their password and address. */
export async function missingUsers(api: HarborApi, users: WantedUser[]): Promise<Difference[]> {
  return (await Promise.all(users.map((user) => userDifference(api, user)))).flat();
}

export async function missingRoles(api: HarborApi, users: WantedUser[]): Promise<Difference[]> {
  const roles = users.flatMap(({ name, projects }) =>
    Object.entries(projects).map(([project, role]) => roleDifference(api, name, project, role)),
  );
  return (await Promise.all(roles)).flat();
}
