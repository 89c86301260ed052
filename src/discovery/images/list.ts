import { tryParseReference } from "../../oci/reference.ts";
import type { Text } from "../documents/text.ts";
import { judge } from "./judge.ts";
import { canonical, type Sighting } from "./sighting.ts";

/** One line of a list: the reference, with a dash or quotes around it in YAML and JSON. */
const LINE = /^[ \t]*(?:-[ \t]+)?(["']?)([^\s"'#,]+)\1[ \t]*,?[ \t]*(?:#.*)?\r?$/;
const SKIPPED = /^[ \t]*(?:#.*|---|\[|\])?[ \t]*\r?$/;

/**
 * A text that is a list of images, one reference a line, as projects publish them for mirroring.
 * Every line of such a list is meant to be pulled, so a name needs neither host nor tag.
 * @returns undefined when a line is anything else, or no line has a tag or digest
 */
export function imagesInList(text: Text): Sighting[] | undefined {
  const found: Sighting[] = [];
  let [start, pinned] = [0, 0];
  for (const line of text.text.split("\n")) {
    if (!SKIPPED.test(line)) {
      const written = LINE.exec(line)?.[2];
      const reference =
        written === undefined ? undefined : tryParseReference(written.replace(/^docker:\/\//, ""));
      const judged = written === undefined ? undefined : judge(written, "named");
      if (written === undefined || reference === undefined || judged === undefined) return undefined;
      if (reference.tag !== undefined || reference.digest !== undefined) pinned++;
      const at = start + line.indexOf(written) + (written.startsWith("docker://") ? 9 : 0);
      const span = { in: text, start: at, end: start + line.indexOf(written) + written.length };
      found.push({
        reference: canonical(reference),
        written: text.text.slice(span.start, span.end),
        confidence: "likely",
        how: "list",
        path: "",
        span,
        stretches: { names: [span], whole: true },
        ...(judged.artifact ? { artifact: true } : {}),
      });
    }
    start += line.length + 1;
  }
  return pinned > 0 && pinned * 2 >= found.length ? found : undefined;
}
