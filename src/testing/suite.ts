// What all suites share: tests that any runner can run, and that clean up behind themselves.
import { now, pause, withinMs } from "./expect";

const TEST_MS = 60_000;
/** How often `eventually` looks. */
const LOOK_MS = 10;

/** `test` of node:test, Vitest or Jest. */
export type TestFunction = (title: string, run: () => Promise<void>, timeoutMs?: any) => unknown;

/** Registers what has to happen when the test ends; the last one first. */
export type After = (cleanUp: () => unknown) => void;

/**
 * Gives a function that declares the tests of one suite. All clean-ups run, whatever fails; the first error, that of the test before all, is thrown.
 * @param of  what is tested, for the titles
 */
export function declareFor(test: TestFunction, of: string): (title: string, run: (after: After) => Promise<void> | void) => void {
  return (title, run) => {
    test(
      `${title}: ${of}`,
      async () => {
        const cleanUps: (() => unknown)[] = [];
        const errors: unknown[] = [];
        const attempt = async (step: () => unknown): Promise<void> => {
          try {
            await step();
          } catch (error) {
            errors.push(error);
          }
        };
        const body = async (): Promise<void> => run((cleanUp) => cleanUps.push(cleanUp));
        await attempt(() => withinMs(TEST_MS, body(), () => `the test took more than ${TEST_MS} ms`));
        for (const cleanUp of cleanUps.reverse()) await attempt(cleanUp);
        if (errors.length > 0) throw errors[0];
      },
      TEST_MS + 5_000,
    );
  };
}

/** Waits until something is true that no event tells. */
export async function eventually(isSo: () => unknown, what: string, ms = 20_000): Promise<void> {
  const deadline = now() + ms;
  while (!(await isSo())) {
    if (now() > deadline) throw new Error(`waited ${ms} ms for ${what}`);
    await pause(LOOK_MS);
  }
}
