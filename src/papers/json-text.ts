/** JSON whose lists are written entry by entry, so that none of them is held whole. */
export type Entries = AsyncIterable<unknown> | Iterable<unknown>;

/** `{`, keys in their order, lists with an entry on each line, `}`. */
export async function* jsonText(
  keys: Record<string, unknown>,
  lists: readonly (readonly [string, Entries])[],
): AsyncGenerator<string> {
  yield "{";
  let first = true;
  const separator = (): string => {
    const text = first ? "\n" : ",\n";
    first = false;
    return text;
  };
  for (const [key, value] of Object.entries(keys))
    yield `${separator()}${JSON.stringify(key)}: ${JSON.stringify(value)}`;
  for (const [key, entries] of lists) {
    yield `${separator()}${JSON.stringify(key)}: [`;
    let before = "\n";
    for await (const entry of entries) {
      yield `${before}${JSON.stringify(entry)}`;
      before = ",\n";
    }
    yield "\n]";
  }
  yield "\n}\n";
}
