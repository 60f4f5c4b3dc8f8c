/**
 * Suites of the other folders, run on uWebSockets.js: whatever they say of a server on Node's HTTP server holds here as well. What
 * differs, and is left out of this list for it, is named in docs/uwebsockets.md and tested in the other files of this folder.
 */

process.env.TEST_HOST = "uws";

const suites = [
  "public-api/acceptance/c-receiving",
  "public-api/acceptance/d-rooms",
  "public-api/acceptance/h-recovery",
  "public-api/acceptance/i-several-servers",
  "public-api/acceptance/j-parsers",
  "public-api/api/acknowledgements",
  "public-api/api/broadcast",
  "public-api/api/client",
  "public-api/api/documentation",
  "public-api/api/drain",
  "public-api/api/drained",
  "public-api/api/early-return",
  "public-api/api/middlewares",
  "public-api/api/namespace",
  "public-api/api/recovery",
  "public-api/api/slow-readers",
  "protocol/hostile/async-context",
  "protocol/hostile/callbacks",
  "protocol/hostile/faults",
  "protocol/hostile/lagging-loop",
  "protocol/hostile/packets",
  "protocol/hostile/random-sessions",
  "protocol/hostile/slow-readers",
  "protocol/hostile/total-held-input",
  "protocol/wire/engine/compression",
  "protocol/wire/engine/cookies",
  "protocol/wire/engine/cors",
  "protocol/wire/engine/headers",
  "protocol/wire/engine/heartbeat",
  "protocol/wire/engine/origins",
  "protocol/wire/engine/polling-bodies",
  "protocol/wire/engine/polling-payloads",
  "protocol/wire/engine/prepared-frames",
  "protocol/wire/engine/shared-compression",
  "protocol/wire/engine/third-parties",
  "protocol/wire/engine/upgrade-candidates",
  "protocol/wire/sio/bad-packets",
  "protocol/wire/sio/legacy-sio",
];
for (const suite of suites) await import(`../../${suite}.test.js`);
