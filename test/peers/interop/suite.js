/**
 * What every client must see on every transport and host: one suite, run for each row.
 * A row is `{ client, transport, host, serverOptions, clientOptions }`.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { once, record } from "../../support/client.js";
import { fence } from "../../support/pairs.js";
import { ours } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { transports } from "./clients.js";
import { hosts, serve } from "./hosts.js";
import { ask, join, open, plain, settle } from "./peer.js";

const text = ["", "ASCII", "Ünïcödé €", "日本語", '🦊 a\u0000b\n"quoted"\\', "\u2028\u2029\u001e"];
const json = [null, true, 0, -1.5, 9007199254740991, [], {}, { a: [1, { b: "c" }], ключ: null }];
const bytes = () => [Buffer.from([0, 1, 2, 255]), Uint8Array.of(9, 8, 7), Uint8Array.of(30, 4, 98).buffer, Buffer.alloc(0)];
const binary = () => ({ nested: [{ deep: Buffer.from("€") }, "text between"], twice: Buffer.from([30]) });

/** Runs the suite for one client over all transports and hosts. */
export function runSuite(
  client,
  { title = client.title, serverOptions = {}, clientOptions = {}, onHosts = hosts, over = transports } = {},
) {
  const revision = client.revision === 3 ? { allowEIO3: true } : {};
  for (const transport of over) {
    for (const host of onHosts) {
      const row = { client, transport, host, clientOptions, serverOptions: { ...revision, ...serverOptions } };
      for (const [behaviour, check] of Object.entries(behaviours)) {
        test(`${title}, ${transport.title}, ${host.title}: ${behaviour}`, (t) => check(t, row));
      }
    }
  }
}

const start = (t, row, options) => serve(t, row.host, { ...row.serverOptions, ...options });

async function startPair(t, row, options) {
  const server = await start(t, row, options);
  return { ...server, ...(await join(t, row, server)) };
}

const behaviours = {
  "connects [SIO-1, EIO-40, EIO-42]": async (t, row) => {
    const { client, socket, io } = await startPair(t, row);
    assert.equal(socket.conn.protocol, row.client.revision);
    assert.equal(socket.conn.transport.name, row.transport.settled);
    assert.equal(client.id, socket.id);
    assert.equal(io.engine.clientsCount, 1);
    assert.equal(socket.handshake.secure, row.host.scheme === "https");
  },

  "carries text and JSON both ways [EVT-2, EVT-20]": async (t, row) => {
    const { client, socket } = await startPair(t, row);
    for (const [from, to] of [
      [client, socket],
      [socket, client],
    ]) {
      const seen = record(to, "values");
      for (const value of [...text, ...json]) from.emit("values", value);
      from.emit("values", ...text, ...json);
      const events = await seen.until((all) => all.length === text.length + json.length + 1);
      assert.deepEqual(events, [...[...text, ...json].map((value) => ["values", value]), ["values", ...text, ...json]]);
    }
  },

  "carries bytes both ways, between texts, in order [SIO-11, EVT-2]": async (t, row) => {
    const { client, socket } = await startPair(t, row);
    for (const [from, to] of [
      [client, socket],
      [socket, client],
    ]) {
      const seen = record(to, "values");
      from.emit("values", "first");
      from.emit("values", ...bytes());
      from.emit("values", binary(), "last");
      const events = await seen.until((all) => all.length === 3);
      assert.deepEqual(
        events.map((event) => plain(event.slice(1))),
        [["first"], plain(bytes()), [plain(binary()), "last"]],
      );
    }
  },

  "acknowledges both ways, with bytes too [ACK-1, ACK-5]": async (t, row) => {
    const { client, socket } = await startPair(t, row);
    for (const [from, to] of [
      [client, socket],
      [socket, client],
    ]) {
      to.on("ask", (...args) => args.pop()(args.length, ...args));
      assert.deepEqual(await ask(from, "ask"), [0]);
      assert.deepEqual(await ask(from, "ask", "é", { a: 1 }), [2, "é", { a: 1 }]);
      assert.deepEqual(plain(await ask(from, "ask", ...bytes(), binary())), [5, ...plain(bytes()), plain(binary())]);
      const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => ask(from, "ask", i)));
      assert.deepEqual(
        answers,
        Array.from({ length: 20 }, (_, i) => [1, i]),
      );
    }
  },

  "reaches rooms, exceptions and everybody [BRO-3, BRO-6]": async (t, row) => {
    const server = await start(t, row);
    const [a, b, c] = [await join(t, row, server), await join(t, row, server), await join(t, row, server)];
    a.socket.join(["red", "blue"]);
    b.socket.join("red");
    const seen = [a, b, c].map(({ client }) => record(client, "hint"));
    server.io.to("red").emit("hint", "red");
    server.io
      .to("red")
      .to("blue")
      .emit("hint", "once", Buffer.from([1]));
    server.io.except("blue").emit("hint", "not blue");
    a.socket.to("red").emit("hint", "from a");
    c.socket.broadcast.emit("hint", "from c");
    server.io.to(c.socket.id).emit("hint", "c alone");
    server.io.emit("hint", "all");
    await Promise.all([a, b, c].map(({ socket, client }) => fence(socket, client)));
    assert.deepEqual(
      seen.map(({ events }) => events.map(([, what]) => what)),
      [
        ["red", "once", "from c", "all"],
        ["red", "once", "not blue", "from a", "from c", "all"],
        ["not blue", "c alone", "all"],
      ],
    );
  },

  "keeps namespaces apart on one connection [NSP-10, CLI-2]": async (t, row) => {
    const server = await start(t, row);
    const { io } = server;
    const entered = once(io.of("/shop"), "connection");
    const { client, socket } = await join(t, row, server);
    const shop = client.io.socket("/shop");
    t.after(() => shop.disconnect());
    const [inShop] = await entered;
    assert.equal(inShop.client, socket.client);
    assert.equal(io.engine.clientsCount, 1);

    client.on("hint", () => assert.fail("the hint was for /shop"));
    const heard = once(shop, "hint");
    io.of("/shop").emit("hint", Buffer.from([5]), "€");
    assert.deepEqual(plain(await heard), [[5], "€"]);
    inShop.on("ask", (value, answer) => answer(value, "shop"));
    assert.deepEqual(await ask(shop, "ask", 1), [1, "shop"]);

    const left = once(inShop, "disconnect");
    shop.disconnect();
    assert.equal((await left)[0], "client namespace disconnect");
    await fence(client, socket);
    await fence(socket, client);
  },

  "hears why it was refused [MID-3, MID-4, NSP-11, EIO3-5]": async (t, row) => {
    const { io, url } = await start(t, row);
    io.of("/closed").use((_, next) => next(Object.assign(new Error("not you"), { data: { code: 7 } })));
    io.of("/closed").on("connection", () => assert.fail("it was refused"));
    const refusal = row.client.revision === 3 ? "error" : "connect_error";

    const closed = open(t, row, `${url}/closed`, row.clientOptions);
    const [error] = await once(closed, refusal);
    if (row.client.revision === 3) assert.deepEqual(error, { code: 7 });
    else assert.deepEqual([error.message, error.data], ["not you", { code: 7 }]);

    const [unknown] = await once(closed.io.socket("/unknown"), refusal);
    assert.equal(unknown.message ?? unknown, "Invalid namespace");
  },

  "shows its credentials [SOC-10, SOC-15, EIO3-4]": async (t, row) => {
    const server = await start(t, row);
    const options = row.client.revision === 3 ? { query: { token: "a b&c" } } : { auth: { token: "a b&c" } };
    const { socket } = await join(t, row, server, { ...options, extraHeaders: { "x-from": "test" } });
    const { handshake } = socket;
    assert.equal((row.client.revision === 3 ? handshake.query : handshake.auth).token, "a b&c");
    assert.equal(handshake.headers["x-from"], "test");
    assert.equal(handshake.query.EIO, String(row.client.revision));
  },

  "leaves [DIS-20]": async (t, row) => {
    const { client, socket } = await startPair(t, row);
    const [there, here] = [once(socket, "disconnect"), once(client, "disconnect")];
    client.disconnect();
    assert.equal((await here)[0], "io client disconnect");
    assert.equal((await there)[0], "client namespace disconnect");
  },

  "is sent away by the server, after the last words [DIS-2, DIS-3]": async (t, row) => {
    for (const close of [false, true]) {
      const { client, socket, io } = await startPair(t, row);
      const seen = record(client, "last words", "disconnect");
      const there = once(socket, "disconnect");
      socket.emit("last words");
      socket.disconnect(close);
      const events = await seen.until((all) => all.length === 2);
      assert.deepEqual(
        events.map((event) => event.slice(0, 2)),
        [["last words"], ["disconnect", "io server disconnect"]],
      );
      assert.equal((await there)[0], "server namespace disconnect");
      assert.equal(io.of("/").sockets.size, 0);
    }
  },

  "reads why the server disconnects it [ROB-718]": async (t, row) => {
    for (const close of [false, true]) {
      const { client, socket } = await startPair(t, row);
      const seen = record(client, "disconnect_reason", "disconnect");
      socket.disconnect(close, { reason: "signed out" });
      const events = await seen.until((all) => all.some(([name]) => name === "disconnect"));
      const expected = [["disconnect_reason", "signed out"]].slice(ours("its disconnect takes no reason", () => 0) ?? 1);
      assert.deepEqual(
        events.map((event) => event.slice(0, 2)),
        [...expected, ["disconnect", "io server disconnect"]],
      );
    }
  },

  "loses its connection [DIS-24, DIS-27]": async (t, row) => {
    const cut = await startPair(t, row);
    const seen = [once(cut.socket, "disconnect"), once(cut.client, "disconnect")];
    cut.socket.conn.close();
    assert.equal((await seen[0])[0], "forced close");
    assert.match((await seen[1])[0], /^transport (close|error)$/);

    const left = await startPair(t, row);
    const gone = once(left.socket, "disconnect");
    left.client.io.engine.close();
    assert.equal((await gone)[0], "transport close");
  },

  "lives on heartbeats, and is gone without them [EIO-70, EIO-77, ENG-155, DIS-23]": async (t, row) => {
    const { client, socket } = await startPair(t, row, { pingInterval: 60, pingTimeout: 1000 });
    client.io.engine.pingTimeout = 60_000; // it is the server that must give up
    const disconnected = once(socket, "disconnect");
    let isGone = false;
    disconnected.then(() => (isGone = true));
    let beats = 0;
    const beaten = new Promise((resolve) => socket.conn.on("heartbeat", () => ++beats === 3 && resolve()));
    await within(beaten, "three heartbeats");
    assert.equal(isGone, false);
    await fence(socket, client);
    // The client falls silent: it still has its connection, but nothing that it sends leaves.
    client.io.engine.transport.send = () => {};
    client.io.engine.transport.write = () => {};
    const isTimedOut = async () => assert.equal((await disconnected)[0], "ping timeout");
    const isForgotten = row.client.revision === 3 && row.transport.title === "upgrade";
    await (isForgotten ? ours("its sessions of revision 3 are never timed out after an upgrade", isTimedOut) : isTimedOut());
  },

  "comes back after a restart of the server [SRV-61]": async (t, row) => {
    const server = await start(t, row);
    const options = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 50 };
    const { client, socket } = await join(t, row, server, options);
    const seen = [once(socket, "disconnect"), once(client, "disconnect")];
    await server.stop();
    assert.equal((await seen[0])[0], "server shutting down");
    assert.match((await seen[1])[0], /^transport (close|error)$/);

    const again = await serve(t, row.host, row.serverOptions, server.port);
    const [back] = await once(again.io, "connection");
    await settle(client, again.io, row);
    assert.notEqual(back.id, socket.id);
    back.on("ask", (value, answer) => answer(value));
    assert.deepEqual(await ask(client, "ask", "still me"), ["still me"]);
  },

  "carries payloads of megabytes both ways [ENG-97, EIO-54]": async (t, row) => {
    const { client, socket } = await startPair(t, row, { maxHttpBufferSize: 1e7 });
    const wide = "aé€🦊".repeat(100_000);
    const raw = Buffer.alloc(1_500_000, Buffer.from("0123456789abcde"));
    for (const [from, to] of [
      [client, socket],
      [socket, client],
    ]) {
      to.on("ask", (what, answer) => answer(what));
      const [back] = await ask(from, "ask", wide);
      assert.ok(back === wide, "the text is the same");
      const [backRaw] = await ask(from, "ask", raw);
      assert.ok(raw.equals(Buffer.from(backRaw)), "the bytes are the same");
    }
  },

  "loses nothing and repeats nothing, 10,000 numbered messages each way from the first moment on [EVT-10, EIO-88, ENG-150]": async (
    t,
    row,
  ) => {
    const { io, url } = await start(t, row);
    const haveBothStarted = holdUpgrades(io);
    const entered = new Promise((resolve) => {
      io.once("connection", (socket) => {
        const theirs = flow(socket, () => socket.conn.transport.name);
        theirs.start();
        resolve(theirs);
      });
    });
    const client = open(t, row, url, row.clientOptions);
    const mine = flow(client, () => client.io.engine.transport.name);
    client.once("connect", mine.start);
    const theirs = await within(entered, "the connection");
    if (!client.connected) await once(client, "connect");
    haveBothStarted();

    await settle(client, io, row);
    mine.sendRest();
    theirs.sendRest();
    for (const [sender, receiver] of [
      [mine, theirs],
      [theirs, mine],
    ]) {
      const received = await receiver.complete();
      assert.ok(
        received.every((number, at) => number === at),
        `out of order at ${received.findIndex((number, at) => number !== at)}`,
      );
      assert.deepEqual([sender.used.at(0), sender.used.at(-1)], [row.transport.options.transports[0], row.transport.settled]);
    }
    await fence(client, io.of("/").sockets.get(client.id));
    assert.deepEqual([mine.count(), theirs.count()], [total, total]);
  },
};

const total = 10_000;

/** Keeps sessions on polling until the returned function is called: on loopback an upgrade can be faster than the first message. */
export function holdUpgrades(io) {
  let release;
  const released = new Promise((resolve) => (release = resolve));
  io.engine.use((req, res, next) => {
    if (req._query.sid && req._query.transport === "websocket") released.then(() => next());
    else next();
  });
  return release;
}

/**
 * Once started, sends 9,000 numbered messages in small steps, and the rest when told; every tenth carries bytes.
 * @param transportName  gives the name of the transport that the side uses at that moment
 */
function flow(side, transportName) {
  const received = [];
  let sent = 0;
  let isHeld = true;
  let isPaused = false;
  let arrived;
  const used = [];
  const all = new Promise((resolve) => (arrived = resolve));

  side.on("n", (number) => {
    received.push(number);
    if (received.length === total) arrived(received);
  });
  const step = () => {
    const limit = isHeld ? total * 0.9 : total;
    used.push(transportName());
    for (let i = 0; i < 40 && sent < limit; i += 1, sent += 1)
      side.emit("n", sent, ...(sent % 10 === 0 ? [Buffer.from([sent % 256])] : []));
    isPaused = sent === limit;
    if (!isPaused) setImmediate(step);
  };
  return {
    start: step,
    sendRest() {
      isHeld = false;
      if (isPaused) step();
    },
    complete: () => within(all, `${total} messages`, () => `${received.length}, last ${received.at(-1)}`, 30_000),
    count: () => received.length,
    used,
  };
}
