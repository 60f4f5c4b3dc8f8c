import { test } from "node:test";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { EventEmitter } from "node:events";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { once, record } from "../../../support/client.js";
import { WireSocket } from "../../../support/wire-client.js";
import { POLLING, WEBSOCKET, ending, openPolling, openWebSocket, pollingPair, webSocketPair } from "../../../support/engine.js";
import { within } from "../../../support/wait.js";
import { startEngine } from "../../../support/server.js";
import { oursOnly } from "../../../support/target.js";

/** A session whose transport takes packets now. */
async function writable(session) {
  if (!session.transport.writable) await once(session.transport, "ready");
}

/** A poll that the server is known to hold. */
async function waitingPoll(client, session) {
  const ready = once(session.transport, "ready");
  const get = client.get();
  await ready;
  return { get };
}

test("has its id, transport and state, by polling [ENG-130, ENG-201]", async (t) => {
  const { engine, client, session } = await pollingPair(t);
  assert.equal(session.id, client.sid);
  assert.equal(session.protocol, 4);
  assert.equal(session.readyState, "open");
  assert.equal(session.transport.name, "polling");
  assert.match(session.remoteAddress, /127\.0\.0\.1$/);
  assert.deepEqual([session.upgrading, session.upgraded], [false, false]);
  assert.equal(session.server, engine);
  assert.equal(session.writeBuffer.length, 0);
  assert.equal(session.request.url, POLLING);
});

test("has its id, transport and state, on WebSocket [ENG-130, ENG-132, ENG-201]", async (t) => {
  const { session, ws, open } = await webSocketPair(t);
  assert.equal(session.id, JSON.parse(open.slice(1)).sid);
  assert.equal(session.transport.name, "websocket");
  assert.equal(session.request.url, WEBSOCKET);
  assert.deepEqual([session.upgrading, session.upgraded], [false, false]);
  const end = ending(session);
  ws.close();
  await end;
  assert.equal(session.readyState, "closed");
  assert.match(session.remoteAddress, /127\.0\.0\.1$/);
});

test("keeps what programs read from its request, without the response [ENG-131, ENG-205]", async (t) => {
  const { session } = await pollingPair(t, {}, { query: "user=ann", headers: { "X-Mine": "1", Cookie: "a=b" } });
  const { request } = session;
  assert.equal(request._query.user, "ann");
  assert.equal(request.headers["x-mine"], "1");
  assert.equal(request.headers.cookie, "a=b");
  assert.match(request.url, /user=ann$/);
  assert.equal(typeof request.connection.remoteAddress, "string");
  assert.equal(request.socket, request.connection);
  assert.equal(request.res ?? null, null);
});

test("works on when its request was deleted [ENG-131]", async (t) => {
  const { client, session } = await pollingPair(t, { pingInterval: 100, pingTimeout: 3000 });
  delete session.request;
  session.on("data", (message) => session.send(message));
  await client.post("4a");
  assert.ok((await client.poll()).includes("4a"));
  const ws = await client.upgrade();
  ws.send("3", "4b");
  await ws.until((message) => message === "4b");
  const end = ending(session);
  ws.close();
  assert.equal((await end).reason, "transport close");
});

for (const [name, open] of Object.entries({ polling: pollingPair, websocket: webSocketPair })) {
  test(`has no request any more once a program deleted it, ${name} [ROB-520]`, async (t) => {
    const { session } = await open(t);
    assert.notEqual(session.request, null);
    assert.equal(delete session.request, true);
    assert.equal(session.request, undefined);
    assert.equal(Object.hasOwn(session, "request"), false);
  });

  test(`ends with the error that a program hands to onError, ${name} [ROB-521]`, async (t) => {
    const { session, client, ws } = await open(t);
    if (ws === undefined) await waitingPoll(client, session).then(({ get }) => void get.catch(() => {}));
    const error = new Error("not wanted");
    const end = ending(session);
    session.onError(error);
    assert.deepEqual(await end, { reason: "transport error", description: error });
    if (ws !== undefined) await ws.closed();
  });

  test(`has readyState on the prototypes of session and transport, ${name} [ROB-522]`, async (t) => {
    const { session } = await open(t);
    for (const object of [session, session.transport]) {
      assert.equal(Object.hasOwn(object, "readyState"), false);
      assert.equal("readyState" in Object.getPrototypeOf(object), true);
      assert.equal(object.readyState, "open");
      object.readyState = "closing";
      assert.equal(object.readyState, "closing");
      object.readyState = "open";
    }
  });

  test(`releases callbacks when it ends, ${name} [ROB-523]`, async (t) => {
    const { session } = await open(t);
    for (let i = 0; i < 3; i++) session.send("a", {}, () => assert.fail("nothing was sent"));
    assert.ok(session.packetsFn.length > 0);
    const counts = [];
    session.on("close", () => counts.push(session.packetsFn.length, session.sentCallbackFn.length, session.writeBuffer.length > 0));
    session.close(true);
    assert.deepEqual(counts, [0, 0, true]);
  });
}

test("takes requests on every transport, without an effect where there are none [ROB-524]", async (t) => {
  const { session, ws } = await webSocketPair(t);
  session.transport.onRequest({});
  session.send("a");
  assert.equal(await ws.next(), "4a");
});

test("shows its transport [ENG-132, ENG-83]", async (t) => {
  const { client, session } = await pollingPair(t);
  const polling = session.transport;
  assert.ok(polling instanceof EventEmitter);
  assert.deepEqual(
    [polling.name, polling.writable, polling.readyState, polling.protocol, polling.supportsBinary],
    ["polling", false, "open", 4, true],
  );
  const upgrade = once(session, "upgrade");
  await client.upgrade();
  await upgrade;
  const { transport } = session;
  assert.deepEqual([transport.name, transport.readyState, transport.protocol, transport.supportsBinary], ["websocket", "open", 4, true]);
  assert.equal(typeof transport.socket.send, "function");
  assert.equal(typeof transport.socket.terminate, "function");
});

for (const [name, open] of Object.entries({ polling: pollingPair, websocket: webSocketPair })) {
  test(`ends when a program closes its transport, ${name}, which says so last [ENG-132]`, async (t) => {
    const { session, client, ws } = await open(t);
    const log = [];
    session.on("close", (reason) => log.push(reason));
    session.transport.on("close", () => log.push("transport"));
    const closed = once(session.transport, "close");
    const waiting = ws === undefined ? await waitingPoll(client, session) : null;
    session.transport.close();
    if (waiting === null) assert.equal((await ws.closed()).code, 1005);
    else assert.equal((await waiting.get).text, "1");
    await closed;
    assert.deepEqual(log, ["transport close", "transport"]);
    assert.deepEqual([session.readyState, session.transport.readyState], ["closed", "closed"]);
  });
}

test("shows the sid on its transport [ENG-132]", async (t) => {
  const { client, session } = await pollingPair(t);
  assert.equal(session.transport.sid, client.sid);
});

test("says of a transport opened with b64 that it takes no binary [ENG-132, EIO-22]", async (t) => {
  const { session } = await webSocketPair(t, {}, { path: `${WEBSOCKET}&b64=1` });
  assert.equal(session.transport.supportsBinary, false);
});

for (const method of ["send", "write"]) {
  test(`takes data, options and callback in ${method}, and returns the session [ENG-133]`, async (t) => {
    const { ws, session } = await webSocketPair(t);
    const called = once(session, "called");
    assert.equal(session[method]("a"), session);
    assert.equal(session[method]("b", { compress: false }), session);
    assert.equal(
      session[method]("c", {}, () => {}),
      session,
    );
    assert.equal(
      session[method]("d", () => session.emit("called")),
      session,
    );
    for (const text of ["4a", "4b", "4c", "4d"]) await ws.expect(text);
    await called;
  });
}

test(
  "takes null for no options, and leaves the caller's options alone [ENG-133]",
  oursOnly("it throws on null and writes into the object"),
  async (t) => {
    const { ws, session } = await webSocketPair(t);
    const options = Object.freeze({});
    session.send("a", null);
    session.send("b", options);
    session.send("c", undefined, undefined);
    for (const text of ["4a", "4b", "4c"]) await ws.expect(text);
    assert.deepEqual(Object.keys(options), []);
  },
);

test("emits packetCreate synchronously, before the packet is queued [ENG-135]", async (t) => {
  const { session } = await pollingPair(t);
  const seen = [];
  session.on("packetCreate", (packet) => seen.push([packet.type, packet.data, "data" in packet, session.writeBuffer.length]));
  session.send("a", { compress: false });
  session.send("");
  session.send(Buffer.from([1]));
  assert.deepEqual(seen, [
    ["message", "a", true, 0],
    ["message", undefined, false, 1],
    ["message", Buffer.from([1]), true, 2],
  ]);
});

test("shows the options of a packet at its creation [ENG-135, ENG-101]", async (t) => {
  const { session } = await pollingPair(t);
  const seen = [];
  session.on("packetCreate", ({ options }) => seen.push(options.compress));
  session.send("a");
  session.send("b", { compress: false });
  assert.deepEqual(seen, [true, false]);
});

test("shows what is queued in writeBuffer, in order [ENG-130]", async (t) => {
  const { client, session } = await pollingPair(t);
  session.send("a");
  session.send("b");
  assert.deepEqual(
    session.writeBuffer.map(({ type, data }) => [type, data]),
    [
      ["message", "a"],
      ["message", "b"],
    ],
  );
  await client.poll();
  assert.equal(session.writeBuffer.length, 0);
});

test("emits flush and drain around a flush by polling, in this order [ENG-136, ENG-137]", async (t) => {
  const { engine, client, session } = await pollingPair(t);
  const { get } = await waitingPoll(client, session);
  const order = [];
  session.on("packetCreate", () => order.push(["packetCreate"]));
  session.on("flush", (buffer) => order.push(["session flush", buffer.length]));
  engine.on("flush", (of, buffer) => order.push(["engine flush", of === session, buffer.length]));
  engine.on("headers", () => order.push(["headers"]));
  session.on("drain", () => order.push(["session drain"]));
  engine.on("drain", (of) => order.push(["engine drain", of === session]));
  session.send("a", (transport) => order.push(["callback", transport === session.transport]));
  await get;
  assert.deepEqual(order, [
    ["packetCreate"],
    ["session flush", 1],
    ["engine flush", true, 1],
    ["headers"],
    ["callback", true],
    ["session drain"],
    ["engine drain", true],
  ]);
});

test("calls back after drain on WebSocket, in order, once each [ENG-137, ENG-115]", async (t) => {
  const { ws, session } = await webSocketPair(t);
  await writable(session);
  const order = [];
  session.on("drain", () => order.push("drain"));
  const done = new Promise((resolve) =>
    session.send("a", (transport) => {
      order.push("a", transport === session.transport);
      resolve();
    }),
  );
  session.send("b", () => order.push("b"));
  await done;
  await ws.expect("4a");
  await ws.expect("4b");
  const last = new Promise((resolve) =>
    session.send("c", () => {
      order.push("c");
      resolve();
    }),
  );
  await last;
  assert.equal(order[0], "drain");
  assert.deepEqual(
    order.filter((entry) => entry !== "drain"),
    ["a", true, "b", "c"],
  );
});

test("calls back batch by batch, for what was sent only [ENG-137]", async (t) => {
  const { client, session } = await pollingPair(t);
  const called = [];
  session.send("a", () => called.push("a"));
  session.send("b", () => called.push("b"));
  assert.deepEqual(called, []);
  await client.poll();
  assert.deepEqual(called, ["a", "b"]);
  session.send("c", () => called.push("c"));
  assert.deepEqual(called, ["a", "b"]);
  await client.poll();
  assert.deepEqual(called, ["a", "b", "c"]);
});

test("spends no callback on a poll that only carries a noop [ENG-138, EIO-81]", async (t) => {
  const { client, session } = await pollingPair(t);
  const called = [];
  const candidate = await client.candidate();
  candidate.send("2probe");
  await candidate.expect("3probe");
  assert.deepEqual(await client.poll(), ["6"]);
  const sent = new Promise((resolve) => session.send("a", () => resolve(called.push("a"))));
  assert.deepEqual(called, []);
  candidate.send("5");
  await candidate.expect("4a");
  assert.equal(await within(sent, "the callback"), 1);
});

test("emits packet, then data, then message for what it receives [ENG-139, ENG-202]", async (t) => {
  const { client, session } = await pollingPair(t);
  const seen = record(session, "packet", "data", "message", "heartbeat");
  await client.post("4a\x1e3\x1e6\x1ebAQID");
  const reduced = seen.events.map(([name, value]) => (name === "packet" ? [name, value.type, value.data] : [name, value]));
  assert.deepEqual(
    reduced.filter(([name]) => name !== "heartbeat"),
    [
      ["packet", "message", "a"],
      ["data", "a"],
      ["message", "a"],
      ["packet", "pong", undefined],
      ["packet", "noop", undefined],
      ["packet", "message", Buffer.from([1, 2, 3])],
      ["data", Buffer.from([1, 2, 3])],
      ["message", Buffer.from([1, 2, 3])],
    ],
  );
  assert.equal(seen.names.filter((name) => name === "heartbeat").length, 1);
});

test("calls engine listeners for each flush and drain, with every method that adds or removes them [ENG-136, ENG-137]", async (t) => {
  const { engine, ws, session } = await webSocketPair(t);
  const heard = [];
  const listener = (of) => heard.push(of === session);
  const exchange = async () => {
    heard.length = 0;
    await writable(session);
    session.send("a");
    await ws.expect("4a");
    return heard.length;
  };
  assert.equal(await exchange(), 0);
  for (const event of ["flush", "drain"]) {
    for (const method of ["on", "addListener", "prependListener"]) {
      for (const remove of ["off", "removeListener"]) {
        engine[method](event, listener);
        assert.equal(await exchange(), 1, `${event} by ${method}`);
        engine[remove](event, listener);
        assert.equal(await exchange(), 0, `${event} after ${remove}`);
      }
    }
    for (const method of ["once", "prependOnceListener"]) {
      engine[method](event, listener);
      assert.equal(await exchange(), 1, `${event} by ${method}`);
      assert.equal(await exchange(), 0, `${event} the second time, by ${method}`);
    }
    for (const args of [[event], []]) {
      engine.on(event, listener).on(event, listener);
      assert.equal(await exchange(), 2);
      engine.removeAllListeners(...args);
      assert.equal(await exchange(), 0);
    }
  }
});

test("emits connection after everything else of a polling handshake [ENG-142]", async (t) => {
  const { engine, port } = await startEngine(t);
  const seen = record(engine, "flush", "initial_headers", "headers", "drain", "connection");
  await openPolling({ engine, port });
  assert.deepEqual(seen.names, ["flush", "initial_headers", "headers", "drain", "connection"]);
});

test("emits connection after everything else of a WebSocket handshake [ENG-142]", async (t) => {
  const { engine, port } = await startEngine(t);
  const seen = record(engine, "initial_headers", "headers", "flush", "drain", "connection");
  await openWebSocket({ engine, port });
  assert.deepEqual(seen.names, ["initial_headers", "headers", "flush", "drain", "connection"]);
});

test("is registered and open when connection is emitted [ENG-142, ENG-143]", async (t) => {
  const { engine, port } = await startEngine(t);
  const seen = [];
  engine.on("connection", (session) => seen.push([session.readyState, engine.clients[session.id] === session, engine.clientsCount]));
  await openPolling({ engine, port });
  await openWebSocket({ engine, port });
  assert.deepEqual(seen, [
    ["open", true, 1],
    ["open", true, 2],
  ]);
});

test("emits neither open nor error to listeners of a program [ENG-141]", async (t) => {
  const { engine, port } = await startEngine(t);
  const seen = [];
  engine.on("connection", (session) => {
    session.on("open", () => seen.push("open"));
    session.on("error", () => seen.push("error"));
  });
  const { client, session } = await openPolling({ engine, port });
  const end = ending(session);
  await client.post("abc");
  await end;
  assert.deepEqual(seen, []);
});

test("lets a data listener answer at once, in order, on both transports [ENG-136, ENG-139]", async (t) => {
  const { engine, port } = await startEngine(t);
  engine.on("connection", (session) =>
    session.on("data", (text) => {
      session.send(`${text}1`);
      session.send(`${text}2`);
    }),
  );
  const polling = await openPolling({ engine, port });
  await polling.client.post("4a\x1e4b");
  assert.deepEqual(await polling.client.poll(), ["4a1", "4a2", "4b1", "4b2"]);
  const ws = await WireSocket.open(port, WEBSOCKET);
  await ws.next();
  ws.send("4a", "4b");
  for (const text of ["4a1", "4a2", "4b1", "4b2"]) await ws.expect(text);
});

test("leaves what a data listener throws to the process, and other sessions go on [ENG-93, ENG-166]", async () => {
  const script = fileURLToPath(new URL("../../../support/fixtures/throwing-listener.mjs", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [script], { timeout: 15000 });
  const thrown = "the listener's own";
  assert.deepEqual(JSON.parse(stdout), { uncaught: [thrown, thrown], framed: "4good", polled: ["4good"] });
});
