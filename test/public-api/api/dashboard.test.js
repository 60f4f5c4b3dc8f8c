/** `roomcast/dashboard`: where it is mounted, what it shows, what it does, and what is left when it is gone. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { hasSubscribers } from "node:diagnostics_channel";
import { connect as connectHttp2 } from "node:http2";
import { readdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { linkedNodes } from "../../support/bus-link.js";
import { connect, once } from "../../support/client.js";
import { act, ask, dashboard, ownOrigin, state } from "../../support/dashboard.js";
import { crowd, joinServer, pair, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly, Server } from "../../support/target.js";

const OURS = oursOnly("it has no dashboard");
const listenersOf = (emitter) => Object.fromEntries(emitter.eventNames().map((name) => [String(name), emitter.rawListeners(name)]));
const CHANNELS = [
  "packet:receive",
  "packet:send",
  "event:start",
  "ack:start",
  "broadcast:deliver",
  "session:open",
  "handshake:start",
  "error",
];
const subscribed = () => CHANNELS.filter((name) => hasSubscribers(`roomcast:${name}`));

test("is mounted by one line, and leaves other requests alone [ROB-970]", OURS, async (t) => {
  const app = (_request, response) => response.end("app");
  const { io, port } = await startServer(t, {}, { http: app });
  dashboard(io);
  const redirect = await ask(port, "");
  assert.deepEqual([redirect.status, redirect.headers.location], [303, "dashboard/"]);
  const page = await ask(port, "/");
  assert.deepEqual([page.status, page.headers["content-type"]], [200, "text/html; charset=utf-8"]);
  for (const name of page.text.matchAll(/(?:src|href)="([a-z-]+\.(?:js|css))"/g))
    assert.equal((await ask(port, `/${name[1]}`)).status, 200);
  assert.equal((await ask(port, "/", { method: "HEAD" })).text, "");
  assert.equal((await ask(port, "/nothing")).status, 404);
  assert.equal((await ask(port, "/", { method: "DELETE" })).status, 405);
  for (const path of ["/", "/dashboards", "/dashboar"]) assert.equal((await ask(port, "", { path })).text, "app");
  await connect(t, port);
});

test("is mounted over HTTPS and HTTP/2, and at another path [ROB-970]", OURS, async (t) => {
  const secure = await startServer(t, {}, { https: true });
  dashboard(secure.io, { path: "/admin/live" });
  assert.equal((await ask(secure.port, "/", { path: "/admin/live", tls: true })).status, 200);
  const { io, url } = await startServer(t, {}, { http2: true });
  dashboard(io, { allow: ["send"] });
  const session = connectHttp2(url, { rejectUnauthorized: false });
  t.after(() => session.close());
  const send = async (headers, body) => {
    const stream = session.request(headers);
    stream.end(body);
    const [{ ":status": status }] = await once(stream, "response");
    let text = "";
    for await (const chunk of stream) text += chunk;
    return { status, text };
  };
  const { token } = JSON.parse((await send({ ":path": "/dashboard/api/state" })).text);
  const post = { ":path": "/dashboard/api/act", ":method": "POST", "x-dashboard-token": token };
  const action = JSON.stringify({ action: "send", namespace: "/", target: "room", event: "hello" });
  assert.equal(
    (await send({ ...post, origin: "https://evil.example" }, action)).text,
    "This request does not come from a page of this dashboard.\n",
  );
  assert.equal((await send({ ...post, origin: url }, action)).status, 409);
  assert.equal((await send({ ...post, origin: url }, "x".repeat(70_000))).status, 413);
});

for (const end of ["the function that it gives", "io.detach()", "io.close()"]) {
  test(`${end} takes it away, and leaves nothing behind [ROB-970, ROB-976]`, OURS, async (t) => {
    const { io, port, httpServer } = await startServer(t);
    const before = listenersOf(httpServer);
    const unmount = dashboard(io);
    assert.equal((await ask(port)).status, 200);
    await state(port);
    if (end === "io.detach()") await io.detach();
    else if (end === "io.close()") await io.close();
    else unmount();
    assert.deepEqual(subscribed(), []);
    if (end !== "io.detach()") assert.deepEqual(listenersOf(httpServer).request, before.request);
    else assert.equal(httpServer.listenerCount("request"), 0);
    if (end !== "the function that it gives") return;
    unmount();
    dashboard(io);
    assert.equal((await ask(port)).status, 200);
  });
}

test("mounting throws on what cannot work, and says what was expected [ROB-970]", OURS, async (t) => {
  const { io } = await startServer(t);
  const fails = (options, pattern, server = io) => assert.throws(() => dashboard(server, options), pattern);
  fails({ path: "dashboard" }, /dashboard, path: expected a path such as "\/dashboard", met 'dashboard'/);
  fails({ path: "/" }, /expected a path/);
  fails({ path: "/socket.io/dashboard" }, /expected a path outside \/socket\.io/);
  fails({ auth: { username: "ops" } }, /auth\.password: expected a text that is not empty, met 'undefined'/);
  fails({ auth: { username: "ops", password: "" } }, /auth\.password: expected a text that is not empty/);
  fails({ auth: "secret" }, /dashboard, auth: expected a function, or an object/);
  fails({ allow: ["kill"] }, /allow: expected a list of disconnect, join, leave, send/);
  fails({ intervalMs: 5 }, /intervalMs: expected 100 to 60000 milliseconds, met 5/);
  fails({ log: true }, /log: expected a function, met true/);
  fails({ loopback: "no" }, /loopback: expected true or false/);
  fails({ allows: [] }, /did you mean allow\?/);
  fails({ authentication: {} }, /expected options path, auth, .*met 'authentication'/);
  for (const path of ["/..", "/a/./b"]) fails({ path }, /expected a path/);
  fails({}, /met one that is not attached: call io\.attach\(\) first/, new Server());
  const bound = new Server();
  bound.bind(Object.assign(new EventEmitter(), { close() {} }));
  fails({}, /attached to an HTTP server of Node\.js or an app of uWebSockets\.js, met one with an engine alone/, bound);
  fails({}, /expected a Server of roomcast/, {});
  dashboard(io);
  fails({}, /met \/dashboard: \/dashboard is mounted already/);
  for (const path of ["/dashboard/deep"]) fails({ path }, /\/dashboard is mounted already/);
  const second = new Server();
  second.attach(io.httpServer, { path: "/second" });
  fails({}, /\/dashboard is mounted already/, second);
});

test("shows sessions, namespaces, rates, latencies, limits and the process [ROB-976]", OURS, async (t) => {
  const { io, port, client, socket } = await pair(t);
  io.of("/news");
  dashboard(io, { intervalMs: 100 });
  socket.on("ask", (answer) => answer("yes"));
  socket.join("room-1");
  const first = await state(port);
  assert.deepEqual([first.figures.stats.sessions, first.figures.sockets, first.figures.rooms, first.allow], [1, 1, 1, []]);
  assert.deepEqual(first.figures.namespaces.map(({ name, sockets }) => [name, sockets]).sort(), [
    ["/", 1],
    ["/news", 0],
  ]);
  for (let i = 0; i < 5; i++) await client.emitWithAck("ask");
  io.emit("hello");
  await once(client, "hello");
  let last;
  let received = 0;
  let delivered = 0;
  do {
    last = await state(port);
    received = Math.max(received, ...last.samples.map((sample) => sample.received));
    delivered = Math.max(delivered, ...last.samples.map((sample) => sample.delivered));
  } while (received === 0 || last.figures.latencies.event !== null);
  assert.ok(delivered > 0);
  assert.ok(last.samples.some(({ eventMs }) => eventMs > 0));
  assert.deepEqual(last.figures.nodes.length, 1);
  assert.equal(last.figures.health.ready, true);
  const numbers = last.samples.map(({ number }) => number);
  const { samples } = (await ask(port, `/api/state?since=${numbers.at(-1)}`)).json();
  assert.ok(samples.every(({ number }) => number > numbers.at(-1)));
});

test("shows clients that read slowly, limits that were met, and why connections ended [ROB-976]", OURS, async (t) => {
  const { io, port, url } = await startServer(t, { limits: { messagesPerSecond: 5, overRate: "close" } });
  dashboard(io, { intervalMs: 100 });
  const slow = await wirePeer(t, port);
  slow.socket.pause();
  const { sid } = slow.payload;
  io.in(sid).emit("much", "x".repeat(20_000_000));
  const flood = await connect(t, url, "/", { transports: ["websocket"] });
  const gone = once(flood, "disconnect");
  for (let i = 0; i < 100; i++) flood.emit("more");
  await gone;
  const { figures } = await state(port);
  assert.deepEqual(
    figures.slow.map(({ id, waitingBytes }) => [id, waitingBytes > 1_000_000]),
    [[sid, true]],
  );
  assert.ok(figures.stats.outbox.bytes > 1_000_000);
  assert.deepEqual(figures.limits, [["RC_ERR_MESSAGE_RATE", 1]]);
  assert.equal(
    figures.ends.reduce((sum, [, count]) => sum + count, 0),
    1,
  );
});

test("a request that is under way when the page is taken away starts nothing again [ROB-970]", OURS, async (t) => {
  const { io, port } = await startServer(t);
  const asks = new EventEmitter();
  const asked = once(asks, "ask");
  const unmount = dashboard(io, { auth: () => new Promise((decide) => asks.emit("ask", decide)), loopback: false });
  const answer = ask(port, "/api/state");
  const [decide] = await asked;
  unmount();
  decide(true);
  assert.equal((await answer).status, 404);
  assert.deepEqual(subscribed(), []);
});

test("takes figures once in an interval, whatever the number of pages, and its requests are no clients [ROB-976]", OURS, async (t) => {
  const { io, port } = await startServer(t);
  dashboard(io, { intervalMs: 60_000 });
  const stats = t.mock.method(io, "stats");
  const states = await Promise.all(Array.from({ length: 10 }, () => state(port)));
  assert.equal(new Set(states.map(({ figures }) => figures.at)).size, 1);
  assert.ok(stats.mock.callCount() <= 2, `${stats.mock.callCount()} calls`);
  assert.deepEqual([states[9].figures.stats.sessions, states[9].figures.sockets, io.engine.clientsCount], [0, 0, 0]);
});

test("has no subscription and no timer while no page is open [ROB-976]", OURS, async (t) => {
  const { io, port } = await startServer(t);
  const timers = [t.mock.method(globalThis, "setTimeout"), t.mock.method(globalThis, "setInterval")];
  const made = () => timers.flatMap(({ mock }) => mock.calls).length;
  dashboard(io);
  await ask(port);
  await ask(port, "/main.js");
  assert.deepEqual([subscribed(), made()], [[], 0]);
  t.mock.restoreAll();
  t.mock.timers.enable({ apis: ["setTimeout"] });
  await state(port);
  assert.deepEqual(subscribed(), CHANNELS);
  t.mock.timers.tick(9_999);
  assert.deepEqual(subscribed(), CHANNELS);
  t.mock.timers.tick(1);
  assert.deepEqual(subscribed(), []);
});

test("its timer ends with it, while a page is open [ROB-970]", OURS, async (t) => {
  const { io, port } = await startServer(t);
  const unmount = dashboard(io);
  const set = t.mock.method(globalThis, "setTimeout");
  const cleared = t.mock.method(globalThis, "clearTimeout");
  await state(port);
  const timers = set.mock.calls.map(({ result }) => result);
  assert.equal(timers.length, 1);
  unmount();
  assert.deepEqual(
    timers.filter((timer) => !cleared.mock.calls.some(({ arguments: [one] }) => one === timer)),
    [],
  );
});

test("gives sockets in sorted windows, and finds them by id, room and address [ROB-975]", OURS, async (t) => {
  const { io, port, sockets } = await crowd(t, 5);
  dashboard(io, { intervalMs: 100 });
  sockets[3].join(["a", "b"]);
  sockets[1].join("a");
  const list = async (query) => (await ask(port, `/api/sockets?${new URLSearchParams(query)}`)).json();
  const ids = sockets.map(({ id }) => id);
  const oldest = await list({ sort: "oldest", offset: 1, limit: 3 });
  assert.deepEqual([oldest.total, oldest.offset, oldest.rows.map(({ id }) => id)], [5, 1, ids.slice(1, 4)]);
  assert.deepEqual(
    (await list({})).rows.map(({ id }) => id),
    ids.toReversed(),
  );
  assert.equal((await list({ sort: "rooms" })).rows[0].id, ids[3]);
  assert.equal((await list({ limit: 1000 })).rows.length, 5);
  assert.deepEqual(
    (await list({ search: "a", sort: "oldest" })).rows.filter(({ rooms }) => rooms > 1).map(({ id }) => id),
    [ids[1], ids[3]],
  );
  assert.deepEqual(
    (await list({ search: ids[2] })).rows.map(({ id }) => id),
    [ids[2]],
  );
  assert.equal((await list({ search: "127.0.0" })).total, 5);
  assert.equal((await list({ namespace: "/none" })).total, 0);
  const rooms = (await ask(port, "/api/rooms")).json();
  assert.deepEqual(rooms.rows, [
    { namespace: "/", room: "a", sockets: 2 },
    { namespace: "/", room: "b", sockets: 1 },
  ]);
  const one = (await ask(port, `/api/socket?namespace=/&id=${ids[3]}`)).json();
  assert.deepEqual([one.isHere, one.roomNames, one.transport], [true, ["a", "b"], "websocket"]);
  assert.equal((await ask(port, "/api/socket?namespace=/&id=none")).status, 404);
});

test("gives at most 200 lines, and makes a list once in an interval [ROB-975, ROB-976]", OURS, async (t) => {
  const { io, port, socket } = await pair(t);
  dashboard(io, { intervalMs: 60_000 });
  socket.join(Array.from({ length: 500 }, (_, i) => `room-${i}`));
  const rooms = async (query) => (await ask(port, `/api/rooms?sort=name&${query}`)).json();
  assert.deepEqual(
    [(await rooms("limit=200")).rows.length, (await rooms("limit=201")).rows.length, (await rooms("limit=200")).total],
    [200, 50, 500],
  );
  socket.leave("room-0");
  assert.equal((await rooms("offset=450&limit=200")).rows.length, 50);
});

test("does nothing by default, and each refusal is logged [ROB-973]", OURS, async (t) => {
  const { io, port, client, socket } = await pair(t);
  const log = [];
  dashboard(io, { log: (entry) => log.push(entry) });
  for (const action of ["disconnect", "join", "leave", "send"]) {
    const answer = await act(port, { action, namespace: "/", target: socket.id, room: "a", event: "hello" });
    assert.deepEqual([answer.status, answer.text], [403, `The option allow of dashboard() does not have "${action}".\n`]);
  }
  assert.deepEqual(
    log.map(({ action, outcome }) => [action, outcome]),
    ["disconnect", "join", "leave", "send"].map((action) => [action, "refused"]),
  );
  assert.deepEqual([client.connected, socket.rooms.size], [true, 1]);
});

test("disconnects, joins, leaves and sends where it is allowed to, and logs each [ROB-973]", OURS, async (t) => {
  const { io, port, client, socket } = await pair(t);
  const log = [];
  dashboard(io, { allow: ["disconnect", "join", "leave", "send"], log: (entry) => log.push(entry) });
  const target = socket.id;
  const of = (more) => act(port, { namespace: "/", target, ...more });
  assert.deepEqual((await of({ action: "join", room: "a" })).json(), { sockets: 1 });
  assert.ok(socket.rooms.has("a"));
  await of({ action: "leave", room: "a" });
  assert.equal(socket.rooms.has("a"), false);
  const got = once(client, "hello");
  await of({ action: "send", event: "hello", args: [1, { secret: "x" }] });
  assert.deepEqual(await got, [1, { secret: "x" }]);
  const left = once(client, "disconnect");
  await of({ action: "disconnect" });
  assert.equal((await left)[0], "io server disconnect");
  const base = { namespace: "/", target, user: null, address: "127.0.0.1", outcome: "done", sockets: 1 };
  const wanted = [
    { action: "join", room: "a" },
    { action: "leave", room: "a" },
    { action: "send", event: "hello" },
    { action: "disconnect" },
  ];
  assert.deepEqual(
    log.map(({ at, ...entry }) => (assert.ok(at > 0), entry)),
    wanted.map((one) => ({ ...base, ...one })),
  );
  assert.deepEqual((await state(port)).log, log);
});

test("refuses actions that make no sense, and goes on when the function log throws [ROB-973]", OURS, async (t) => {
  const { io, port, socket } = await pair(t);
  dashboard(io, {
    allow: ["send", "join"],
    log: () => {
      throw new Error("log");
    },
  });
  const warned = once(process, "warning");
  const of = async (body) => {
    const { status, text } = await act(port, body);
    return [status, text.trim()];
  };
  const target = socket.id;
  assert.deepEqual(await of({ action: "jump" }), [400, "expected an action, one of disconnect, join, leave, send"]);
  assert.deepEqual(await of("no JSON"), [400, "expected JSON"]);
  assert.deepEqual(await of({ action: "join", namespace: "/", target, room: "" }), [
    400,
    "expected room to be a text of 1 to 500 characters",
  ]);
  assert.deepEqual(await of({ action: "send", namespace: "/", target, event: "x", args: 5 }), [400, "expected args to be a list"]);
  assert.deepEqual(await of({ action: "join", namespace: "/none", target, room: "a" }), [409, "there is no such namespace"]);
  assert.deepEqual(await of({ action: "join", namespace: "/", target: "gone", room: "a" }), [
    409,
    "there is no such socket or room any more",
  ]);
  assert.equal((await of({ action: "send", namespace: "/", target, event: "disconnect" }))[0], 409);
  assert.equal((await warned)[0].code, "ROOMCAST_CALLBACK_FAILED");
  assert.equal(io._nsps.has("/none"), false);
  const { token } = await state(port);
  const headers = { ...ownOrigin(port), "x-dashboard-token": token };
  assert.equal((await ask(port, "/api/act", { method: "POST", headers, body: "x".repeat(70_000) })).status, 413);
});

test(
  "shows the servers of a cluster, finds sockets of others by id, address and room, and acts on them [ROB-973, ROB-975]",
  OURS,
  async (t) => {
    const { nodes } = await linkedNodes(t, 2);
    const [here, there] = nodes;
    dashboard(here.io, { allow: ["disconnect", "join"], intervalMs: 100 });
    await joinServer(t, here);
    const far = await joinServer(t, there);
    far.socket.join("far");
    const { figures } = await state(here.port);
    assert.deepEqual(
      [figures.nodes.length, figures.nodes.map(({ isSelf }) => isSelf), figures.health.adapter.status],
      [2, [true, false], "ok"],
    );
    const search = async (text) => (await ask(here.port, `/api/elsewhere?namespace=&search=${text}`)).json();
    for (const text of [far.socket.id, far.socket.id.slice(3, 15), "far", "127.0.0"]) {
      const { rows, total, silent } = await search(text);
      assert.deepEqual([rows.map(({ id }) => id), total, silent], [[far.socket.id], 1, 0]);
    }
    const one = (await ask(here.port, `/api/socket?namespace=/&id=${far.socket.id}`)).json();
    assert.deepEqual([one.isHere, one.roomNames, one.address], [false, ["far"], "127.0.0.1"]);
    assert.deepEqual((await ask(here.port, "/api/room?namespace=/&room=far")).json(), { count: 1, silent: 0 });
    await act(here.port, { action: "join", namespace: "/", target: "far", room: "joined" });
    assert.ok(far.socket.rooms.has("joined"));
    const left = once(far.client, "disconnect");
    assert.deepEqual((await act(here.port, { action: "disconnect", namespace: "/", target: far.socket.id })).json(), { sockets: 1 });
    await left;
  },
);

test("lists at most 200 sockets of other servers [ROB-975]", OURS, async (t) => {
  const { nodes } = await linkedNodes(t, 2);
  const [here, there] = nodes;
  dashboard(here.io);
  there.io.on("connection", (socket) => socket.join("large"));
  const search = async () => (await ask(here.port, "/api/elsewhere?namespace=/&search=large")).json();
  await Promise.all(Array.from({ length: 200 }, () => wirePeer(t, there.port)));
  await wirePeer(t, there.port);
  const { rows, total, silent } = await search();
  assert.deepEqual([rows.length, total, silent], [200, 201, 0]);
});

test("cuts long names of clients, and acts on no room by a name that was cut [ROB-974]", OURS, async (t) => {
  const { io, port, socket } = await pair(t);
  dashboard(io, { allow: ["disconnect"] });
  const name = "x".repeat(100_000);
  socket.join([name, name.slice(0, 500)]);
  const { rows } = (await ask(port, "/api/rooms")).json();
  assert.deepEqual(rows.map(({ room }) => room.length).sort(), [500, 501]);
  const { roomNames } = (await ask(port, `/api/socket?namespace=/&id=${socket.id}`)).json();
  assert.deepEqual(roomNames.map((room) => room.length).sort(), [500, 501]);
  const cut = roomNames.find((room) => room.length === 501);
  assert.equal((await act(port, { action: "disconnect", namespace: "/", target: cut })).status, 400);
  assert.ok(socket.connected);
});

test("tells how many servers did not answer [ROB-975]", { ...OURS, timeout: 20_000 }, async (t) => {
  const { nodes, bus } = await linkedNodes(t, 2, { presence: { heartbeatInterval: 50, heartbeatTimeout: 60_000 } });
  dashboard(nodes[0].io, { allow: ["disconnect"] });
  bus.set("stall");
  const { rows, silent } = (await ask(nodes[0].port, "/api/elsewhere?namespace=/&search=room")).json();
  assert.deepEqual([rows, silent], [[], 1]);
  const answer = await act(nodes[0].port, { action: "disconnect", namespace: "/", target: "room" });
  assert.deepEqual([answer.status, answer.text.trim()], [409, "no server that answered has it"]);
});

test("gives hostile names as JSON, which no browser takes for a page [ROB-974]", OURS, async (t) => {
  const { io, port, socket } = await pair(t);
  dashboard(io);
  const hostile = '<img src=x onerror=alert(1)>"\u2028</script>';
  socket.join(hostile);
  const { headers, json } = await ask(port, "/api/rooms");
  assert.equal(json().rows[0].room, hostile);
  assert.equal(headers["content-type"], "application/json; charset=utf-8");
  for (const below of ["/", "/main.js", "/api/rooms", "/nothing"]) {
    const { headers: sent } = await ask(port, below);
    assert.match(sent["content-security-policy"], /^default-src 'none'; script-src 'self'; .*frame-ancestors 'none'$/);
    assert.deepEqual([sent["x-frame-options"], sent["x-content-type-options"], sent["cache-control"]], ["DENY", "nosniff", "no-store"]);
  }
});

test("is less than 60,000 bytes, and has no HTML made of data [ROB-974, ROB-977]", OURS, async (t) => {
  const { io, port } = await startServer(t);
  dashboard(io);
  const folder = fileURLToPath(new URL("../../../src/dashboard/page/", import.meta.url));
  const files = readdirSync(folder);
  let total = 0;
  for (const name of files) {
    if (name === "login.html") {
      total += statSync(folder + name).size;
      continue;
    }
    const { status, text } = await ask(port, name === "index.html" ? "/" : `/${name}`);
    assert.equal(status, 200, name);
    assert.equal(Buffer.byteLength(text), statSync(folder + name).size);
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|style="|https?:\/\/(?!www\.w3\.org\/2000\/svg)/);
    total += Buffer.byteLength(text);
  }
  assert.ok(total < 60_000, `${total} bytes`);
});
