/** Masks secrets in text that is shown or kept. */
export class Mask {
  readonly #pattern: RegExp | undefined;

  /** @param secrets texts of at least four characters; shorter ones would hide half of every log */
  constructor(secrets: string[]) {
    const words = [...new Set(secrets)]
      .filter((secret) => secret.length >= 4)
      .sort((a, b) => b.length - a.length);
    this.#pattern =
      words.length === 0
        ? undefined
        : new RegExp(words.map((word) => word.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&")).join("|"), "g");
  }

  hide(text: string): string {
    return this.#pattern === undefined ? text : text.replace(this.#pattern, "***");
  }
}
