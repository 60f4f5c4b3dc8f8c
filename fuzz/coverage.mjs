// Coverage of the built package in this thread, by V8's own counters.
import { Session } from "node:inspector";

/** Counts the blocks of `dist/` that were run. */
export class Coverage {
  #session = new Session();
  #seen = new Set();

  constructor() {
    this.#session.connect();
    this.#post("Profiler.enable");
    this.#post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  /** How many blocks have been run so far. */
  get size() {
    return this.#seen.size;
  }

  /** The blocks that were run since the last call and never before `add`. */
  look() {
    const fresh = [];
    for (const { url, functions } of this.#post("Profiler.takePreciseCoverage").result) {
      if (!url.includes("/dist/")) continue;
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          if (count === 0) continue;
          const block = `${url.slice(url.lastIndexOf("/dist/"))}:${startOffset}:${endOffset}`;
          if (!this.#seen.has(block)) fresh.push(block);
        }
      }
    }
    return fresh;
  }

  add(blocks) {
    for (const block of blocks) this.#seen.add(block);
  }

  #post(method, params) {
    let answer;
    this.#session.post(method, params, (error, result) => {
      if (error) throw new Error(`${method}: ${error.message}`);
      answer = result;
    });
    return answer;
  }
}
