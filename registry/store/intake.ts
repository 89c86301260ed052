/** Bytes collected before they are written: 512 KiB, less when many uploads run, 32 MiB in all. */
const BATCH = 512 << 10;
const MIN_BATCH = 64 << 10;
const BUDGET = 32 << 20;

/** Whether a write failed because the disk, or the user's quota on it, is full. */
export const isDiskFull = (error: unknown): boolean =>
  ["ENOSPC", "EDQUOT"].includes((error as NodeJS.ErrnoException | null)?.code ?? "");

/** What the uploads of one store share: memory for what comes in, and the room on the disk. */
export class Intake {
  #receiving = 0;
  readonly #makeRoom: () => Promise<boolean>;

  /** @param makeRoom gives back space that nobody may need; whether there was any */
  constructor(makeRoom: () => Promise<boolean>) {
    this.#makeRoom = makeRoom;
  }

  begin(): void {
    this.#receiving++;
  }

  end(): void {
    this.#receiving--;
  }

  get batchSize(): number {
    return Math.max(MIN_BATCH, Math.min(BATCH, BUDGET / this.#receiving));
  }

  /** Does a write that may be repeated, and repeats it while the disk is full and room can be made. */
  async withRoom<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!isDiskFull(error) || !(await this.#makeRoom())) throw error;
      }
    }
  }
}
