import { copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { AirgapError, messageOf } from "../errors.ts";
import { type Facts, parseFacts } from "../host/facts.ts";
import { shippedPath } from "../host/shipped.ts";

const FACTS = "facts";
export const FACTS_SCRIPT = "facts.sh";

/** Facts that were gathered by hand: `DIR/facts/NAME`, what `facts.sh` printed on that host. */
export function readGatheredFacts(dir: string, host: string): Facts | undefined {
  const file = join(dir, FACTS, host);
  if (!existsSync(file)) return undefined;
  // Whoever carried it took a while: the clock of the host can't be compared with ours.
  const facts = parseFacts(readFileSync(file, "utf8"), host, 0);
  return { ...facts, time: { host: 0, ours: 0 } };
}

/** For hosts that nothing may connect to: says how their facts get here. */
export function askForFacts(dir: string, hosts: string[], cause: unknown): AirgapError {
  mkdirSync(join(dir, FACTS), { recursive: true });
  copyFileSync(shippedPath("host/facts.sh"), join(dir, FACTS_SCRIPT));
  return new AirgapError(
    "check-failed",
    `The facts of ${hosts.join(", ")} are needed, and they can't be reached: ${messageOf(cause)}`,
    {
      cause,
      suggestions: [
        `on each of them, as root: sh ${FACTS_SCRIPT} > NAME (the script is ${join(dir, FACTS_SCRIPT)}), and put what it prints to ${join(dir, FACTS)}/NAME`,
        "then run the same command again",
      ],
    },
  );
}
