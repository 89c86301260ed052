import { AirgapError, Exit } from "../errors.ts";
import { createReporter } from "./reporter.ts";

const WHY: Record<string, string> = {
  ENOSPC: "no space is left on the device",
  EDQUOT: "the disk quota is used up",
  EIO: "the device failed (input/output error)",
};

/**
 * Decides what happens when stdout or stderr cannot be written. A reader that has gone, as `head` does, has what
 * it wanted: the command goes on, and its exit code stays. A result that is lost is an error. Nothing can be told
 * where stderr itself is the one that fails.
 */
export function guardOutput(): void {
  let told = false;
  // oclif's own throws, and that ends with its stack.
  process.stdout.removeAllListeners("error");
  process.stderr.removeAllListeners("error").on("error", () => {});
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (told || error.code === "EPIPE") return;
    told = true;
    const why = WHY[error.code ?? ""] ?? error.message;
    const reporter = createReporter({
      json: false,
      quiet: false,
      progress: "auto",
      verbose: false,
      color: false,
    });
    reporter.error(
      new AirgapError("disk", `Cannot write the result to stdout: ${why}`, {
        suggestions: ["send the output somewhere with space, and run the same command again"],
      }),
    );
    process.exitCode ||= Exit.failed;
  });
}
