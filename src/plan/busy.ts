/** How long at least one host had a command running. */
export class BusyTime {
  readonly #running = new Set<string>();
  #since = 0;
  #sum = 0;

  begin(host: string): void {
    if (this.#running.size === 0) this.#since = performance.now();
    this.#running.add(host);
  }

  end(host: string): void {
    if (this.#running.delete(host) && this.#running.size === 0) this.#sum += performance.now() - this.#since;
  }

  /** Milliseconds. */
  get ms(): number {
    return this.#sum;
  }
}
