/**
 * Suites of the other folders, run on uWebSockets.js: whatever they say of a server on Node's HTTP server holds here as well. What
 * differs, and is left out of this list for it, is named in docs/uwebsockets.md and tested in the other files of this folder.
 */

process.env.TEST_HOST = "uws";

const suites = [
  "acceptance/c-receiving",
  "acceptance/d-rooms",
  "acceptance/h-recovery",
  "acceptance/i-several-servers",
  "acceptance/j-parsers",
  "api/acknowledgements",
  "api/broadcast",
  "api/client",
  "api/documentation",
  "api/early-return",
  "api/middlewares",
  "api/namespace",
  "api/recovery",
  "hostile/async-context",
  "hostile/faults",
  "hostile/packets",
  "hostile/random-sessions",
  "hostile/slow-readers",
  "wire/engine/compression",
  "wire/engine/cookies",
  "wire/engine/cors",
  "wire/engine/headers",
  "wire/engine/heartbeat",
  "wire/engine/prepared-frames",
  "wire/engine/third-parties",
  "wire/sio/bad-packets",
  "wire/sio/legacy-sio",
];
for (const suite of suites) await import(`../${suite}.test.js`);
