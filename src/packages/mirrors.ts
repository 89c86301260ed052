import { AirgapError, isAirgapError } from "../errors.ts";

/** Lists have dozens; when as many fail, it is not the mirrors. */
const MAX_MIRRORS = 8;

/**
 * Does something with the first mirror that allows it: one that does not answer, breaks off, or
 * has another state than it should, is passed over.
 * @throws what the first of them threw
 */
export async function fromMirrors<T>(
  mirrors: string[],
  work: (mirror: string) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  let first: unknown;
  for (const mirror of mirrors.slice(0, MAX_MIRRORS)) {
    try {
      return await work(mirror);
    } catch (error) {
      signal?.throwIfAborted();
      if (!isAirgapError(error, "network", "not-found", "refused", "unauthorized", "corrupt", "protocol"))
        throw error;
      first ??= error;
    }
  }
  throw first;
}

/** Whether a message names a repository already. Its id as a part of a URL, or as any other word, does not. */
function names(message: string, id: string): boolean {
  const words = message.split(/[\s:,]/);
  return words.some((word, i) => word === id && /^(?:[Rr]epository|of)$/.test(words[i - 1] ?? ""));
}

/** Names the repository, by its id in the spec, in whatever goes wrong while it is opened. */
export async function named<T>(id: string, opening: Promise<T>): Promise<T> {
  try {
    return await opening;
  } catch (error) {
    if (!(error instanceof AirgapError) || names(error.message, id)) throw error;
    const { code, message, suggestions, ref, exit, data } = error;
    throw new AirgapError(code, `Repository ${id}: ${message}`, {
      cause: error,
      suggestions,
      exit,
      ...(ref === undefined ? {} : { ref }),
      ...(data === undefined ? {} : { data }),
    });
  }
}
