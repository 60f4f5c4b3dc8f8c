// The official adapters with `socket.io-adapter` replaced by `roomcast/adapter`, as an alias in package.json would do it.
import { createRequire } from "node:module";
import assert from "node:assert/strict";
import { test } from "node:test";

const require = createRequire(import.meta.url);
require("./roomcast-base.cjs");
const { postgresBackend, redisBackends } = await import("./backends.js");
const { declareContract } = await import("./contract.js");

const { backends } = await redisBackends();
const all = [...backends, await postgresBackend()];

test("runs on our base class [MEM-1]", () => {
  assert.equal(require("socket.io-adapter").ClusterAdapter, require("../../dist/public/adapter.js").ClusterAdapter);
});

for (const backend of all) declareContract(backend);
