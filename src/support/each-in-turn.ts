// A loop that an error does not end.

/** Calls `visit` for every item, even if it throws for some of them; the last error is thrown at the end (ROB-113). */
export function forEachInTurn<T>(items: readonly T[], visit: (item: T) => void): void {
  let failure: { readonly error: unknown } | null = null;
  for (const item of items) {
    try {
      visit(item);
    } catch (error) {
      failure = { error };
    }
  }
  if (failure !== null) throw failure.error;
}
