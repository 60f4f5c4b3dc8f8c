// The official adapters as npm installs them: on their own `socket.io-adapter`.
import { createRequire } from "node:module";
import assert from "node:assert/strict";
import { test } from "node:test";
import { postgresBackend, redisBackends } from "./backends.js";
import { declareContract } from "./contract.js";

const { backends } = await redisBackends();
const all = [...backends, await postgresBackend()];

test("runs on the adapters' own base class [MEM-1]", () => {
  const require = createRequire(import.meta.url);
  assert.equal(require("socket.io-adapter/package.json").name, "socket.io-adapter");
});

for (const backend of all) declareContract(backend);
