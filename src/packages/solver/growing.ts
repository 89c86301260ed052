/**
 * A list of numbers that grows: four bytes each, and nothing for the garbage collector to walk
 * through or to leave behind. What `array` gave is void after a `push`.
 */
export class Numbers {
  #array: Int32Array<ArrayBuffer>;
  #length = 0;

  /** @param capacity how many there will be, where that is known */
  constructor(capacity = 1024) {
    this.#array = new Int32Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** What holds the list now. */
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

  /** Gives the memory back at once; the garbage collector takes its time over what is not in its heap. */
  release(): void {
    this.#array.buffer.transfer(0);
    this.#array = new Int32Array(0);
    this.#length = 0;
  }

  #grow(): void {
    const capacity = this.#array.length + (this.#array.length >> 1) + 16;
    this.#array = new Int32Array(this.#array.buffer.transfer(capacity * Int32Array.BYTES_PER_ELEMENT));
  }
}
