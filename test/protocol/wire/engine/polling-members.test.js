/** What programs look at, and replace, on a polling transport; and preflights from public pages. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { once } from "../../../support/client.js";
import { ending, POLLING, pollingPair } from "../../../support/engine.js";
import { startEngine, startServer } from "../../../support/server.js";
import { oursOnly } from "../../../support/target.js";
import { http } from "../../../support/wire-client.js";

test("shows the request of a POST while its packets are delivered [ROB-526]", async (t) => {
  const { client, session } = await pollingPair(t);
  const seen = [];
  session.on("data", () => seen.push(session.transport.dataReq.method));
  await client.post("4a");
  assert.deepEqual(seen, ["POST"]);
  assert.equal(session.transport.dataReq, null);
});

test("hands requests to what a program put in the place of onRequest and onDataRequest [ROB-526]", async (t) => {
  const { client, session } = await pollingPair(t);
  const { transport } = session;
  const seen = [];
  for (const name of ["onRequest", "onDataRequest"]) {
    const original = transport[name];
    transport[name] = function (request, ...rest) {
      seen.push([name, request.method]);
      return original.call(this, request, ...rest);
    };
  }
  const data = once(session, "data");
  assert.equal((await client.post("4a")).text, "ok");
  assert.deepEqual(await data, ["a"]);
  session.send("b");
  assert.equal((await client.get()).text, "4b");
  assert.deepEqual(seen, [
    ["onRequest", "POST"],
    ["onDataRequest", "POST"],
    ["onRequest", "GET"],
  ]);
});

test("emits the headers of each response on the transport, with what old browsers need [ROB-527, ENG-82]", async (t) => {
  const { client, session } = await pollingPair(t);
  const seen = [];
  session.transport.on("headers", (headers, request) => {
    seen.push([request.method, headers["X-XSS-Protection"]]);
    headers["x-mine"] = "1";
  });
  const headers = { "User-Agent": "Mozilla/5.0;MSIE 8" };
  assert.equal((await client.post("4a", { headers })).headers["x-mine"], "1");
  session.send("b");
  assert.equal((await client.get({ headers })).headers["x-mine"], "1");
  assert.deepEqual(seen, [
    ["POST", "0"],
    ["GET", "0"],
  ]);
});

for (const withCallback of [true, false]) {
  test(`ends the session when a program closes the transport, with a callback: ${withCallback} [ROB-528]`, async (t) => {
    const { client, session } = await pollingPair(t);
    const end = ending(session);
    let isCalled = false;
    session.transport.close(withCallback ? () => (isCalled = true) : undefined);
    assert.equal(session.transport.readyState, "closing");
    assert.equal((await client.get()).text, "6\x1e1");
    assert.equal((await end).reason, "transport close");
    assert.equal(isCalled, withCallback);
  });
}

const PREFLIGHT = { Origin: "https://a.example", "Access-Control-Request-Method": "GET", "Access-Control-Request-Private-Network": "true" };
const cors = { origin: "https://a.example" };
const ALLOW = "access-control-allow-private-network";

test("lets public pages reach a private network only when asked to [ROB-470]", oursOnly("it has no such option"), async (t) => {
  for (const [options, expected] of [
    [{ cors }, undefined],
    [{ cors, allowPrivateNetwork: false }, undefined],
    [{ cors, allowPrivateNetwork: true }, "true"],
  ]) {
    const { port } = await startEngine(t, options);
    const { status, headers } = await http(port, { method: "OPTIONS", path: POLLING, headers: PREFLIGHT });
    assert.deepEqual([status, headers[ALLOW], headers["access-control-allow-origin"]], [204, expected, "https://a.example"]);
    const plain = { ...PREFLIGHT, "Access-Control-Request-Private-Network": undefined };
    assert.equal((await http(port, { method: "OPTIONS", path: POLLING, headers: plain })).headers[ALLOW], undefined);
    assert.equal((await http(port, { path: POLLING, headers: PREFLIGHT })).headers[ALLOW], undefined);
  }
});

test("answers such preflights for the client's files, too [ROB-470]", oursOnly("it has no such option"), async (t) => {
  const { port } = await startServer(t, { cors, allowPrivateNetwork: true }, {});
  const { headers } = await http(port, { method: "OPTIONS", path: "/socket.io/socket.io.js", headers: PREFLIGHT });
  assert.equal(headers[ALLOW], "true");
});

test("refuses allowPrivateNetwork without cors, or that is no boolean [ROB-470]", oursOnly("it has no such option"), async (t) => {
  for (const options of [{ allowPrivateNetwork: true }, { cors, allowPrivateNetwork: "yes" }]) {
    await assert.rejects(startEngine(t, options), { code: "RC_ERR_OPTION" });
  }
});
