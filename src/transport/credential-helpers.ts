import { AirgapError } from "../errors.ts";
import { isRecord } from "../oci/descriptor.ts";
import type { Credential } from "./credential.ts";

/**
 * Runs `docker-credential-NAME get`; passed in, since only src/host starts processes.
 * Rejects when the program cannot be started.
 */
export type RunHelper = (
  command: string,
  args: string[],
  options: { input: string; timeoutMs: number },
) => Promise<{ code: number | null; stdout: string; stderr: string }>;

/** What to ask a helper. */
export interface HelperQuestion {
  /** The helper's name in config.json: `ecr-login`, `pass`. */
  name: string;
  /** The server, as Docker calls it. */
  server: string;
  /** The file that names the helper; for messages. */
  file: string;
  /** Named for exactly this host: if the helper fails, that is an error. */
  needed: boolean;
}

const TIMEOUT_MS = 60_000;
/** The user name that marks the secret as an identity token. docker/docker-credential-helpers, README "Development". */
const TOKEN_USER = "<token>";

function readAnswer(stdout: string): Credential | undefined {
  let value: unknown;
  try {
    value = JSON.parse(stdout);
  } catch {
    return undefined;
  }
  if (!isRecord(value) || typeof value.Username !== "string" || typeof value.Secret !== "string")
    return undefined;
  if (value.Username === TOKEN_USER) return { identityToken: value.Secret };
  return value.Username === "" ? undefined : { username: value.Username, password: value.Secret };
}

/**
 * Asks one of Docker's credential helpers: the server on stdin, JSON on stdout. A helper that does
 * not know the server exits with 1 and says so.
 * https://github.com/docker/docker-credential-helpers#development
 * @throws AirgapError `environment` when a helper that is named for the host does not work
 */
export async function askHelper(question: HelperQuestion, run: RunHelper): Promise<Credential | undefined> {
  const command = `docker-credential-${question.name}`;
  const fail = (why: string, cause?: unknown): undefined => {
    if (!question.needed) return undefined;
    throw new AirgapError(
      "environment",
      `${command}, which ${question.file} names for ${question.server}, ${why}`,
      {
        cause,
        suggestions: [`echo ${question.server} | ${command} get`],
      },
    );
  };
  if (!/^[\w.-]+$/.test(question.name)) return fail("is not a program's name");
  const answer = await run(command, ["get"], { input: question.server, timeoutMs: TIMEOUT_MS }).catch(
    (cause: unknown) => cause as Error,
  );
  if (answer instanceof Error) return fail("could not be run", answer);
  const text = `${answer.stdout} ${answer.stderr}`;
  if (answer.code !== 0)
    return /not found|no credentials|no usable credential/i.test(text)
      ? undefined
      : fail(`failed with exit code ${answer.code}`);
  return (
    readAnswer(answer.stdout) ??
    (answer.stdout.trim() === "" ? undefined : fail("did not give a user name and secret"))
  );
}
