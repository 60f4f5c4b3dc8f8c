/*
 * Each socket has a listener of "error" from the start, that does nothing. The listener table that holds it is made
 * when somebody first asks for the table, by whichever way: a socket nobody listens to never gets one.
 */

const TABLE = Symbol("listeners");
type Listening = { [TABLE]: object | undefined };

/** How many listeners a new table holds. */
export const INITIAL_EVENTS = 1;

/** Gives all instances of a class of lean emitters that listener. */
export function giveErrorListener(prototype: object): void {
  Object.defineProperty(prototype, "_events", {
    configurable: true,
    get(this: Listening): object {
      return (this[TABLE] ??= Object.assign(Object.create(null) as object, { error: ignoreError }));
    },
    set(this: Listening, table: object | undefined) {
      this[TABLE] = table;
    },
  });
}

function ignoreError(): void {}
