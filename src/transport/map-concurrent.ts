/**
 * Runs `action` for all items at the same time and returns the results in order. The first failure aborts
 * the others through their signal, and is thrown when all have ended: nothing runs on in the background.
 */
export async function mapConcurrent<Item, Result>(
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
