/** Every callback of an application, failing in every way: the client in question gets an answer, all others are served. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openBystander, startChild, WEBSOCKET_PATH } from "../../support/hostile/child.js";
import { oursOnly } from "../../support/target.js";
import { http, HttpConnection, refusedUpgrade, requestBytes, upgradeBytes, WireSocket } from "../../support/wire-client.js";

const POLLING_PATH = "/socket.io/?EIO=4&transport=polling";
const OURS = oursOnly("it ends the process, or leaves the client waiting");
const BAD = { "X-Bad": "1", Origin: "https://bad.example" };
const FAILURES = ["throws", "rejects", "throws nothing", "throws what has no text"];

async function start(t, place, guarded = false) {
  const child = await startChild(t, { app: "callbacks", appConfig: { place }, guarded });
  const bystander = await openBystander(t, child);
  /** Others are served, old ones and new ones; nothing is left of the bad one. */
  const allGoOn = async () => {
    await bystander.check();
    const fresh = await openBystander(t, child);
    await fresh.check();
    fresh.ws.abort();
    await child.untilClients(1);
    if (!guarded) await child.assertUnharmed();
  };
  return { child, allGoOn };
}

async function warningOf(child, code) {
  const [, message, detail] = await child.report("warning", code);
  assert.doesNotMatch(message, /\n/);
  if (detail !== undefined) for (const line of detail.split("\n")) assert.match(line, /^ {4}/);
  return message;
}

// -- callbacks that judge a request ------------------------------------------------------------------

const GATES = [
  ["allowRequest", "ROOMCAST_CALLBACK_FAILED"],
  ["cors delegate", "ROOMCAST_CALLBACK_FAILED"],
  ["cors.origin", "ROOMCAST_CALLBACK_FAILED"],
  ["cors.origin of a delegate", "ROOMCAST_CALLBACK_FAILED"],
  ["engine.use", "ROOMCAST_MIDDLEWARE_FAILED"],
  ["generateId", "ROOMCAST_CALLBACK_FAILED"],
];
for (const [place, code] of GATES) {
  test(`answers 400, with a process warning, when ${place} throws or rejects [ROB-201, ROB-203]`, OURS, async (t) => {
    const { child, allGoOn } = await start(t, place);
    for (const how of FAILURES) {
      await child.call("fail", how);
      assert.equal((await http(child.port, { path: POLLING_PATH, headers: BAD })).status, 400, how);
      await warningOf(child, code);
      assert.equal((await refusedUpgrade(child.port, WEBSOCKET_PATH, BAD)).status, 400, how);
      await warningOf(child, code);
    }
    await allGoOn();
  });

  test(`keeps nothing of clients that leave while ${place} never settles [ROB-202]`, OURS, async (t) => {
    const { child, allGoOn } = await start(t, place);
    await child.call("fail", "never settles");
    const poll = new HttpConnection(child.port);
    const upgrade = new HttpConnection(child.port);
    await Promise.all([poll.connected, upgrade.connected]);
    poll.write(requestBytes(child.port, { path: POLLING_PATH, headers: BAD }));
    upgrade.write(upgradeBytes(child.port, WEBSOCKET_PATH, BAD));
    await allGoOn();
    assert.equal(poll.received.length + upgrade.received.length, 0);
    poll.abort();
    upgrade.abort();
    await child.untilClients(1);
    await allGoOn();
  });
}

test("keeps the client that allowRequest accepted before it failed [ROB-201]", OURS, async (t) => {
  const { child, allGoOn } = await start(t, "allowRequest, after its answer");
  for (const how of ["throws", "rejects"]) {
    await child.call("fail", how);
    const ws = await WireSocket.open(child.port, WEBSOCKET_PATH, BAD);
    assert.match(await ws.next(), /^0\{/);
    await warningOf(child, "ROOMCAST_CALLBACK_FAILED");
    ws.abort();
    await child.untilClients(1);
  }
  await allGoOn();
});

// -- headers ---------------------------------------------------------------------------------------

const HEADERS = [
  ["X-Split", "a\r\nX-Injected: b"],
  ["X-Feed", "a\nb"],
  ["X-Nul", "a\u0000b"],
  ["X-Wide", "€"],
  ["Bad Name", "a"],
  ["", "a"],
  ["X-List", ["good", "a\r\nb"]],
];
for (const event of ["initial_headers", "headers"]) {
  test(`answers 500, with a process warning, when a listener of ${event} sets an invalid header [ROB-204, ENG-78]`, OURS, async (t) => {
    const { child, allGoOn } = await start(t, `header of a listener of ${event}`);
    for (const header of HEADERS) {
      await child.call("fail", "", header);
      const poll = await http(child.port, { path: POLLING_PATH, headers: BAD });
      assert.deepEqual([poll.status, poll.text, poll.headers["x-injected"]], [500, "", undefined], header[0]);
      if (header === HEADERS[0]) await warningOf(child, "ROOMCAST_HEADER_INVALID");
      const upgrade = await refusedUpgrade(child.port, WEBSOCKET_PATH, BAD);
      assert.deepEqual([upgrade.status, upgrade.headers["x-injected"]], [500, undefined], header[0]);
      if (header === HEADERS[0]) await warningOf(child, "ROOMCAST_HEADER_INVALID");
    }
    await allGoOn();
  });
}

test("answers 400 when a middleware of the engine sets a header that can't be sent [ROB-204, ENG-74]", OURS, async (t) => {
  const { child, allGoOn } = await start(t, "header of a middleware");
  for (const header of HEADERS) {
    await child.call("fail", "", header);
    assert.equal((await http(child.port, { path: POLLING_PATH, headers: BAD })).status, 400, header[0]);
    assert.equal((await refusedUpgrade(child.port, WEBSOCKET_PATH, BAD)).status, 400, header[0]);
  }
  await allGoOn();
});

test("refuses the upgrade of a session, which stays on polling, when a header can't be sent [ROB-204]", OURS, async (t) => {
  const { child, allGoOn } = await start(t, "header of a listener of headers");
  await child.call("fail", "", HEADERS[0]);
  const [, sid] = /"sid":"([^"]+)"/.exec((await http(child.port, { path: POLLING_PATH })).text);
  assert.equal((await refusedUpgrade(child.port, `${WEBSOCKET_PATH}&sid=${sid}`, BAD)).status, 500);
  const path = `${POLLING_PATH}&sid=${sid}`;
  assert.equal((await http(child.port, { path, method: "POST", body: "40" })).status, 200);
  assert.match((await http(child.port, { path })).text, /^40\{/);
  await http(child.port, { path, method: "POST", body: "1" });
  await allGoOn();
});

// -- callbacks that judge who joins ----------------------------------------------------------------

async function join(child, packet, headers) {
  const ws = await WireSocket.open(child.port, WEBSOCKET_PATH, headers);
  await ws.next();
  ws.send(packet);
  return ws;
}

const DOORS = [
  ["io.use", "40", /^44\{"message":/],
  ["namespace.use", "40/bad,", /^44\/bad,\{"message":/],
  ["function of a dynamic namespace", "40/bad,", /^44\/bad,\{"message":"Invalid namespace"\}$/],
  ["adapter of a dynamic namespace", "40/bad\u0007,", /^44\/bad\u0007,\{"message":"Invalid namespace"\}$/],
];
for (const [place, packet, refusal] of DOORS) {
  const isAdapter = place.startsWith("adapter");
  test(
    `refuses a client, with a process warning, when ${place} ${isAdapter ? "throws" : "throws or rejects"} [ROB-201, ROB-203]`,
    OURS,
    async (t) => {
      const { child, allGoOn } = await start(t, place);
      for (const how of isAdapter ? ["throws"] : FAILURES) {
        await child.call("fail", how);
        const ws = await join(child, packet, BAD);
        assert.match(await ws.next(), refusal, how);
        await warningOf(child, isAdapter ? "ROOMCAST_CALLBACK_FAILED" : "ROOMCAST_MIDDLEWARE_FAILED");
        ws.abort();
        await child.untilClients(1);
      }
      await allGoOn();
    },
  );

  if (isAdapter) continue;
  test(`serves all others while ${place} never settles, and keeps nothing when the client leaves [ROB-202]`, OURS, async (t) => {
    const { child, allGoOn } = await start(t, place);
    await child.call("fail", "never settles");
    const ws = await join(child, packet, BAD);
    ws.abort();
    await child.untilClients(1);
    await allGoOn();
    assert.equal((await child.call("state")).sockets, 1);
  });
}

test("closes the connection of a client when the parser fails to decode its packet [ROB-201]", OURS, async (t) => {
  const { child, allGoOn } = await start(t, "parser: decoder");
  const ws = await join(child, "40/bad,", BAD);
  await ws.closed();
  await allGoOn();
});

test(
  "closes the connection, with a process warning, when the parser fails to encode the answer to a CONNECT [ROB-201, ROB-203]",
  OURS,
  async (t) => {
    const { child, allGoOn } = await start(t, "parser: encoder");
    const ws = await join(child, "40/bad,", BAD);
    await ws.closed();
    await warningOf(child, "ROOMCAST_CALLBACK_FAILED");
    await allGoOn();
    assert.equal((await child.call("state")).sockets, 1);
  },
);

// -- listeners: Node's rule, and still an answer -----------------------------------------------------

const LISTENERS = [
  ["listener of the engine's connection", 200, 101],
  ["listener of connection_error", 403, process.env.TEST_HOST === "uws" ? 403 : 400], // on uWebSockets.js refusals of WebSockets are as those of polling
  ["listener of headers", 500, 500],
];
for (const [place, polling, webSocket] of LISTENERS) {
  test(`answers although a ${place} throws, in a process that handles uncaught errors [ROB-205]`, OURS, async (t) => {
    const { child, allGoOn } = await start(t, place, true);
    assert.equal((await http(child.port, { path: POLLING_PATH, headers: BAD })).status, polling);
    assert.equal((await child.report("uncaught"))[0], "uncaughtException");
    const met = await WireSocket.open(child.port, WEBSOCKET_PATH, BAD).catch(({ response }) => ({ response }));
    assert.equal(met.response.status, webSocket);
    assert.equal((await child.report("uncaught"))[0], "uncaughtException");
    if (met.next) assert.match(await met.next(), /^0\{/);
    met.abort?.();
    if (polling !== 200) await allGoOn();
  });
}

test("lets a client into a namespace although a listener of new_namespace throws [ROB-205]", OURS, async (t) => {
  const { child, allGoOn } = await start(t, "listener of new_namespace", true);
  const ws = await join(child, "40/bad,");
  assert.match(await ws.next(), /^40\/bad,/);
  assert.equal((await child.report("uncaught"))[0], "uncaughtException");
  ws.abort();
  await child.untilClients(1);
  await allGoOn();
});

for (const place of ["socket.use", "listener of an event", "listener of connection"]) {
  test(
    `goes on serving a client when a ${place} throws or rejects, in a process that handles uncaught errors [ROB-205]`,
    OURS,
    async (t) => {
      const { child, allGoOn } = await start(t, place, true);
      for (const [how, kind] of [
        ["throws", "uncaughtException"],
        ["rejects", "unhandledRejection"],
      ]) {
        await child.call("fail", how);
        const ws = await join(child, "40", place === "listener of connection" ? BAD : {});
        assert.match(await ws.next(), /^40\{/);
        ws.send('42["bad"]', '421["echo","x"]');
        await ws.expect('431["x"]');
        assert.equal((await child.report("uncaught"))[0], kind);
        ws.abort();
        await child.untilClients(1);
      }
      await allGoOn();
    },
  );
}

// -- the rate of warnings ----------------------------------------------------------------------------

test("warns at most ten times a minute of what clients can cause, and says that more are left out [ROB-203]", OURS, async (t) => {
  const { child, allGoOn } = await start(t, "allowRequest");
  for (let i = 0; i < 40; i++) await http(child.port, { path: POLLING_PATH, headers: BAD });
  await allGoOn();
  const warnings = child.reports.all.filter(([kind]) => kind === "warning");
  assert.equal(warnings.length, 10);
  assert.match(warnings[9][2], /more of these are left out for a minute/);
});

// -- logs --------------------------------------------------------------------------------------------

test("writes no line that a peer made up, to warnings or to DEBUG [ROB-206]", async (t) => {
  process.env.DEBUG = "engine*,socket.io*";
  t.after(() => delete process.env.DEBUG);
  const { child } = await start(t, "function of a dynamic namespace");
  const forgeries = ["\nforged", "\r\nforged", "\u2028forged", "\u0085forged", "\u001b[2Jforged"];
  for (const forgery of forgeries) {
    const escaped = encodeURIComponent(forgery);
    for (const query of [`&sid=${escaped}`, `&transport=${escaped}`, `&x=${escaped}`]) {
      await http(child.port, { path: `${POLLING_PATH}${query}` });
    }
    for (const name of [`/bad${forgery}`, `/good${forgery}`]) {
      const ws = await join(child, `40${name},`);
      await ws.next();
      ws.send(`42${name},[${JSON.stringify(forgery)}]`, `42${name},{"${forgery}"`);
      await ws.closed();
    }
  }
  await child.untilClients(1 + forgeries.length); // the polling sessions
  await child.call("state");
  assert.match(child.output, /forged/);
  const lines = child.output.split(/[\n\r\u0085\u2028]/);
  assert.deepEqual(
    lines.filter((line) => /^forged|\u001b\[2J/.test(line)),
    [],
  );
  await child.assertUnharmed();
});
