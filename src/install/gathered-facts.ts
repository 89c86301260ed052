import { copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { AirgapError, messageOf } from "../errors.ts";
import { type Facts, parseFacts } from "../host/facts.ts";
import { shippedPath } from "../host/shipped.ts";

const FACTS = "facts";
export const FACTS_SCRIPT = "facts.sh";

/** Facts that were gathered by hand: `DIR/facts/NAME`, what `facts.sh` printed on that host. */
export const readGatheredFacts = (dir: string, host: string): Facts | undefined =>
  readFactsFile(join(dir, FACTS), host);

/**
 * What `facts.sh` printed on a host: `FOLDER/NAME` or `FOLDER/NAME.txt`; undefined when neither is there.
 * @throws AirgapError `protocol` when the script did not finish, `disk`
 */
export function readFactsFile(folder: string, host: string): Facts | undefined {
  const file = [host, `${host}.txt`].map((name) => join(folder, name)).find((path) => existsSync(path));
  if (file === undefined) return undefined;
  // Carrying the file took time, so the host's clock cannot be compared with ours.
  const facts = parseFacts(read(file), host, 0);
  return { ...facts, time: { host: 0, ours: 0 } };
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new AirgapError("disk", `Cannot read the facts ${file}: ${messageOf(cause)}`, { cause });
  }
}

/** The error for unreachable hosts: it says how to gather their facts by hand. */
export function askForFacts(dir: string, hosts: string[], cause: unknown): AirgapError {
  mkdirSync(join(dir, FACTS), { recursive: true });
  copyFileSync(shippedPath("host/facts.sh"), join(dir, FACTS_SCRIPT));
  return new AirgapError(
    "check-failed",
    `Cannot read the facts of ${hosts.join(", ")}: ${messageOf(cause)}`,
    {
      cause,
      suggestions: [
        `on each of these hosts, as root: sh ${FACTS_SCRIPT} > NAME (the script is ${join(dir, FACTS_SCRIPT)}), then copy the output to ${join(dir, FACTS)}/NAME`,
        "then run the same command again",
      ],
    },
  );
}
