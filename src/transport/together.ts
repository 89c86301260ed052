/**
 * Runs `action` for all items side by side. The first failure ends the others, by the signal that
 * they are given, and is thrown when all have ended: nothing goes on behind the caller's back.
 */
export async function together<Item, Result>(
  items: Iterable<Item>,
  action: (item: Item, signal: AbortSignal) => Promise<Result>,
  signal?: AbortSignal,
): Promise<Result[]> {
  const stop = new AbortController();
  const both = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const one = async (item: Item): Promise<Result> => {
    try {
      return await action(item, both);
    } catch (error) {
      stop.abort(error);
      throw error;
    }
  };
  const results = await Promise.allSettled([...items].map(one));
  if (stop.signal.aborted) throw stop.signal.reason;
  return results.map((result) => (result as PromiseFulfilledResult<Result>).value);
}
