import { test } from "node:test";
import assert from "node:assert/strict";
import { startEngine } from "../../../support/server.js";
import { once } from "../../../support/client.js";
import { HttpConnection, PollingSession, WireSocket, http, refusedUpgrade } from "../../../support/wire-client.js";
import { POLLING, WEBSOCKET, startEcho } from "../../../support/engine.js";
import { oursOnly } from "../../../support/target.js";

const conformance = { pingInterval: 300, pingTimeout: 200, cors: { origin: "*" } };
const OPEN = /^0\{"sid":"([A-Za-z0-9_-]{20})","upgrades":\["websocket"\],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000\}$/;

test("opens a polling session with exactly one open packet [EIO-10, EIO-11, EIO-40, EIO-41, ENG-10, ENG-206]", async (t) => {
  const { port } = await startEngine(t);
  const response = await http(port, { path: POLLING });
  assert.equal(response.status, 200);
  assert.match(response.text, OPEN);
  assert.equal(response.headers["content-length"], "118");
});

test("puts the configured timings and limit into the open packet and nothing else [EIO-41, EIO-130]", async (t) => {
  const { port } = await startEngine(t, conformance);
  const { handshake } = await PollingSession.open(port);
  assert.deepEqual(Object.keys(handshake), ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]);
  const { sid, ...rest } = handshake;
  assert.equal(typeof sid, "string");
  assert.deepEqual(rest, { upgrades: ["websocket"], pingInterval: 300, pingTimeout: 200, maxPayload: 1000000 });
});

for (const [how, options] of [
  ["at once", {}],
  ["after allowRequest was asked", { allowRequest: (_req, answer) => setImmediate(answer, null, true) }],
]) {
  test(`answers handshakes that are pipelined on one connection, ${how} [ROB-156]`, async (t) => {
    const { port, engine } = await startEngine(t, options);
    const agent = await HttpConnection.open(port);
    const answers = await Promise.all([1, 2, 3].map(() => agent.request({ path: POLLING })));
    for (const { text } of answers) assert.match(text, OPEN);
    assert.equal(engine.clientsCount, 3);
  });
}

test("announces maxHttpBufferSize as maxPayload [EIO-41, EIO-54]", async (t) => {
  const { port } = await startEngine(t, { maxHttpBufferSize: 1234 });
  assert.equal((await PollingSession.open(port)).handshake.maxPayload, 1234);
});

test("sends the open packet as the first text frame, without upgrades, on WebSocket [EIO-42, EIO-20]", async (t) => {
  const { port } = await startEngine(t);
  const ws = await WireSocket.open(port, WEBSOCKET);
  const open = await ws.next();
  assert.match(open, /^0\{"sid":"[A-Za-z0-9_-]{20}","upgrades":\[\],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000\}$/);
  assert.deepEqual({ ...ws.frames[0], payload: null }, { fin: true, rsv: 0, opcode: 1, masked: false, payload: null });
});

for (const [options, upgrades] of [
  [{}, ["websocket"]],
  [{ transports: ["polling", "websocket", "webtransport"] }, ["websocket", "webtransport"]],
  [{ transports: ["webtransport", "websocket", "polling"] }, ["websocket", "webtransport"]],
  [{ transports: ["polling"] }, []],
  [{ allowUpgrades: false }, []],
]) {
  test(`announces upgrades ${JSON.stringify(upgrades)} with ${JSON.stringify(options)} [EIO-43, ENG-10]`, async (t) => {
    const { port } = await startEngine(t, options);
    assert.deepEqual((await PollingSession.open(port)).handshake.upgrades, upgrades);
  });
}

test("sends the initial packet after the open packet, in the same payload [EIO-44]", async (t) => {
  const { port } = await startEngine(t, { initialPacket: "hey" });
  const response = await http(port, { path: POLLING });
  assert.match(response.text, /^0\{[^\x1e]*\}\x1e4hey$/);
});

test("sends the initial packet after the open packet, as the second frame [EIO-44, EIO-20]", async (t) => {
  const { port } = await startEngine(t, { initialPacket: "hey" });
  const ws = await WireSocket.open(port, WEBSOCKET);
  assert.match(await ws.next(), /^0\{/);
  await ws.expect("4hey");
});

test("takes an empty sid as a handshake [EIO-4]", async (t) => {
  const { port } = await startEngine(t);
  const response = await http(port, { path: `${POLLING}&sid=` });
  assert.equal(response.status, 200);
  assert.match(response.text, OPEN);
});

test("exposes all other query parameters on the request [EIO-4, ENG-205]", async (t) => {
  const { engine, port } = await startEngine(t);
  const connection = once(engine, "connection");
  await http(port, { path: `${POLLING}&t=abc&user=j%20d&__proto__=x&constructor=y` });
  const [session] = await connection;
  const query = session.request._query;
  assert.equal(query.user, "j d");
  assert.equal(query.t, "abc");
  assert.equal(query.EIO, "4");
  assert.equal(Object.getOwnPropertyDescriptor(query, "constructor").value, "y");
  assert.equal({}.x, undefined);
  assert.equal(typeof {}.constructor, "function");
});

test("keeps __proto__ of the query away from every prototype [EIO-5, ENG-205]", async (t) => {
  const { engine, port } = await startEngine(t);
  const connection = once(engine, "connection");
  await http(port, { path: `${POLLING}&__proto__=x&__proto__[polluted]=1` });
  const [{ request }] = await connection;
  assert.equal(Object.getOwnPropertyDescriptor(request._query, "__proto__")?.value, "x");
  assert.equal({}.polluted, undefined);
});

test("takes the last value of a repeated parameter [EIO-5]", async (t) => {
  const { port } = await startEngine(t);
  const refused = await http(port, { path: "/engine.io/?EIO=4&transport=polling&transport=tobi" });
  assert.equal(refused.text, '{"code":0,"message":"Transport unknown"}');
  const accepted = await http(port, { path: "/engine.io/?EIO=3&EIO=4&transport=tobi&transport=polling" });
  assert.match(accepted.text, OPEN);
});

for (const transport of ["__proto__", "constructor", "toString", "hasOwnProperty", "tobi", ""]) {
  test(`knows no transport "${transport}" [EIO-5, EIO-131, ENG-40, ENG-42]`, async (t) => {
    const { port } = await startEngine(t);
    const response = await http(port, { path: `/engine.io/?EIO=4&transport=${transport}` });
    assert.equal(response.status, 400);
    assert.equal(response.text, '{"code":0,"message":"Transport unknown"}');
  });
}

for (const eio of ["", "&EIO=3", "&EIO=5", "&EIO=4.0", "&EIO=abc", "&EIO="]) {
  test(`refuses revision "${eio}" on polling unless revision 3 is allowed [EIO-1, EIO-2, EIO-131, ENG-40]`, async (t) => {
    const { engine, port } = await startEngine(t);
    const refusal = once(engine, "connection_error");
    const response = await http(port, { path: `/engine.io/?transport=polling${eio}` });
    assert.equal(response.status, 400);
    assert.equal(response.text, '{"code":5,"message":"Unsupported protocol version"}');
    const [{ code, context }] = await refusal;
    assert.deepEqual({ code, context }, { code: 5, context: { protocol: 3 } });
  });
}

for (const [method, path, text] of [
  ["GET", "/engine.io/?EIO=4", '{"code":0,"message":"Transport unknown"}'],
  ["GET", "/engine.io/?EIO=4&transport=abc", '{"code":0,"message":"Transport unknown"}'],
  ["POST", POLLING, '{"code":2,"message":"Bad handshake method"}'],
  ["PUT", POLLING, '{"code":2,"message":"Bad handshake method"}'],
]) {
  test(`refuses the polling handshake ${method} ${path} [EIO-131, ENG-40]`, async (t) => {
    const { port } = await startEngine(t, conformance);
    const response = await http(port, { method, path, body: method === "GET" ? undefined : "4a" });
    assert.deepEqual([response.status, response.text], [400, text]);
  });
}

for (const path of ["/engine.io/?EIO=4", "/engine.io/?EIO=4&transport=abc"]) {
  test(`refuses the WebSocket handshake ${path} [EIO-131, ENG-44]`, async (t) => {
    const { port } = await startEngine(t, conformance);
    assert.equal((await refusedUpgrade(port, path)).text, "Transport unknown");
  });
}

for (const path of ["/engine.io/?transport=websocket", "/engine.io/?EIO=abc&transport=websocket"]) {
  test(`ends the connection of the WebSocket handshake ${path} [EIO-131, ENG-45]`, async (t) => {
    const { engine, port } = await startEngine(t, conformance);
    const refusal = once(engine, "connection_error");
    const ws = await WireSocket.open(port, path).catch((error) => error);
    if (ws instanceof WireSocket) await ws.closed();
    assert.equal((await refusal)[0].code, 5);
    assert.equal(engine.clientsCount, 0);
  });

  test(
    `answers the WebSocket handshake ${path} before the 101 [EIO-2, ENG-44, ENG-45]`,
    oursOnly("it writes the refusal after the 101"),
    async (t) => {
      const { port } = await startEngine(t, conformance);
      const response = await refusedUpgrade(port, path);
      assert.equal(
        response.raw,
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-type: text/html\r\nContent-Length: 28\r\n\r\nUnsupported protocol version",
      );
    },
  );
}

test("gives every session an id of 20 characters that reveals nothing about others [ENG-17]", async (t) => {
  const { port } = await startEngine(t);
  const sids = [];
  for (let i = 0; i < 20; i++) sids.push((await PollingSession.open(port)).sid);
  assert.equal(new Set(sids).size, 20);
  for (const sid of sids) assert.match(sid, /^[A-Za-z0-9_-]{20}$/);
});

test("gives ids without a sequence in them [ENG-17]", oursOnly("its ids end in a sequence number"), async (t) => {
  const { port } = await startEngine(t);
  const tails = new Set();
  for (let i = 0; i < 8; i++) tails.add((await PollingSession.open(port)).sid.slice(-6, -1));
  assert.equal(tails.size, 8);
});

test("serves the echo of the conformance suite on both transports [EIO-132, EIO-136]", async (t) => {
  const { port } = await startEcho(t, conformance);
  const polling = await PollingSession.open(port);
  assert.equal((await polling.post("4hello")).text, "ok");
  assert.deepEqual(await polling.poll(), ["4hello"]);
  const ws = await WireSocket.open(port, WEBSOCKET);
  await ws.next();
  ws.send("4hello", Buffer.from([1, 2, 3, 4]));
  await ws.expect("4hello");
  await ws.expect(Buffer.from([1, 2, 3, 4]));
});
