/** Engine middlewares that keep no rule; row 19 of the list of known attacks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startChild, WEBSOCKET_PATH } from "../../support/hostile/child.js";
import { oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { http, rawRequest, upgradeBytes, WireSocket } from "../../support/wire-client.js";

const POLLING_PATH = "/socket.io/?EIO=4&transport=polling";
const FAILURE = '{"code":3,"message":"Bad request"}';

/** What the middleware does, and the one outcome: `open` a session, `refused` by code 3, or the `own` answer of the middleware. */
const CASES = [
  ["twice", "open"],
  ["twice, later", "open"],
  ["good, then error", "open"],
  ["next, then throws", "open"],
  ["next, then rejects", "open"],
  ["error, then good", "refused"],
  ["throws", "refused"],
  ["rejects", "refused"],
  ["end only", "own"],
  ["end, then next", "own"],
  ["end, then error", "own"],
  ["end, then throws", "own"],
  ["end, then rejects", "own"],
  ["head, then error", "head"],
];
for (const [kind, outcome] of CASES) {
  const skip = kind === "end, then next" ? oursOnly("it writes a second head and ends its process") : {};
  test(
    `gives a polling request one outcome when a middleware is "${kind}" [ENG-70, ENG-71, ENG-72, ENG-43, THREAT-19]`,
    skip,
    async (t) => {
      const child = await startChild(t, { app: "middlewares", appConfig: { kind } });
      for (let i = 0; i < 3; i++) {
        const { status, text } = await http(child.port, { path: POLLING_PATH });
        if (outcome === "open") {
          assert.equal(status, 200);
          assert.match(text, /^0\{"sid":/);
        } else if (outcome === "refused") assert.deepEqual([status, text], [400, FAILURE]);
        else if (outcome === "head") assert.deepEqual([status, text], [418, ""]);
        else assert.deepEqual([status, text], [200, "own"]);
      }
      await assertServing(t, child);
      assert.equal((await child.call("state")).clients, outcome === "open" ? 4 : 1);
    },
  );

  test(`gives an upgrade one outcome when a middleware is "${kind}" [ENG-71, ENG-73]`, async (t) => {
    const child = await startChild(t, { app: "middlewares", appConfig: { kind } });
    for (let i = 0; i < 3; i++) {
      if (outcome === "open") {
        const ws = await WireSocket.open(child.port, WEBSOCKET_PATH);
        assert.match(await ws.next(), /^0\{"sid":/);
        t.after(() => ws.abort());
        continue;
      }
      const answer = (await rawRequest(child.port, upgradeBytes(child.port, WEBSOCKET_PATH))).toString("latin1");
      assert.doesNotMatch(answer, / 101 /);
      if (outcome === "refused") assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n(.+\r\n)+\r\nBad request$/);
      if (outcome === "own") assert.equal(answer, "");
    }
    await assertServing(t, child);
    assert.equal((await child.call("state")).clients, outcome === "open" ? 4 : 1);
  });
}

/** Somebody whom the middleware lets through is served. */
async function assertServing(t, child) {
  const ws = await WireSocket.open(child.port, `${WEBSOCKET_PATH}&good`);
  t.after(() => ws.abort());
  await ws.next();
  ws.send("40");
  assert.match(await within(ws.next(), "the answer to CONNECT"), /^40\{/);
  ws.send('421["echo","x"]');
  await ws.expect('431["x"]');
  await child.assertUnharmed();
}
