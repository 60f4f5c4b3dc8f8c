import { test } from "node:test";
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { engine as engineModule, oursOnly, ours } from "../../../support/target.js";
import { startEngine, startHttp } from "../../../support/server.js";
import { once } from "../../../support/client.js";
import {
  HttpConnection,
  PollingSession,
  WireSocket,
  http,
  rawRequest,
  refusedUpgrade,
  upgradeBytes,
} from "../../../support/wire-client.js";
import { within } from "../../../support/wait.js";
import { POLLING, WEBSOCKET, openPolling, pollingPair, startEcho, webSocketPair } from "../../../support/engine.js";

const unknownSid = `${POLLING}&sid=nope`;

/** The refusal event, reduced to what is the same in every run. */
async function refusal(engine) {
  const [{ req, code, message, context }] = await once(engine, "connection_error");
  return { url: req.url, code, message, context };
}

for (const { name, method = "GET", path, status = 400, code, message, context, options } of [
  {
    name: "an unknown transport",
    path: "/engine.io/?EIO=4&transport=foo",
    code: 0,
    message: "Transport unknown",
    context: { transport: "foo" },
  },
  {
    name: "a transport that is not enabled",
    path: POLLING,
    options: { transports: ["websocket"] },
    code: 0,
    message: "Transport unknown",
    context: { transport: "polling" },
  },
  {
    name: "WebTransport over HTTP",
    path: "/engine.io/?EIO=4&transport=webtransport",
    options: { transports: ["polling", "webtransport"] },
    code: 0,
    message: "Transport unknown",
    context: { transport: "webtransport" },
  },
  { name: "an unknown sid", path: unknownSid, code: 1, message: "Session ID unknown", context: { sid: "nope" } },
  {
    name: "the sid constructor",
    path: `${POLLING}&sid=constructor`,
    code: 1,
    message: "Session ID unknown",
    context: { sid: "constructor" },
  },
  { name: "the sid __proto__", path: `${POLLING}&sid=__proto__`, code: 1, message: "Session ID unknown", context: { sid: "__proto__" } },
  { name: "a handshake by POST", method: "POST", path: POLLING, code: 2, message: "Bad handshake method", context: { method: "POST" } },
  {
    name: "a handshake by OPTIONS",
    method: "OPTIONS",
    path: POLLING,
    code: 2,
    message: "Bad handshake method",
    context: { method: "OPTIONS" },
  },
  {
    name: "a WebSocket handshake without upgrade",
    path: WEBSOCKET,
    code: 3,
    message: "Bad request",
    context: { name: "TRANSPORT_HANDSHAKE_ERROR" },
  },
  {
    name: "an old revision",
    path: "/engine.io/?EIO=3&transport=polling",
    code: 5,
    message: "Unsupported protocol version",
    context: { protocol: 3 },
  },
]) {
  test(`refuses ${name} with code ${code} [ENG-6, ENG-40, ENG-41, ENG-42]`, async (t) => {
    const { engine, port } = await startEngine(t, options);
    engine.on("headers", () => assert.fail("no headers event for a refusal"));
    const event = refusal(engine);
    const response = await http(port, { method, path });
    assert.equal(response.status, status);
    assert.equal(response.headers["content-type"], "application/json");
    assert.equal(response.headers["cache-control"], undefined);
    assert.equal(response.text, JSON.stringify({ code, message }));
    assert.deepEqual(await event, { url: path, code, message, context });
    assert.equal(engine.clientsCount, 0);
  });
}

test("refuses a HEAD without sid, with a bodyless 400 [ENG-40]", async (t) => {
  const { engine, port } = await startEngine(t);
  const event = refusal(engine);
  assert.equal((await http(port, { method: "HEAD", path: POLLING })).status, 400);
  assert.deepEqual((await event).context, { method: "HEAD" });
});

test("checks the transport before the sid, and the sid before the method [ENG-40]", async (t) => {
  const { port } = await startEngine(t);
  const transport = await http(port, { method: "POST", path: "/engine.io/?EIO=3&transport=foo&sid=nope" });
  assert.equal(transport.text, '{"code":0,"message":"Transport unknown"}');
  const sid = await http(port, { method: "PUT", path: "/engine.io/?EIO=3&transport=polling&sid=nope" });
  assert.equal(sid.text, '{"code":1,"message":"Session ID unknown"}');
  const method = await http(port, { method: "PUT", path: "/engine.io/?EIO=3&transport=polling" });
  assert.equal(method.text, '{"code":2,"message":"Bad handshake method"}');
});

test("refuses another transport than the current one without an upgrade [ENG-40, EIO-90]", async (t) => {
  const { engine, port, client, session } = await pollingPair(t);
  const event = refusal(engine);
  const response = await http(port, { path: client.url("websocket") });
  assert.equal(response.text, '{"code":3,"message":"Bad request"}');
  assert.deepEqual((await event).context, { name: "TRANSPORT_MISMATCH", transport: "websocket", previousTransport: "polling" });
  assert.equal(session.readyState, "open");
});

for (const method of ["GET", "POST", "PUT", "OPTIONS"]) {
  const title = `refuses ${method} without an upgrade on a session that has a WebSocket, and leaves it alone [ENG-40]`;
  test(title, oursOnly("it never answers"), async (t) => {
    const { engine, port, ws, session } = await webSocketPair(t);
    const event = refusal(engine);
    const response = await http(port, { method, path: `${WEBSOCKET}&sid=${session.id}`, body: method === "POST" ? "4a" : undefined });
    assert.deepEqual([response.status, response.text], [400, '{"code":3,"message":"Bad request"}']);
    assert.deepEqual((await event).context, { name: "TRANSPORT_HANDSHAKE_ERROR" });
    session.send("still here");
    assert.equal(await ws.next(), "4still here");
  });
}

test("refuses a later request of another revision, and leaves the session alone [EIO-3, ENG-40]", async (t) => {
  const { engine, port, client, session } = await pollingPair(t);
  const event = refusal(engine);
  const response = await http(port, { path: client.url().replace("EIO=4", "EIO=3") });
  assert.deepEqual([response.status, response.text], [400, '{"code":3,"message":"Bad request"}']);
  assert.deepEqual((await event).context, { name: "PROTOCOL_MISMATCH", protocol: 3, previousProtocol: 4 });
  session.send("still here");
  assert.deepEqual(await client.poll(), ["4still here"]);
});

test("refuses a candidate of another revision before the 101 [EIO-3, ENG-40, ENG-44]", async (t) => {
  const { engine, port, client, session } = await pollingPair(t);
  const event = refusal(engine);
  const response = await refusedUpgrade(port, client.url("websocket").replace("EIO=4", "EIO=3"));
  assert.equal(response.text, "Bad request");
  assert.equal((await event).context.name, "PROTOCOL_MISMATCH");
  assert.equal(session.upgrading, false);
});

test("takes the query an outer framework has parsed [ENG-40]", async (t) => {
  const engine = new engineModule.Server();
  const { port } = await startHttp(
    t,
    createServer((req, res) => {
      req._query = { EIO: "4", transport: "polling", from: "framework" };
      engine.handleRequest(req, res);
    }),
    () => engine.close(),
  );
  const connection = once(engine, "connection");
  assert.equal((await http(port, { path: "/any?transport=foo" })).status, 200);
  const [session] = await connection;
  assert.equal(session.request._query.from, "framework");
});

test("refuses an origin with a forbidden character, given a request that still has it [ENG-40]", async (t) => {
  const { engine, port } = await startEngine(
    t,
    {},
    {
      attach: false,
      http: (req, res) => {
        req.headers.origin = "http://a.b\u0001";
        engine.handleRequest(req, res);
        seen.push(req);
      },
    },
  );
  const seen = [];
  const event = refusal(engine);
  const response = await http(port, { path: POLLING });
  assert.equal(response.text, '{"code":3,"message":"Bad request"}');
  assert.deepEqual((await event).context, { name: "INVALID_ORIGIN", origin: "http://a.b\u0001" });
  assert.equal(seen[0].headers.origin, null);
});

for (const [name, path, text] of [
  ["an unknown transport", "/engine.io/?EIO=4&transport=foo", "Transport unknown"],
  ["no transport", "/engine.io/?EIO=4", "Transport unknown"],
  ["an unknown sid", `${WEBSOCKET}&sid=nope`, "Session ID unknown"],
  ["the sid __proto__", `${WEBSOCKET}&sid=__proto__`, "Session ID unknown"],
]) {
  test(`refuses an upgrade with ${name}, byte by byte, before the 101 [ENG-44]`, async (t) => {
    const { port } = await startEngine(t);
    const answer = await rawRequest(port, upgradeBytes(port, path));
    const expected = `HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-type: text/html\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
    assert.equal(answer.toString("latin1"), expected);
  });
}

test("survives peers that reset the connection while their upgrade is refused [ENG-48]", async (t) => {
  const { port } = await startEngine(t);
  for (const path of [`${WEBSOCKET}&sid=nope`, "/engine.io/?EIO=4&transport=foo", "/elsewhere/"]) {
    const connection = await HttpConnection.open(port);
    connection.write(upgradeBytes(port, path));
    connection.socket.resetAndDestroy();
  }
  assert.equal((await http(port, { path: POLLING })).status, 200);
});

test("survives peers that reset the connection while their request is refused [ENG-48]", async (t) => {
  const { port } = await startEngine(t, { allowRequest: (req, decide) => req.socket.once("close", () => decide("no", false)) });
  const connection = await HttpConnection.open(port);
  connection.write(`GET ${POLLING} HTTP/1.1\r\nHost: a\r\n\r\n`);
  connection.socket.resetAndDestroy();
  assert.equal((await http(port, { path: unknownSid })).text, '{"code":1,"message":"Session ID unknown"}');
});

for (const [name, headers, status, text, extra] of [
  ["a bad key", { "Sec-WebSocket-Key": "short" }, 400, /Missing or invalid Sec-WebSocket-Key header/],
  ["no key", { "Sec-WebSocket-Key": undefined }, 400, /Missing or invalid Sec-WebSocket-Key header/],
  ["an old version", { "Sec-WebSocket-Version": "5" }, 400, /Sec-WebSocket-Version/, ["sec-websocket-version", "13, 8"]],
  ["another protocol", { Upgrade: "h2c" }, 400, /Invalid Upgrade header/],
]) {
  test(`lets the WebSocket library refuse ${name} [ENG-46]`, async (t) => {
    const { engine, port } = await startEngine(t);
    engine.on("connection_error", () => assert.fail("not the engine's refusal"));
    const response = await refusedUpgrade(port, WEBSOCKET, headers);
    assert.equal(response.status, status);
    assert.match(response.text, text);
    if (extra) assert.equal(response.headers[extra[0]], extra[1]);
    assert.equal(engine.clientsCount, 0);
  });
}

test("opens no session for an upgrade with transport=polling [ENG-47]", async (t) => {
  const { engine, port } = await startEngine(t);
  const ws = await WireSocket.open(port, POLLING).catch((error) => error);
  if (ws instanceof WireSocket) assert.equal((await ws.closed()).code, 1005);
  else assert.equal(ws.response.text, "Bad request");
  assert.equal(engine.clientsCount, 0);
});

test("leaves a session alone when an upgrade with transport=polling carries its sid [ENG-47]", async (t) => {
  const { port, client, session } = await pollingPair(t);
  const ws = await WireSocket.open(port, client.url("polling")).catch((error) => error);
  if (ws instanceof WireSocket) await ws.closed();
  session.send("still here");
  assert.deepEqual(await client.poll(), ["4still here"]);
});

for (const [message, text] of [
  [7, '{"code":4,"message":7}'],
  ["come back later", '{"code":4,"message":"come back later"}'],
  [{ retry: true }, '{"code":4,"message":{"retry":true}}'],
  [null, '{"code":4,"message":"Forbidden"}'],
  ["", '{"code":4,"message":"Forbidden"}'],
  [undefined, '{"code":4,"message":"Forbidden"}'],
]) {
  test(`answers 403 with the message of allowRequest ${JSON.stringify(message)} [ENG-42, ENG-49, ENG-50]`, async (t) => {
    const { engine, port } = await startEngine(t, { allowRequest: (req, decide) => decide(message, false) });
    const event = refusal(engine);
    const response = await http(port, { path: POLLING });
    assert.deepEqual([response.status, response.text], [403, text]);
    assert.deepEqual(await event, { url: POLLING, code: 4, message: "Forbidden", context: { message } });
  });
}

test("refuses a WebSocket with the message of allowRequest, and status 400 [ENG-44, ENG-50]", async (t) => {
  const { port } = await startEngine(t, { allowRequest: (req, decide) => decide("not you", false) });
  const answer = await rawRequest(port, upgradeBytes(port, WEBSOCKET));
  assert.equal(
    answer.toString("latin1"),
    "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-type: text/html\r\nContent-Length: 7\r\n\r\nnot you",
  );
});

test("refuses a WebSocket with Forbidden when allowRequest gives no message [ENG-44, ENG-50]", async (t) => {
  const { port } = await startEngine(t, { allowRequest: (req, decide) => decide(null, false) });
  assert.equal((await refusedUpgrade(port, WEBSOCKET)).text, "Forbidden");
});

test("counts a refusal message in bytes on an upgrade [ENG-44]", async (t) => {
  const { port } = await startEngine(t, { allowRequest: (req, decide) => decide("nö", false) });
  const response = await refusedUpgrade(port, WEBSOCKET);
  assert.deepEqual([response.headers["content-length"], response.text], ["3", "nö"]);
});

test("ignores the error of allowRequest when it says success [ENG-50]", async (t) => {
  const { port } = await startEngine(t, { allowRequest: (req, decide) => decide("ignored", true) });
  assert.equal((await http(port, { path: POLLING })).status, 200);
});

test("accepts an answer of allowRequest that comes later [ENG-50]", async (t) => {
  const { port } = await startEngine(t, { allowRequest: (req, decide) => setImmediate(decide, null, true) });
  assert.equal((await http(port, { path: POLLING })).status, 200);
  const ws = await WireSocket.open(port, WEBSOCKET);
  assert.match(await ws.next(), /^0/);
});

test("asks allowRequest once per session, for handshakes only [ENG-50]", async (t) => {
  const asked = [];
  const { port, engine } = await startEcho(t, { allowRequest: (req, decide) => decide(null, asked.push(req.url)) });
  const { client } = await openPolling({ engine, port });
  await client.post("4a");
  await client.poll();
  const ws = await client.upgrade();
  ws.send("4b");
  await ws.expect("4b");
  assert.equal(asked.length, 1);
});

test("asks allowRequest after the method and before the revision [ENG-40, ENG-50]", async (t) => {
  const asked = [];
  const { port } = await startEngine(t, { allowRequest: (req, decide) => decide("no", void asked.push(req.url)) });
  assert.equal((await http(port, { method: "POST", path: POLLING })).status, 400);
  assert.equal(asked.length, 0);
  assert.equal((await http(port, { path: "/engine.io/?EIO=3&transport=polling" })).status, 403);
  assert.equal(asked.length, 1);
});

for (const [name, generateId] of [
  [
    "throws",
    () => {
      throw new Error("no id");
    },
  ],
  ["rejects", () => Promise.reject(new Error("no id"))],
]) {
  test(`refuses the handshake when generateId ${name} [ENG-18]`, async (t) => {
    const { engine, port } = await startEngine(t);
    engine.generateId = generateId;
    const event = refusal(engine);
    const response = await http(port, { path: POLLING });
    assert.deepEqual([response.status, response.text], [400, '{"code":3,"message":"Bad request"}']);
    const { context } = await event;
    assert.equal(context.name, "ID_GENERATION_ERROR");
    assert.equal(context.error.message, "no id");
  });

  test(`opens no WebSocket session when generateId ${name} [ENG-18, ENG-45]`, async (t) => {
    const { engine, port } = await startEngine(t);
    engine.generateId = generateId;
    const event = refusal(engine);
    const ws = await WireSocket.open(port, WEBSOCKET).catch((error) => error);
    if (ws instanceof WireSocket) await ws.closed();
    assert.equal((await event).context.name, "ID_GENERATION_ERROR");
    ours("it refuses after the 101", () => assert.equal(ws.response?.text, "Bad request"));
    assert.equal(engine.clientsCount, 0);
  });
}

test("takes the id of generateId, given at once or promised [ENG-17, ENG-200]", async (t) => {
  const { engine, port } = await startEngine(t);
  engine.generateId = (req) => `at-once-${req._query.n}`;
  assert.equal((await PollingSession.open(port, "n=1")).sid, "at-once-1");
  engine.generateId = async (req) => `promised-${req._query.n}`;
  assert.equal((await PollingSession.open(port, "n=2")).sid, "promised-2");
  const ws = await WireSocket.open(port, `${WEBSOCKET}&n=3`);
  assert.match(await ws.next(), /^0\{"sid":"promised-3"/);
  assert.deepEqual(Object.keys(engine.clients).sort(), ["at-once-1", "promised-2", "promised-3"]);
});

for (const [name, id] of [
  ["already in use", "taken"],
  ["empty", ""],
  ["not a string", 12],
  ["missing", undefined],
]) {
  test(`refuses a handshake whose id is ${name} [ENG-19]`, oursOnly("it replaces the older session or takes any value"), async (t) => {
    const { engine, port } = await startEngine(t);
    engine.generateId = () => "taken";
    const { client, session } = await openPolling({ engine, port });
    engine.generateId = () => id;
    const event = refusal(engine);
    assert.equal((await http(port, { path: POLLING })).text, '{"code":3,"message":"Bad request"}');
    assert.equal((await event).context.name, "ID_GENERATION_ERROR");
    assert.equal(engine.clientsCount, 1);
    session.send("mine");
    assert.deepEqual(await client.poll(), ["4mine"]);
  });
}

for (const [name, arrange] of [
  [
    "allowRequest",
    (engine, gate) => {
      engine.opts.allowRequest = (req, decide) => gate(req, () => decide(null, true));
    },
  ],
  [
    "generateId",
    (engine, gate) => {
      engine.generateId = (req) => new Promise((resolve) => gate(req, () => resolve("late")));
    },
  ],
  [
    "a middleware",
    (engine, gate) => {
      engine.use((req, res, next) => gate(req, next));
    },
  ],
]) {
  test(
    `opens no session for a poller that left during ${name} [ENG-51]`,
    oursOnly("it opens one that lives until its ping timeout"),
    async (t) => {
      const { engine, port } = await startEngine(t);
      engine.on("connection", () => assert.fail("a session was opened"));
      const entered = new Promise((resolve) =>
        arrange(engine, (req, proceed) => {
          if (req.url !== POLLING) return proceed();
          req.socket.once("close", () =>
            setImmediate(() => {
              proceed();
              setImmediate(resolve);
            }),
          );
          left.abort();
        }),
      );
      const left = http(port, { path: POLLING });
      left.catch(() => {});
      await within(entered, "the gate");
      assert.equal((await http(port, { path: unknownSid })).status, 400);
      assert.equal(engine.clientsCount, 0);
    },
  );

  test(
    `opens no session for a WebSocket peer that is gone after ${name} [ENG-51]`,
    name === "generateId" ? oursOnly("it generates the id after the 101") : {},
    async (t) => {
      const { engine, port } = await startEngine(t);
      engine.on("connection", () => assert.fail("a session was opened"));
      const entered = new Promise((resolve) =>
        arrange(engine, (req, proceed) => {
          if (req.url !== WEBSOCKET) return proceed();
          req.socket.destroy();
          setImmediate(() => {
            proceed();
            setImmediate(resolve);
          });
        }),
      );
      await assert.rejects(WireSocket.open(port, WEBSOCKET));
      await within(entered, "the gate");
      assert.equal((await http(port, { path: unknownSid })).status, 400);
      assert.equal(engine.clientsCount, 0);
    },
  );
}

for (const target of [
  "/engine.io/?EIO=4&transport=polling&x=%",
  "/engine.io/?%E0%A4%A",
  "/engine.io/?EIO=4&transport=polling&sid=a&sid=b",
  `/engine.io/?EIO=4&transport=polling&sid=${"s".repeat(8000)}`,
]) {
  test(`answers the strange target ${target.slice(0, 50)} without harm [ENG-40, ENG-61]`, async (t) => {
    const { port } = await startEngine(t);
    const response = await http(port, { path: target });
    assert.ok([200, 400].includes(response.status), `status ${response.status}`);
    assert.equal((await http(port, { path: POLLING })).status, 200);
  });
}

test("keeps serving its other sessions while requests are refused [ENG-48, EIO-131]", async (t) => {
  const { port, client, session } = await pollingPair(t);
  for (const path of [unknownSid, "/engine.io/?EIO=4", "/engine.io/?EIO=3&transport=polling"]) {
    assert.equal((await http(port, { path })).status, 400);
  }
  session.send("undisturbed");
  assert.deepEqual(await client.poll(), ["4undisturbed"]);
});
