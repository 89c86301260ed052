/** Lets work under one key run side by side, or one piece of it alone. */
export class KeyedGate {
  readonly #gates = new Map<string, { running: number; alone?: Promise<void>; idle?: () => void }>();

  /** Waits while somebody works alone under this key. Not to be nested under one key. */
  async shared<T>(key: string, work: () => Promise<T>): Promise<T> {
    for (;;) {
      const alone = this.#gates.get(key)?.alone;
      if (alone === undefined) break;
      await alone;
    }
    const gate = this.#gates.get(key) ?? { running: 0 };
    this.#gates.set(key, gate);
    gate.running++;
    try {
      return await work();
    } finally {
      gate.running--;
      if (gate.running === 0) {
        gate.idle?.();
        if (gate.alone === undefined) this.#gates.delete(key);
      }
    }
  }

  /** Waits until nobody works under this key, and keeps others away meanwhile. */
  async alone<T>(key: string, work: () => Promise<T>): Promise<T> {
    for (;;) {
      const other = this.#gates.get(key)?.alone;
      if (other === undefined) break;
      await other;
    }
    const gate = this.#gates.get(key) ?? { running: 0 };
    this.#gates.set(key, gate);
    const { promise, resolve } = Promise.withResolvers<void>();
    gate.alone = promise;
    try {
      if (gate.running > 0) await new Promise<void>((idle) => (gate.idle = idle));
      return await work();
    } finally {
      this.#gates.delete(key);
      resolve();
    }
  }
}
