/** A list of numbers that grows: four bytes each, and nothing for the garbage collector to walk through. */
export class Numbers {
  #array: Int32Array<ArrayBuffer>;
  #length = 0;

  constructor(capacity = 1024) {
    this.#array = new Int32Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** What holds the list now; it changes when the list grows. */
  get array(): Int32Array<ArrayBuffer> {
    return this.#array;
  }

  at(index: number): number {
    return this.#array[index] as number;
  }

  set(index: number, value: number): void {
    this.#array[index] = value;
  }

  push(value: number): void {
    if (this.#length === this.#array.length) this.#grow();
    this.#array[this.#length++] = value;
  }

  #grow(): void {
    const larger = new Int32Array(this.#array.length + (this.#array.length >> 1) + 16);
    larger.set(this.#array);
    this.#array = larger;
  }
}
