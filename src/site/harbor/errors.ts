import { AirgapError, type ErrorCode, Exit } from "../../errors.ts";
import { quote } from "../../host/host.ts";
import { RegistryError } from "../../transport/registry/answer.ts";

/** Who asks a Harbor, and with which command: suggestions are made of it. */
export interface Asker {
  host: string;
  /** Where its API is: `https://harbor.site.local`. */
  url: string;
  /** Undefined without a login. */
  user?: string;
  /** The command with all its options, ready to be typed again. */
  command: string;
  /** Whether `--create-projects` and `--map` are options of the command. */
  makesProjects: boolean;
}

const again = ({ command }: Asker): string => `then run the same command again: ${command}`;
const login = ({ host, user }: Asker): string =>
  `docker login ${host}${user === undefined ? "" : ` -u ${quote(user)}`}`;
const createOption = ({ command, makesProjects }: Asker): string[] =>
  makesProjects ? [`${command} --create-projects private`] : [];
const mapOption = ({ command, makesProjects }: Asker): string =>
  makesProjects ? `or give it another name: ${command} --map 'FROM=TO'` : "or choose another name for it";
const createByHand = (name: string, user: string, { url }: Asker): string =>
  `curl -u ${quote(user)} -H 'content-type: application/json' -d '{"project_name":"${name}"}' ${url}/api/v2.0/projects`;

/** A check that failed before anything was sent. */
export const failedCheck = (message: string, suggestions: string[]): AirgapError =>
  new AirgapError("check-failed", message, { suggestions });

const noRight = (message: string, suggestions: string[], cause?: unknown): AirgapError =>
  new AirgapError("unauthorized", message, {
    suggestions,
    exit: Exit.check,
    ...(cause === undefined ? {} : { cause }),
  });

/** The error for a name and password that a Harbor does not know; it was asked once, as failed logins lock accounts. */
export function wrongLogin(asker: Omit<Asker, "command" | "makesProjects" | "url">): AirgapError {
  const { host, user = "" } = asker;
  return noRight(
    `${host} does not accept the login of ${user}: the password (of a robot account: the secret) is wrong, or the account has expired, is disabled or is locked`,
    [
      `docker login ${host} -u ${quote(user)}`,
      "for a robot account: see Administration, Robot Accounts, or Robot Accounts in the project, whether it is enabled and not expired",
    ],
  );
}

/** Who may be asked to make a project: a robot account would get no right in it. */
const makerOf = ({ user = "admin" }: Asker): string => (user.startsWith("robot$") ? "admin" : user);

export function missingProjects(names: string[], asker: Asker): AirgapError {
  const list = names.map((name) => `'${name}'`).join(", ");
  return new AirgapError(
    "check-failed",
    `${asker.host} has no ${names.length === 1 ? `project ${list}` : `projects ${list}`}; nothing was sent`,
    {
      suggestions: [
        ...createOption(asker),
        ...names.map((name) => createByHand(name, makerOf(asker), asker)),
      ],
      data: { missingProjects: names },
    },
  );
}

/** @param cause Harbor's refusal to make a project */
export function noProjectRight(name: string, asker: Asker, cause: RegistryError): AirgapError {
  const who = asker.user ?? "anybody without a login";
  return noRight(
    `${asker.host} does not let ${who} make the project '${name}': ${cause.message}`,
    [createByHand(name, "admin", asker), again(asker)],
    cause,
  );
}

/** A robot account may make a project, and has no right in it. */
export function noRightInNewProject(name: string, asker: Asker): AirgapError {
  return new AirgapError(
    "unauthorized",
    `${asker.host} let ${asker.user} make the project '${name}', but not push to it: a robot account gets no right in the projects that it makes. The project stays there, empty`,
    {
      suggestions: [
        `have an administrator give ${asker.user} push and pull in project ${name}, or log in as a user: docker login ${asker.host}`,
        again(asker),
      ],
      exit: Exit.check,
      data: { madeProjects: [name] },
    },
  );
}

export function noPushRight(project: string, asker: Asker): AirgapError {
  const { host, user } = asker;
  const message =
    user === undefined
      ? `Without a login nobody may push to project '${project}' of ${host}`
      : `${user} may not push to project '${project}' of ${host}`;
  return noRight(
    message,
    user === undefined
      ? [login(asker)]
      : [
          `have an administrator give ${user} the right to push repositories in project ${project} (developer or higher; for a robot account: push and pull)`,
          `or log in as somebody else: docker login ${host}`,
        ],
  );
}

const violatesPolicy = ({ status, problems }: RegistryError): boolean =>
  status === 412 && problems.some(({ code }) => code === "PROJECTPOLICYVIOLATION");

/**
 * Whether a Harbor has the manifest that it was asked for, and a policy of the project keeps it from
 * being pulled. The answer to a HEAD has no code.
 */
export const isWithheld = (error: unknown): error is RegistryError =>
  error instanceof RegistryError &&
  (violatesPolicy(error) || (error.status === 412 && error.problems.length === 0));

/** Whether a registry refuses to give a tag to another image. */
export const isImmutableTag = (error: RegistryError): boolean =>
  error.status === 412 && error.problems.some(({ code }) => /^PRECONDITION/.test(code));

interface Explanation {
  matches(error: RegistryError, said: string): boolean;
  code: ErrorCode;
  say(said: string, asker: Asker): string;
  suggestions(asker: Asker): string[];
}

/** What Harbor means by what it answers. */
const EXPLANATIONS: Explanation[] = [
  {
    matches: ({ status }, said) => status === 401 && /project .* not found/i.test(said),
    code: "unauthorized",
    say: (said, { host }) => `${host} has no such project, which it tells by a 401 (${said})`,
    suggestions: (asker) => [
      ...createOption(asker),
      "or create the project in Harbor: Projects, New Project",
    ],
  },
  {
    matches: ({ status }) => status === 401,
    code: "unauthorized",
    say: (said, { host, user }) =>
      `${host} does not let ${user ?? "anybody without a login"} do that${parenthesis(said)}: an account that may only pull gets the same answer`,
    suggestions: (asker) => [
      login(asker),
      ...(asker.user === undefined
        ? []
        : [`have an administrator give ${asker.user} the right to push to the project`]),
    ],
  },
  {
    matches: ({ status }, said) => status === 403 && /exceed the configured upper limit/i.test(said),
    code: "refused",
    say: (said) => `the quota of the project is used up (${withoutDot(said)})`,
    suggestions: (asker) => ["have an administrator raise it: Administration, Project Quotas", again(asker)],
  },
  {
    matches: ({ status }, said) => status === 403 && /proxy project/i.test(said),
    code: "refused",
    say: () => "the project is a proxy cache, and nobody can push to it",
    suggestions: (asker) => ["choose another project", mapOption(asker)],
  },
  {
    matches: ({ status }, said) => status === 403 && /read.only/i.test(said),
    code: "refused",
    say: (_, { host }) => `${host} is in read-only mode`,
    suggestions: (asker) => [
      "have an administrator end it: Administration, Configuration, System Settings, Repository Read Only",
      again(asker),
    ],
  },
  {
    matches: isImmutableTag,
    code: "refused",
    say: (said) => `the tag is immutable in its project and has another image already${parenthesis(said)}`,
    suggestions: (asker) => ["give the image another tag", mapOption(asker)],
  },
  {
    matches: violatesPolicy,
    code: "refused",
    say: (said) => `a policy of the project keeps the image from being pulled${parenthesis(said)}`,
    suggestions: () => [
      "sign the image, have it scanned, or have the policy of the project changed: Configuration, Deployment security",
    ],
  },
  {
    matches: ({ status }) => status === 413,
    code: "refused",
    say: (said, { host }) =>
      `${host}, or a proxy before it, refuses a request of this size${parenthesis(said)}; Harbor's own limit for a manifest is 4 MiB`,
    suggestions: (asker) => [
      "raise the limit for request bodies at the proxy (nginx: client_max_body_size 0)",
      again(asker),
    ],
  },
];

const withoutDot = (said: string): string => said.replace(/\.$/, "");
const parenthesis = (said: string): string => (said === "" ? "" : ` (${withoutDot(said)})`);

/** Harbor says some things twice: `unauthorized: unauthorized`. */
const once = (said: string): string => {
  const half = said.slice(0, (said.length - 2) / 2);
  return half !== "" && said === `${half}: ${half}` ? half : said;
};

/** What a Harbor says in its answer. */
export const wordsOf = ({ problems }: RegistryError): string =>
  problems.map(({ message, code }) => once(message) || code).join("; ");

/** An error of this Harbor's in words that say what to do; other errors as they are. */
export function explain(error: unknown, asker: Asker): unknown {
  if (!(error instanceof RegistryError) || error.host !== asker.host) return error;
  const said = wordsOf(error);
  const found = EXPLANATIONS.find(({ matches }) => matches(error, said));
  if (found === undefined) return error;
  const { code, say, suggestions } = found;
  return new AirgapError(code, `${error.what}: ${say(said, asker)}`, {
    cause: new Error(`HTTP ${error.status}`),
    suggestions: suggestions(asker),
    ...(error.data ? { data: error.data } : {}),
  });
}

/** Whether an error says that a project is not there. */
export function saysMissingProject(error: unknown): boolean {
  return (
    error instanceof RegistryError &&
    error.problems.some(({ message }) => /project .* not found/i.test(message))
  );
}
