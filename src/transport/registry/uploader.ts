import { AirgapError, isAirgapError, messageOf } from "../../errors.ts";
import { type Emit, silent } from "../../events.ts";
import type { HttpResponse } from "../../http.ts";
import { backoffMs, isRetryable } from "../../retry.ts";
import { failure, RegistryError } from "./answer.ts";
import type { Content } from "./content.ts";
import { nameFor, type Repository } from "./manifests.ts";
import type { UploadPreferences, Way } from "./upload-preferences.ts";
import { closing, endOf, locationOf, progressOf, startUpload, type UploadSession } from "./upload-session.ts";

const WAYS: readonly Way[] = ["put", "pieces", "patch"];
const MIN_PIECE = 64 * 1024;
/** Passing failures after which a way counts as not working. */
const MAX_TRIES = 2;
/** Answers and breaks in a row without any progress. */
const MAX_STALLS = 6;
/** Refusals of one piece in a row, after others were accepted. */
const MAX_REFUSALS = 3;
/** A request that broke after this long probably met a time limit. */
const LONG_MS = 20_000;

/** Why an attempt did not complete. */
interface Setback {
  error: Error;
  /** The way itself does not work; the failure is not a passing one. */
  way: boolean;
  /** No way will help. */
  final?: boolean;
}

const FINAL_STATUS = new Set([401, 403, 507]);

/** Sends one blob by the cheapest way that this registry accepts, and resumes from what it has. */
export class Uploader {
  readonly #repository: Repository;
  readonly #preferences: UploadPreferences;
  readonly #emit: Emit;
  readonly #signal: AbortSignal | undefined;

  constructor(
    repository: Repository,
    preferences: UploadPreferences,
    emit: Emit = silent,
    signal?: AbortSignal,
  ) {
    this.#repository = repository;
    this.#preferences = preferences;
    this.#emit = emit;
    this.#signal = signal;
  }

  /**
   * @param session an upload that is open already, from a mount that failed
   * @throws RegistryError, AirgapError `corrupt` when the content does not match its digest
   */
  async upload(content: Content, session?: UploadSession): Promise<void> {
    const failed = new Set<Way>();
    const tries = { put: 0, pieces: 0, patch: 0 };
    let open = session;
    let offset = 0;
    let last: Setback | undefined;
    for (
      let way = this.#choose(content, failed, false);
      way !== undefined;
      way = this.#choose(content, failed, offset > 0)
    ) {
      const current = open ?? (await startUpload(this.#repository, content.descriptor.digest, this.#signal));
      const setback =
        way === "put"
          ? await this.#whole(content, current)
          : await this.#pieces(content, current, way, offset);
      if (setback === undefined) return this.#remember(content, failed);
      this.#signal?.throwIfAborted();
      if (setback.final || (await this.#contentIsWrong(setback, content))) throw setback.error;
      last = setback;
      if (++tries[way] >= MAX_TRIES || setback.way) failed.add(way);
      this.#emit({
        type: "retry",
        what: content.descriptor.digest,
        reason: messageOf(setback.error),
        attempt: tries[way],
        waitMs: 0,
      });
      offset = (await this.#kept(current, setback)) ?? 0;
      open = offset > 0 ? current : undefined;
    }
    throw this.#givenUp(content, last);
  }

  /** The first way that is not known to fail; an upload that has started can only be resumed in pieces. */
  #choose({ descriptor }: Content, failed: Set<Way>, begun: boolean): Way | undefined {
    const fits = (way: Way): boolean =>
      !failed.has(way) && descriptor.size < (this.#preferences.failing[way] ?? Number.POSITIVE_INFINITY);
    return (
      (begun ? (["pieces", "patch"] as const).find(fits) : undefined) ??
      WAYS.find(fits) ??
      WAYS.find((way) => !failed.has(way))
    );
  }

  /** Ways that failed for a blob that another way sent are not tried again for blobs of that size. */
  #remember({ descriptor }: Content, failed: Set<Way>): void {
    for (const way of failed)
      this.#preferences.failing[way] = Math.min(
        this.#preferences.failing[way] ?? Number.POSITIVE_INFINITY,
        descriptor.size,
      );
  }

  async #whole(content: Content, session: UploadSession): Promise<Setback | undefined> {
    const { digest, size } = content.descriptor;
    const startedAt = Date.now();
    const answer = await this.#send("PUT", closing(session.location, digest), content, 0, size);
    if (answer instanceof Error) return { error: answer, way: this.#tookLong(startedAt) };
    if (answer.status >= 200 && answer.status < 300) {
      await answer.discard();
      return undefined;
    }
    return await this.#refusal(answer, content);
  }

  async #pieces(
    content: Content,
    session: UploadSession,
    way: Way,
    from: number,
  ): Promise<Setback | undefined> {
    const { size } = content.descriptor;
    let at = from;
    for (let stalls = 0; at < size; ) {
      const length =
        way === "patch"
          ? size - at
          : Math.min(Math.max(this.#preferences.piece, session.minPiece), size - at);
      const answer = await this.#send("PATCH", session.location, content, at, length);
      const next = answer instanceof Error ? undefined : await this.#accepted(answer, session, at, length);
      if (next === "lost") return { error: this.#confused(content, at, length), way: true };
      if (typeof next === "number" && next > at) {
        at = next;
        stalls = 0;
        continue;
      }
      const setback = await this.#piecesSetback(answer, content, way, length);
      // Smaller pieces help when requests are cut off; a refusal of the first piece rarely changes.
      const failing = !(answer instanceof Error) && answer.status >= 500;
      const most = !failing ? MAX_STALLS : at > from ? MAX_REFUSALS : 1;
      if (setback.final || setback.way || ++stalls >= most) return setback;
      const kept = await this.#kept(session, setback);
      if (kept === undefined) return setback;
      if (kept > at) stalls = 0;
      else if (answer instanceof Error) this.#shrink(length);
      at = kept;
    }
    return await this.#close(content, session, way);
  }

  /** The next byte that the registry wants after a piece; `lost` when the registry lost what it had. */
  async #accepted(
    answer: HttpResponse,
    session: UploadSession,
    at: number,
    length: number,
  ): Promise<number | "lost" | undefined> {
    if (answer.status < 200 || answer.status >= 300) return undefined;
    await answer.discard();
    if (answer.headers["location"] !== undefined) session.location = locationOf(answer);
    const end = endOf(answer);
    if (end === undefined || end === at + length) return at + length;
    // Some registries keep only the last piece; continuing would make a blob from the last pieces.
    return end < at || end > at + length || (at > 0 && end === length) ? "lost" : end;
  }

  async #piecesSetback(
    answer: HttpResponse | Error,
    content: Content,
    way: Way,
    length: number,
  ): Promise<Setback> {
    if (answer instanceof Error) return { error: answer, way: false };
    const { status } = answer;
    const setback = await this.#refusal(answer, content);
    const smaller = way === "pieces" && status === 413 && this.#shrink(length);
    return { ...setback, way: !smaller && status >= 400 && status < 500 && status !== 404 && status !== 416 };
  }

  /** The empty PUT that closes an upload. A last piece in it would make Harbor count wrongly. */
  async #close(content: Content, session: UploadSession, way: Way): Promise<Setback | undefined> {
    const answer = await this.#send(
      "PUT",
      closing(session.location, content.descriptor.digest),
      content,
      0,
      0,
    );
    if (answer instanceof Error)
      return (await this.#isThere(content)) ? undefined : { error: answer, way: false };
    if (answer.status >= 200 && answer.status < 300) {
      await answer.discard();
      return undefined;
    }
    return { ...(await this.#refusal(answer, content)), way: way === "pieces" || answer.status < 500 };
  }

  async #send(
    method: "PUT" | "PATCH",
    url: URL,
    content: Content,
    from: number,
    length: number,
  ): Promise<HttpResponse | Error> {
    const { client, scopes } = this.#repository;
    const range = method === "PATCH" ? { "content-range": `${from}-${from + length - 1}` } : {};
    try {
      return await client.send(url, {
        method,
        headers: { "content-type": "application/octet-stream", "content-length": String(length), ...range },
        body: content.body(from, length),
        scopes,
        retry: "refused",
        ...(this.#signal ? { signal: this.#signal } : {}),
      });
    } catch (error) {
      this.#signal?.throwIfAborted();
      if (isAirgapError(error, "network")) return error;
      throw error;
    }
  }

  async #refusal(answer: HttpResponse, content: Content): Promise<Setback> {
    const { status } = answer;
    if (isRetryable(status))
      this.#repository.client.limits.pause(backoffMs(1, answer.headers["retry-after"]));
    const error = await failure(
      answer,
      `the upload of ${nameFor(this.#repository, content.descriptor.digest)}`,
      this.#repository.client.host,
    );
    // 404: the upload is gone; 5xx: a passing failure. Otherwise the way does not work here.
    return { error, way: status < 500 && status !== 404, final: FINAL_STATUS.has(status) };
  }

  /** Where an upload can be gone on with after it broke off. */
  async #kept(session: UploadSession, setback: Setback): Promise<number | undefined> {
    const status = setback.error instanceof RegistryError ? setback.error.status : 0;
    if (setback.way && status !== 413) return undefined;
    const end = await progressOf(session, this.#repository, this.#signal).catch(() => undefined);
    return end;
  }

  async #isThere({ descriptor }: Content): Promise<boolean> {
    const { client, name, scopes } = this.#repository;
    const ask = { method: "HEAD" as const, scopes, ...(this.#signal ? { signal: this.#signal } : {}) };
    const answer = await client.send(`/v2/${name}/blobs/${descriptor.digest}`, ask).catch(() => undefined);
    await answer?.discard();
    return answer?.status === 200;
  }

  /** A refused digest may be our own fault: then the content is wrong, and trying again does not help. */
  async #contentIsWrong(setback: Setback, content: Content): Promise<boolean> {
    const { error } = setback;
    if (!(error instanceof RegistryError) || error.status !== 400) return false;
    if (await content.isRight()) return false;
    setback.error = content.damaged("does not match its digest", error);
    return true;
  }

  #tookLong(startedAt: number): boolean {
    return Date.now() - startedAt > LONG_MS;
  }

  /** Makes pieces smaller than this length; false when they cannot be smaller. */
  #shrink(length: number): boolean {
    if (length <= MIN_PIECE) return false;
    this.#preferences.piece = Math.min(this.#preferences.piece, Math.max(MIN_PIECE, Math.floor(length / 4)));
    return true;
  }

  #confused(content: Content, at: number, length: number): AirgapError {
    const what = nameFor(this.#repository, content.descriptor.digest);
    return new AirgapError(
      "protocol",
      `${what}: the registry lost what was sent before bytes ${at} to ${at + length - 1}`,
    );
  }

  #givenUp(content: Content, last: Setback | undefined): Error {
    const { error } = last ?? {};
    if (!isAirgapError(error, "network"))
      return error ?? new AirgapError("network", `${content.descriptor.digest} was not sent`);
    const { host } = this.#repository.client;
    return new AirgapError(
      "network",
      `${nameFor(this.#repository, content.descriptor.digest)} was not sent; every way to upload failed: ${messageOf(error)}`,
      {
        cause: error,
        suggestions: [
          `if ${host} is zot 2.1.17 or newer, it cuts every request off after 60 s: set "readTimeout" and "writeTimeout" under "http" in its configuration`,
          "run the same command again; it resumes where it stopped",
        ],
      },
    );
  }
}
