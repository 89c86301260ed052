/** Takes bytes out of chunks, as many as are wanted. */
export class Taker {
  readonly #chunks: AsyncIterator<Buffer>;
  #held: Buffer[] = [];
  #size = 0;

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** The next `count` bytes; undefined when there are fewer, which stay. */
  async take(count: number): Promise<Buffer | undefined> {
    while (this.#size < count) {
      const { done, value } = await this.#chunks.next();
      if (done) return undefined;
      this.#held.push(value);
      this.#size += value.length;
    }
    const all = this.#held.length === 1 ? (this.#held[0] as Buffer) : Buffer.concat(this.#held);
    this.#held = [all.subarray(count)];
    this.#size = all.length - count;
    return all.subarray(0, count);
  }

  /** All that is left. */
  async *rest(): AsyncGenerator<Buffer> {
    yield* this.#held.splice(0);
    this.#size = 0;
    for (let next = await this.#chunks.next(); !next.done; next = await this.#chunks.next()) yield next.value;
  }
}
