import { AirgapError, isAirgapError, messageOf } from "../errors.ts";

/**
 * Several errors as one, with the code of the first; an error that is not ours, or the only one, stays as it is.
 * @param errors at least one
 */
export function allOf(errors: readonly unknown[]): unknown {
  const foreign = errors.find((error) => !isAirgapError(error));
  const [first] = errors;
  if (foreign !== undefined || errors.length < 2 || !isAirgapError(first)) return foreign ?? first;
  const ours = errors.filter((error) => isAirgapError(error));
  const messages = [...new Set(ours.map((error) => messageOf(error)))];
  return new AirgapError(
    first.code,
    `${messages.length} things failed:\n${messages.map((text) => `  ${text.replaceAll("\n", "\n    ")}`).join("\n")}`,
    {
      exit: first.exit,
      suggestions: [...new Set(ours.flatMap(({ suggestions }) => suggestions))],
      data: { errors: ours.map(({ code, message }) => ({ code, message })) },
    },
  );
}
