import { Cursor, listOf, mapOf, object, type Shape } from "../../lock/shape.ts";

/** What a Harbor must have, as the standard input of `airgap harbor configure` says it. */
export interface WantedHarbor {
  /** Without it the machine's own login is used. */
  login?: {
    user: string;
    password: string;
    /** The password with which a new Harbor starts: it is replaced by `password`. */
    initial?: string;
  };
  projects?: { name: string; public: boolean; quota?: string }[];
  users?: {
    name: string;
    email: string;
    /** For a user that is made; one that is there keeps its own. */
    password?: string;
    /** Roles by project. */
    projects: Record<string, string>;
  }[];
}

/** Harbor's numbers of roles. https://github.com/goharbor/harbor/blob/main/src/common/const.go */
export const ROLE_IDS: Record<string, number> = {
  projectAdmin: 1,
  developer: 2,
  guest: 3,
  maintainer: 4,
  limitedGuest: 5,
};

const text: Shape<string> = (value, at) =>
  typeof value === "string" && value !== "" && value.length <= 1024 ? value : at.fail("is not a text");
const boolean: Shape<boolean> = (value, at) =>
  typeof value === "boolean" ? value : at.fail("is not true or false");
const role: Shape<string> = (value, at) =>
  typeof value === "string" && Object.hasOwn(ROLE_IDS, value) ? value : at.fail("is not a role of Harbor");

const shape = object<WantedHarbor>(
  {},
  {
    login: object({ user: text, password: text }, { initial: text }),
    projects: listOf(object({ name: text, public: boolean }, { quota: text })),
    users: listOf(object({ name: text, email: text, projects: mapOf(text, role) }, { password: text })),
  },
);

/** @param what names the input in messages @throws AirgapError `corrupt`; a message holds no value of the input */
export function parseWanted(input: string, what: string): WantedHarbor {
  const at = new Cursor(what);
  let value: unknown;
  try {
    value = JSON.parse(input);
  } catch {
    return at.fail("is not JSON");
  }
  return shape(value, at);
}
