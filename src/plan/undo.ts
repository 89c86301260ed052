import { isAirgapError, messageOf } from "../errors.ts";
import type { RunContext } from "./execute.ts";
import { MARK, StepProtocol, type StepReport } from "./protocol.ts";
import { renderUndo } from "./script.ts";

/** The result of undoing a host's steps. */
export interface UndoResult {
  host: string;
  undone: number;
  /** `hosts/swap: why`, or the loss of the connection. */
  failed: string[];
}

const UNDO_MS = 1_800_000;

/**
 * Undoes every step that a host remembers, the last first. A lost connection is a result, not an error.
 * @param packages also remove installed packages
 */
export async function undoHost(
  host: string,
  packages: boolean,
  { connections, log, mask, emit, signal }: Omit<RunContext, "record">,
): Promise<UndoResult> {
  const reports: StepReport[] = [];
  const protocol = new StepProtocol(MARK, {
    state: (id, state, report) => {
      if (report === undefined) return;
      reports.push(report);
      emit({ type: "step", host, step: id, state, detail: "undone", ms: report.ms });
      log.line(`${host} ${id} undone: ${report.state}`);
      log.output(host, report.output);
    },
  });
  try {
    const { code, stderr } = await connections.get(host).run(renderUndo(MARK, packages), {
      timeoutMs: UNDO_MS,
      onStdout: (text) => protocol.push(text),
      ...(signal ? { signal } : {}),
    });
    protocol.end();
    const failed = reports
      .filter(({ state }) => state === "failed")
      .map(({ id, output }) => `${id}: ${mask.hide(output).trim().split("\n").at(-1) ?? ""}`);
    return {
      host,
      undone: reports.length - failed.length,
      failed: code === 0 || failed.length > 0 ? failed : [stderr.trim() || `its script ended with ${code}`],
    };
  } catch (error) {
    if (!isAirgapError(error, "network")) throw error;
    return { host, undone: reports.length, failed: [messageOf(error)] };
  }
}
