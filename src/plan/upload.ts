import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { type RunContext, STEP_MS } from "./execute.ts";
import type { Failure } from "./failure.ts";
import { sh } from "./shell.ts";
import { fullId, type PlacedStep } from "./stage.ts";
import type { Upload } from "./step.ts";

/**
 * Sends the missing part of a file to a host; an earlier attempt is resumed.
 * @throws AirgapError `network` when the connection broke
 */
export async function sendUpload(
  { connections, emit, log, signal }: RunContext,
  host: string,
  placed: PlacedStep,
  upload: Upload,
): Promise<Failure | undefined> {
  const { from, offset, size, to } = upload;
  const part = `${to}.part`;
  const connection = connections.get(host);
  const { stdout } = await connection.run(sh`
    mkdir -p "$(dirname ${to})"
    stat -c %s ${part} 2>/dev/null || echo 0`);
  const there = Number(stdout.trim()) || 0;
  const start = there > size ? 0 : there;
  if (start === size) return undefined;
  const { id, title, timeoutMs = STEP_MS } = placed.step;
  const startedAt = performance.now();
  const detail = start > 0 ? `resuming at byte ${start}` : title;
  emit({ type: "step", host, step: fullId(placed), state: "applying", detail });
  emit({ type: "plan", items: 1, bytes: size - start });
  const stream = Readable.from(piecesOf(upload, offset + start, size - start), { objectMode: false });
  stream.on("data", (chunk: Buffer) =>
    emit({ type: "progress", item: `${host}: ${title}`, bytes: chunk.length }),
  );
  const { code, stderr } = await connection
    .pipe(start === 0 ? sh`cat >${part}` : sh`cat >>${part}`, stream, {
      timeoutMs,
      ...(signal ? { signal } : {}),
    })
    .finally(() => emit({ type: "plan", items: 0, bytes: 0 }));
  const ms = Math.round(performance.now() - startedAt);
  log.line(`${host} ${placed.stage}/${id} sent ${size - start} bytes in ${ms} ms`);
  if (code === 0) return undefined;
  return {
    host,
    stage: placed.stage,
    step: placed,
    output: stderr,
    error: `cannot send ${from}: cat ended with ${code}`,
  };
}

/** A run of bytes of what is uploaded, which may lie in several files. */
async function* piecesOf({ from, parts }: Upload, offset: number, size: number): AsyncGenerator<Buffer> {
  let [at, left] = [offset, size];
  for (const part of parts ?? [{ path: from, size: offset + size }]) {
    const count = Math.min(left, part.size - at);
    if (count > 0) {
      yield* createReadStream(part.path, { start: at, end: at + count - 1, highWaterMark: 1 << 20 });
      left -= count;
    }
    at = Math.max(0, at - part.size);
  }
}
