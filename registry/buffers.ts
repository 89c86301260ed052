const BIG = 512 << 10;
const SMALL = 32 << 10;
/** Big buffers in all: 16 MiB. Later transfers get small ones, so that many slow clients cost little. */
const BIG_BUFFERS = 32;

/** The buffers that a server's answers share. */
export class SendBuffers {
  #handedOut = 0;
  readonly #spare: Buffer[] = [];

  /** Two buffers for one transfer: one is being filled while the other one is being sent. */
  take(wanted: number): [Buffer, Buffer] {
    if (wanted <= SMALL || this.#handedOut + 2 > BIG_BUFFERS) {
      const size = Math.min(SMALL, wanted);
      return [Buffer.allocUnsafeSlow(size), Buffer.allocUnsafeSlow(wanted > size ? size : 0)];
    }
    this.#handedOut += 2;
    return [this.#big(), this.#big()];
  }

  giveBack(buffers: [Buffer, Buffer]): void {
    if (buffers[0].length !== BIG) return;
    this.#handedOut -= 2;
    this.#spare.push(...buffers);
  }

  #big(): Buffer {
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(BIG);
  }
}
