import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { printable } from "../format.ts";

/** Asks on the terminal for a text that is not shown while it is typed. */
export async function askSecret(question: string, signal: AbortSignal): Promise<string> {
  let shown = true;
  const output = new Writable({
    write(chunk: Buffer, _, done) {
      if (shown) process.stderr.write(chunk);
      done();
    },
  });
  const lines = createInterface({ input: process.stdin, output, terminal: true });
  try {
    const answer = lines.question(`${printable(question)}: `, { signal });
    shown = false;
    return await answer;
  } finally {
    lines.close();
    process.stderr.write("\n");
  }
}
