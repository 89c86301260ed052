import { isAirgapError, messageOf } from "../errors.ts";
import type { Emit } from "../events.ts";
import { Journal } from "../state/journal.ts";
import type { Home } from "./home.ts";

/** The journal beside the cluster file; without SQLite a run goes on without it. */
export async function keptJournal(home: Home, emit: Emit): Promise<Journal | undefined> {
  try {
    return await Journal.open(home.path("journal.sqlite"));
  } catch (error) {
    if (!isAirgapError(error, "environment", "corrupt")) throw error;
    emit({
      type: "warning",
      message: `No journal is kept: ${messageOf(error)}`,
      suggestion: "hosts taken out of the cluster file will not be remembered for reset",
    });
    return undefined;
  }
}
