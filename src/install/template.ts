import { shipped } from "../host/shipped.ts";

/**
 * A file of `manifests/` with its holes filled: `@NAME@`.
 * @throws Error when a hole is left, or a value has none
 */
export function fill(name: string, values: Record<string, string>): string {
  let text = shipped(name);
  for (const [hole, value] of Object.entries(values)) {
    if (!text.includes(`@${hole}@`)) throw new Error(`manifests/${name} has no @${hole}@`);
    text = text.replaceAll(`@${hole}@`, () => value);
  }
  const left = /@[A-Z_]+@/.exec(text);
  if (left) throw new Error(`${left[0]} of manifests/${name} was not filled`);
  return text;
}
