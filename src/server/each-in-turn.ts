/** Calls `visit` for each item, also for those behind one for which it throws; the last error is thrown in the end. */
export function forEachInTurn<T>(items: readonly T[], visit: (item: T) => void, from: number = 0): void {
  for (let i = from; i < items.length; i++) {
    let isDone = false;
    try {
      visit(items[i]);
      isDone = true;
    } finally {
      if (!isDone) forEachInTurn(items, visit, i + 1);
    }
  }
}
