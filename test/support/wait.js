/** Waits that always end: nothing in a test may hang. */

// Taken at load: a test may put the timers of this process under a fake clock, and these waits must still end.
const { setTimeout, clearTimeout } = globalThis;

/** How long anything may take, in milliseconds; generous, because test machines are shared. */
export const PATIENCE_MS = Number(process.env.TEST_PATIENCE_MS ?? 5000);

/**
 * Settles like `promise`, or rejects after `ms`.
 * @param what      what is waited for, for the message
 * @param received  gives what arrived until then, for the message
 */
export function within(promise, what, received = () => undefined, ms = PATIENCE_MS) {
  const late = new Error();
  Error.captureStackTrace(late, within);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      const seen = received();
      late.message = `waited ${ms} ms for ${what}` + (seen === undefined ? "" : `; received so far: ${show(seen)}`);
      reject(late);
    }, ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Prints values for a message: text as JSON, bytes as hex, cut to a readable length. */
export function show(value) {
  const text = JSON.stringify(value, (key, entry) => {
    if (Buffer.isBuffer(entry)) return `<${entry.toString("hex")}>`;
    if (entry?.type === "Buffer") return `<${Buffer.from(entry.data).toString("hex")}>`;
    if (entry instanceof Error) return `${entry.name}: ${entry.message}`;
    return entry;
  });
  return text === undefined ? String(value) : text.length > 2000 ? `${text.slice(0, 2000)}…` : text;
}

/** A FIFO of everything that arrived; reads wait, an end or a failure wakes all readers. */
export class Inbox {
  constructor(what) {
    this.what = what;
    this.all = [];
    this.items = [];
    this.readers = [];
    this.failure = null;
  }

  push(item) {
    this.all.push(item);
    const reader = this.readers.shift();
    if (reader) reader.resolve(item);
    else this.items.push(item);
  }

  /** After this, reads of an empty inbox fail with `error`. */
  end(error) {
    if (this.failure) return;
    this.failure = error;
    for (const reader of this.readers.splice(0)) reader.reject(error);
  }

  /** The next item, in order of arrival. */
  next(ms = PATIENCE_MS) {
    if (this.items.length > 0) return Promise.resolve(this.items.shift());
    if (this.failure) return Promise.reject(this.failure);
    const reader = {};
    const item = new Promise((resolve, reject) => Object.assign(reader, { resolve, reject }));
    this.readers.push(reader);
    const waiting = within(item, this.what, () => this.all, ms);
    waiting.catch(() => {
      const at = this.readers.indexOf(reader);
      if (at >= 0) this.readers.splice(at, 1);
    });
    return waiting;
  }

  /** Takes what has arrived and was not read yet. */
  drain() {
    return this.items.splice(0);
  }
}

/** Lets `ms` milliseconds pass by the real clock: only to place what a peer does in time, never to wait for a result. */
export function pass(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
