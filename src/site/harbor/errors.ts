import { AirgapError, type ErrorCode, isAirgapError } from "../../errors.ts";
import { RegistryError } from "../../transport/registry/answer.ts";

/** Who pushes, and by which command: what suggestions are made of. */
export interface PushWords {
  host: string;
  /** Where its API is: `https://harbor.site.local`. */
  url: string;
  /** The bundle as it was named. */
  bundle: string;
  /** The target as it was named. */
  target: string;
  /** As whom; undefined for nobody. */
  user?: string;
}

/** Quotes a word for a POSIX shell where it needs that: `robot$site+ci` would lose a part of itself. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

export const pushCommand = ({ bundle, target }: PushWords, flags = ""): string =>
  `airgap push ${shellWord(bundle)} ${shellWord(target)}${flags === "" ? "" : ` ${flags}`}`;

export function missingProjects(names: string[], words: PushWords): AirgapError {
  const list = names.map((name) => `'${name}'`).join(", ");
  return new AirgapError(
    "check-failed",
    `${words.host} has no ${names.length === 1 ? `project ${list}` : `projects ${list}`}; nothing was sent`,
    {
      suggestions: [
        pushCommand(words, "--create-projects private"),
        ...names.map((name) => createCommand(name, words.user ?? "admin", words)),
      ],
      data: { missingProjects: names },
    },
  );
}

/** @param cause Harbor's refusal to make a project */
export function noProjectRight(name: string, words: PushWords, cause: RegistryError): AirgapError {
  const who = words.user ?? "anybody without a login";
  return new AirgapError(
    "unauthorized",
    `${words.host} does not let ${who} make the project '${name}': ${cause.message}`,
    {
      cause,
      suggestions: [createCommand(name, "admin", words), `and then again: ${pushCommand(words)}`],
    },
  );
}

const createCommand = (name: string, user: string, { url }: PushWords): string =>
  `curl -u ${shellWord(user)} -H 'content-type: application/json' -d '{"project_name":"${name}"}' ${url}/api/v2.0/projects`;

export function noPushRight(project: string, words: PushWords): AirgapError {
  const who = words.user === undefined ? "Without a login nobody" : `${words.user} is known, but`;
  const message = `${who} may ${words.user === undefined ? "" : "not "}push to project '${project}' of ${words.host}`;
  return new AirgapError("unauthorized", message, {
    suggestions: [
      `docker login ${words.host}`,
      ...(words.user === undefined
        ? []
        : [
            `have an administrator give ${words.user} the right to push repositories in project ${project} (developer or higher; for a robot account: push and pull)`,
          ]),
    ],
  });
}

interface Explanation {
  matches(error: RegistryError, said: string): boolean;
  code: ErrorCode;
  say(said: string, words: PushWords): string;
  suggestions(words: PushWords): string[];
}

const again = (words: PushWords): string => `and then again: ${pushCommand(words)}`;

/** What Harbor means by what it answers. */
const EXPLANATIONS: Explanation[] = [
  {
    matches: ({ status }, said) => status === 401 && /project .* not found/i.test(said),
    code: "unauthorized",
    say: (said, { host }) => `${host} has no such project, which it tells by a 401 (${said})`,
    suggestions: (words) => [pushCommand(words, "--create-projects private")],
  },
  {
    matches: ({ status }) => status === 401,
    code: "unauthorized",
    say: (said, { host, user }) =>
      `${host} does not let ${user ?? "anybody without a login"} do that${said === "" ? "" : ` (${said})`}: an account that may only pull gets no other answer`,
    suggestions: ({ host, user }) => [
      `docker login ${host}`,
      ...(user === undefined ? [] : [`have an administrator give ${user} the right to push to the project`]),
    ],
  },
  {
    matches: ({ status }, said) => status === 403 && /exceed the configured upper limit/i.test(said),
    code: "refused",
    say: (said) => `The project's quota is used up: ${said}`,
    suggestions: (words) => ["have an administrator raise it: Administration, Project Quotas", again(words)],
  },
  {
    matches: ({ status }, said) => status === 403 && /proxy project/i.test(said),
    code: "refused",
    say: () => "The project is a proxy cache, to which nobody can push",
    suggestions: (words) => [
      `push to another project: ${pushCommand({ ...words, target: `${words.host}/PROJECT` })}`,
    ],
  },
  {
    matches: ({ status }, said) => status === 403 && /read.only/i.test(said),
    code: "refused",
    say: (_, { host }) => `${host} is in read-only mode`,
    suggestions: (words) => [
      "have an administrator end it: Administration, Configuration, System Settings, Repository Read Only",
      again(words),
    ],
  },
  {
    matches: ({ status }) => status === 412,
    code: "refused",
    say: (said) =>
      `The tag is immutable in its project and means another image already${said === "" ? "" : ` (${said})`}`,
    suggestions: (words) => [
      "give the image another tag",
      `or land it elsewhere: ${pushCommand(words, "--map 'FROM=TO'")}`,
    ],
  },
  {
    matches: ({ status }) => status === 413,
    code: "refused",
    say: (said, { host }) =>
      `${host}, or a proxy before it, takes no request as large as this${said === "" ? "" : ` (${said})`}; Harbor's own limit for a manifest is 4 MiB`,
    suggestions: (words) => [
      "raise the limit for request bodies at the proxy (nginx: client_max_body_size 0)",
      again(words),
    ],
  },
];

/** An error of Harbor's in words that say what to do; other errors as they are. */
export function explain(error: unknown, words: PushWords): unknown {
  if (!(error instanceof RegistryError)) return error;
  const said = error.problems.map(({ message, code }) => message || code).join("; ");
  const found = EXPLANATIONS.find(({ matches }) => matches(error, said));
  if (found === undefined) return error;
  const { code, say, suggestions } = found;
  return new AirgapError(code, `${say(said, words)}: ${error.message}`, {
    cause: error,
    suggestions: suggestions(words),
    ...(error.data ? { data: error.data } : {}),
  });
}

/** Whether an error says that a project is not there. */
export function saysMissingProject(error: unknown): boolean {
  return (
    isAirgapError(error) &&
    error instanceof RegistryError &&
    error.problems.some(({ message }) => /project .* not found/i.test(message))
  );
}
