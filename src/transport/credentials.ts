import type { Credential, Credentials } from "./credential.ts";
import { type CredentialFile, credentialFiles, keysFor, serverName } from "./credential-files.ts";
import { askHelper, type RunHelper } from "./credential-helpers.ts";

/** No credentials at all. */
export const anonymous: Credentials = { for: async () => undefined };

/** Given credentials by host; for other hosts what `next` says. */
export function fixedCredentials(
  byHost: Record<string, Credential>,
  next: Credentials = anonymous,
): Credentials {
  return { for: async (host, repository) => byHost[host] ?? (await next.for(host, repository)) };
}

/** A helper named for the host comes first, then the store for all hosts, then what stands in the file itself. */
async function lookUp(
  file: CredentialFile,
  host: string,
  repository: string | undefined,
  ask: typeof askHelper,
  run: RunHelper,
) {
  const keys = keysFor(host, repository);
  const own = keys.map((key) => file.helpers.get(key)).find((name) => name !== undefined);
  for (const [name, needed] of [[own, true] as const, [file.store, false] as const]) {
    const found =
      name === undefined
        ? undefined
        : await ask({ name, server: serverName(host), file: file.path, needed }, run);
    if (found !== undefined) return found;
  }
  return keys.map((key) => file.entries.get(key)).find((entry) => entry !== undefined);
}

/**
 * What the files of Docker and podman and their credential helpers say; the first file that knows
 * the repository wins. Files are read at the first question, each helper is asked once a host.
 */
export function storedCredentials(run: RunHelper, env: NodeJS.ProcessEnv = process.env): Credentials {
  let files: CredentialFile[] | undefined;
  const answers = new Map<string, ReturnType<typeof askHelper>>();
  const askOnce: typeof askHelper = (question, runner) => {
    const key = `${question.name} ${question.server}`;
    const answer = answers.get(key) ?? askHelper(question, runner);
    answers.set(key, answer);
    return answer;
  };
  return {
    async for(host, repository) {
      files ??= credentialFiles(env);
      for (const file of files) {
        const credential = await lookUp(file, host, repository, askOnce, run);
        if (credential !== undefined) return credential;
      }
      return undefined;
    },
  };
}
