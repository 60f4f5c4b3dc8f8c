/** Real `socket.io-client` sockets for tests, and waits on events. */
import { createRequire } from "node:module";
import { PATIENCE_MS, show, within } from "./wait.js";

const require = createRequire(import.meta.url);

/**
 * Connects a client that never reconnects by itself, and waits until it is connected.
 * @param target  URL, or port on 127.0.0.1
 */
export async function connect(t, target, namespace = "/", options = {}) {
  const socket = client(t, target, namespace, options);
  await within(
    new Promise((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("connect_error", reject);
      if (socket.connected) resolve();
    }),
    `the client to connect to ${namespace}`,
  );
  return socket;
}

/** The same without waiting: to see a refusal, or to listen before anything arrives. */
export function client(t, target, namespace = "/", options = {}) {
  const origin = typeof target === "number" ? `http://127.0.0.1:${target}` : target;
  // Loaded here: most tests of the protocol never need it, and it takes longer to load than the server.
  const socket = require("socket.io-client").io(`${origin}${namespace}`, {
    forceNew: true,
    reconnection: false,
    rejectUnauthorized: false,
    ...options,
  });
  t.after(() => {
    socket.disconnect();
    socket.io.engine?.close();
  });
  return socket;
}

/** The arguments of the next `event`, as an array. */
export function once(emitter, event, ms = PATIENCE_MS) {
  return within(new Promise((resolve) => emitter.once(event, (...args) => resolve(args))), `event "${String(event)}"`, undefined, ms);
}

/** The arguments of the first `event` for which `isWanted(...args)` is true. */
export function waitFor(emitter, event, isWanted, ms = PATIENCE_MS) {
  const seen = [];
  let listener;
  const met = new Promise((resolve, reject) => {
    listener = (...args) => {
      seen.push(args);
      try {
        if (isWanted(...args)) resolve(args);
      } catch (error) {
        reject(error);
      }
    };
    emitter.on(event, listener);
  });
  return within(met, `a wanted "${String(event)}"`, () => seen, ms).finally(() => emitter.off(event, listener));
}

/**
 * Records events in order of arrival as `[event, ...args]`.
 * @returns `{ events, names, until(isDone) }`; `until` waits until `isDone(events)` is true and gives the events
 */
export function record(emitter, ...names) {
  const events = [];
  const waiters = new Set();
  for (const name of names) {
    emitter.on(name, (...args) => {
      events.push([name, ...args]);
      for (const check of [...waiters]) check();
    });
  }
  return {
    events,
    get names() {
      return events.map(([name]) => name);
    },
    until(isDone, ms = PATIENCE_MS) {
      let check;
      const done = new Promise((resolve) => {
        check = () => isDone(events) && resolve(events);
        waiters.add(check);
        check();
      });
      return within(done, "the recorded events", () => events.map((event) => show(event)), ms).finally(() => waiters.delete(check));
    },
  };
}

/** Milliseconds since the call, each time it is asked. */
export function stopwatch() {
  const start = performance.now();
  return () => performance.now() - start;
}

/** A fake clock for timers and dates of this process; `tick(ms)` moves it, and lets what became due run. */
export function fakeClock(t) {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  return {
    tick(ms) {
      t.mock.timers.tick(ms);
      return new Promise((resolve) => process.nextTick(resolve));
    },
  };
}
