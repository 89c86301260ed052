import { isAirgapError, messageOf } from "../errors.ts";
import type { Emit } from "../events.ts";
import { Journal } from "../state/journal.ts";
import type { StateDir } from "./state-dir.ts";

/** The journal beside the cluster file. Without SQLite, a run continues without a journal. */
export async function openJournal(home: StateDir, emit: Emit): Promise<Journal | undefined> {
  try {
    return await Journal.open(home.path("journal.sqlite"));
  } catch (error) {
    if (!isAirgapError(error, "environment", "corrupt")) throw error;
    emit({
      type: "warning",
      message: `Cannot keep a journal: ${messageOf(error)}`,
      suggestion: "Hosts removed from the cluster file will not be remembered for reset.",
    });
    return undefined;
  }
}
