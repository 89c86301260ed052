import { AirgapError, isAirgapError } from "../errors.ts";

/** Says which entry of the spec failed: `manifests[2]`. An error that names it already stays as it is. */
export async function forEntry<T>(at: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isAirgapError(error) || error.code === "interrupted" || error.message.includes(at)) throw error;
    const { code, suggestions, ref, cause, exit, data } = error;
    throw new AirgapError(code, `${error.message}; wanted by ${at}`, {
      suggestions,
      cause,
      exit,
      ...(data ? { data } : {}),
      ...(ref ? { ref } : {}),
    });
  }
}
