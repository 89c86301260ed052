import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

interface Line {
  newest?: IncomingMessage;
  /** Answers that are not out yet. */
  waiting: number;
  /** Done when all of them are. */
  last: Promise<void>;
  arrived?: () => void;
}

/**
 * The requests of each connection, one after another: a client may send the next ones without
 * waiting for an answer, thousands in one packet, and all but the first cost no more than their headers.
 */
export class Turns {
  readonly #lines = new WeakMap<Socket, Line>();

  /** Does the work when all earlier answers on this connection are out. `work` does not throw. */
  take(req: IncomingMessage, res: ServerResponse, work: () => Promise<void>): void {
    const line = this.#line(req.socket);
    const out = new Promise<void>((resolve) => res.once("close", resolve));
    line.waiting++;
    line.newest = req;
    line.arrived?.();
    line.last = line.last.then(async () => {
      if (!res.destroyed) await work();
      await out;
      line.waiting--;
    });
  }

  /** Whether an answer is not out yet. */
  busy(socket: Socket): boolean {
    return this.#line(socket).waiting > 0;
  }

  /** Whether a request's body is still coming, so that its answer may wait for what never comes. */
  receiving(socket: Socket): boolean {
    return this.busy(socket) && this.#line(socket).newest?.complete === false;
  }

  /** Resolves when all answers are out. */
  async over(socket: Socket): Promise<void> {
    const line = this.#line(socket);
    while (line.waiting > 0) await line.last;
  }

  /** Whether another request has come in whole before `ms` milliseconds are over. */
  another(socket: Socket, ms: number): Promise<boolean> {
    const line = this.#line(socket);
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms, false).unref();
      line.arrived = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }

  #line(socket: Socket): Line {
    let line = this.#lines.get(socket);
    if (line === undefined) {
      line = { waiting: 0, last: Promise.resolve() };
      this.#lines.set(socket, line);
    }
    return line;
  }
}
