import { AirgapError, isAirgapError } from "../errors.ts";
import type { Emit } from "../events.ts";
import type { Locate } from "../schema/document.ts";

/**
 * Where an entry of a spec is named: `images[3]`. Not the keys of other documents, such as an OCI index or a
 * Kubernetes object.
 */
const ENTRY =
  /(?<![\w.[\]])(?:images|manifests|charts|packages|files|kubernetes)\[\d+\](?![.[\w]| of index\.json)/g;

/** `images[3]` becomes `images[3] (site.yaml:12:5)`: entries are counted by programs, and people look for lines. */
export const withLines = (text: string, locate: Locate): string =>
  text.replace(ENTRY, (entry) => `${entry} (${locate(entry)})`);

/** The same error, with the lines of the entries that it names. */
export function located(error: unknown, locate: Locate): unknown {
  if (!isAirgapError(error)) return error;
  const message = withLines(error.message, locate);
  if (message === error.message) return error;
  const { code, suggestions, ref, cause, exit, data } = error;
  return new AirgapError(code, message, {
    suggestions,
    cause,
    exit,
    ...(data ? { data } : {}),
    ...(ref ? { ref } : {}),
  });
}

/** Passes events on, warnings with the lines of the entries that they name. */
export const locatedEmit =
  (emit: Emit, locate: Locate): Emit =>
  (event) =>
    emit(event.type === "warning" ? { ...event, message: withLines(event.message, locate) } : event);
