import { AirgapError, Exit, isAirgapError } from "../errors.ts";

/** Exit 3 for a refusal before the first byte; exit 4 for what broke off while sending. */
export function withExit(error: unknown, sending: boolean): unknown {
  if (!isAirgapError(error)) return error;
  const refused = !sending && isAirgapError(error, "unauthorized", "refused");
  const brokeOff = sending && isAirgapError(error, "network");
  if (!refused && !brokeOff) return error;
  const { code, suggestions, data, message } = error;
  return new AirgapError(code, message, {
    cause: error.cause,
    exit: refused ? Exit.check : Exit.interrupted,
    suggestions: brokeOff
      ? [...suggestions, "run the same command again: what arrived is not sent twice"]
      : suggestions,
    ...(data ? { data } : {}),
  });
}
