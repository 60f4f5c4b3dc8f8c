// The suite for adapters of roomcast/testing, over Redis and NATS: what writers of adapters run is held by the adapters of this package, and by official ones.
import { createRequire } from "node:module";
import { test } from "node:test";
import { startBackends } from "./backends.js";

const require = createRequire(import.meta.url);
const { testAdapter } = require("../../../dist/public/testing.js");

const NAMES = ["roomcast/redis with redis", "roomcast/redis, sharded, with redis", "@socket.io/redis-adapter with redis", "roomcast/nats"];
const backends = await startBackends((name) => NAMES.includes(name));

for (const { name, makeAdapter, baseClass } of backends) {
  testAdapter({
    name: `${name} [ROB-964]`,
    test,
    start: async (after) => () => makeAdapter(baseClass, after),
  });
}
