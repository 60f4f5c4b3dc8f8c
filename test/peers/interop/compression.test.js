/** Official clients whose WebSocket offers permessage-deflate, on servers that agree, without and with context takeover. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { once, record } from "../../support/client.js";
import { eventually, fence } from "../../support/pairs.js";
import { startTap } from "../../support/tap.js";
import { within } from "../../support/wait.js";
import { clients, transports } from "./clients.js";
import { hosts, serve } from "./hosts.js";
import { ask, join, open, plain, settle } from "./peer.js";
import { holdUpgrades, runSuite } from "./suite.js";

const [, webSocket, upgrade] = transports;
const official = [clients["3.1"], clients["4.0"], clients["4.8"]];
const host = hosts[0];
const NO_CONTEXT = ["client_no_context_takeover", "server_no_context_takeover"];

/** `answer`: the parameters of the extension that the server must name, other than window sizes. */
const modes = [
  { title: "without context", perMessageDeflate: true, answer: NO_CONTEXT },
  { title: "with the server's context", perMessageDeflate: { serverNoContextTakeover: false }, answer: NO_CONTEXT.slice(0, 1) },
  { title: "with context", perMessageDeflate: { serverNoContextTakeover: false, clientNoContextTakeover: false }, answer: [] },
];

for (const client of official) {
  const title = `${client.title}, every message compressed`;
  const serverOptions = { perMessageDeflate: { threshold: 0 } };
  const onHosts = client === clients["4.8"] ? hosts.filter(({ isUws }) => !isUws) : [host];
  runSuite(client, { title, serverOptions, onHosts, over: [webSocket, upgrade] });
}

/** A server behind a tap: `{ io, url, webSockets, cut }`. */
async function start(t, row, options) {
  const server = await serve(t, host, { perMessageDeflate: row.mode.perMessageDeflate, maxHttpBufferSize: 1e7, ...options });
  return { ...server, ...(await startTap(t, server.port)) };
}

async function startPair(t, row, options) {
  const server = await start(t, row, options);
  return { ...server, ...(await join(t, row, server)) };
}

const words = "the order has left our warehouse and should arrive on monday please check address again".split(" ");
const entries = (seed, count) =>
  Array.from({ length: count }, (_, i) => ({
    id: seed * 7919 + i,
    text: `${words[(seed + i) % words.length]} ${words[(seed * 3 + i) % words.length]}`,
  }));

/** What message `number` carries: small and large, text and bytes. */
function valuesOf(number) {
  const small = { number };
  const large = { number, entries: entries(number, 60) };
  const bytes = Buffer.alloc(3000, `${number} bytes `);
  return [[small], [large], [bytes], [large, bytes, small], [`${number} é€🦊 `.repeat(3000)], ["x".repeat(number % 50)]][number % 6];
}

/** Every eleventh message asks for no compression. */
const emitterOf = (side, number) => (number % 11 === 0 ? side.compress(false) : side);

/** Sends messages `from` to `to`, a few in each turn of the event loop. */
async function sendAll(side, from, to) {
  for (let number = from; number < to; number++) {
    emitterOf(side, number).emit("n", number, ...valuesOf(number));
    if (number % 5 === 4) await new Promise(setImmediate);
  }
}

function assertWhole(events, count) {
  for (let number = 0; number < count; number++) {
    assert.deepEqual(plain(events[number].slice(1)), plain([number, ...valuesOf(number)]), `message ${number}`);
  }
  assert.equal(events.length, count);
}

const isCompressed = ({ rsv }) => rsv === 4;
const bytesOf = (frames) => frames.reduce((sum, { payload }) => sum + payload.length, 0);

const behaviours = {
  "negotiates compression, and less is on the wire [ENG-14, ENG-113]": async (t, row) => {
    const { client, socket, webSockets } = await startPair(t, row);
    const [{ offered, accepted, sent, received }] = webSockets;
    assert.match(offered, /^permessage-deflate; client_max_window_bits/);
    const [name, ...parameters] = accepted.split(/; ?/);
    assert.equal(name, "permessage-deflate");
    assert.deepEqual(parameters.filter((parameter) => !/_max_window_bits/.test(parameter)).sort(), row.mode.answer);

    socket.on("ask", (value, answer) => answer(value));
    const document = entries(1, 400);
    const size = JSON.stringify(document).length;
    assert.deepEqual(await ask(client, "ask", document), [document]);
    for (const frames of [sent, received]) {
      const large = frames.filter(isCompressed);
      assert.equal(large.length, 1, "one message is above the threshold");
      assert.ok(bytesOf(large) < size / 2, `${bytesOf(large)} of ${size} bytes`);
    }
  },

  "carries large and small, text and bytes, compressed and not, both ways in order [EVT-2, EVT-8, ENG-113]": async (t, row) => {
    const { client, socket, webSockets } = await startPair(t, row);
    const count = 300;
    const seen = [record(client, "n"), record(socket, "n")];
    await Promise.all([sendAll(client, 0, count), sendAll(socket, 0, count)]);
    for (const { until } of seen) assertWhole(await until((all) => all.length === count, 20_000), count);
    const { received } = webSockets[0];
    // Messages 1 to 4 of 6 are large; 3 has a text and an attachment, which ask for no compression every eleventh time.
    const large = Array.from({ length: count }, (_, number) => ([1, 2, 4].includes(number % 6) ? 1 : number % 6 === 3 ? 2 : 0));
    assert.equal(
      received.filter(isCompressed).length,
      large.filter((_, number) => number % 11 !== 0).reduce((a, b) => a + b),
    );
  },

  "acknowledges both ways with large values [ACK-1, ACK-5]": async (t, row) => {
    const { client, socket } = await startPair(t, row);
    for (const [from, to] of [
      [client, socket],
      [socket, client],
    ]) {
      to.on("ask", (...args) => args.pop()(...args));
      const answers = await Promise.all(Array.from({ length: 60 }, (_, number) => ask(from, "ask", ...valuesOf(number))));
      assert.deepEqual(
        answers.map(plain),
        Array.from({ length: 60 }, (_, number) => plain(valuesOf(number))),
      );
    }
  },

  "gets broadcasts to rooms, beside clients that compress nothing [BRO-3, BRO-6, ENG-113]": async (t, row) => {
    const server = await start(t, row);
    const here = await join(t, row, server);
    const plainly = await join(t, { ...row, clientOptions: { perMessageDeflate: false } }, server);
    const polling = await join(t, { ...row, transport: transports[0] }, server);
    const all = [here, plainly, polling];
    here.socket.join("red");
    polling.socket.join("red");
    const seen = all.map(({ client }) => record(client, "hint"));
    for (let number = 0; number < 24; number++) {
      server.io.emit("hint", number, ...valuesOf(number));
      server.io.to("red").emit("hint", "red", ...valuesOf(number));
      server.io
        .except("red")
        .compress(false)
        .emit("hint", "not red", ...valuesOf(number));
      here.socket.broadcast.emit("hint", "from here", ...valuesOf(number));
    }
    await Promise.all(all.map(({ client, socket }) => fence(socket, client)));
    const expected = (...names) =>
      Array.from({ length: 24 }, (_, number) => names.map((name) => plain(["hint", name ?? number, ...valuesOf(number)]))).flat();
    assert.deepEqual(seen[0].events.map(plain), expected(undefined, "red"));
    assert.deepEqual(seen[1].events.map(plain), expected(undefined, "not red", "from here"));
    assert.deepEqual(seen[2].events.map(plain), expected(undefined, "red", "from here"));
    const [mine, theirs] = server.webSockets;
    assert.equal(theirs.accepted, undefined);
    assert.equal(theirs.received.some(isCompressed), false);
    assert.ok(mine.received.filter(isCompressed).length >= 24);
  },

  "gets volatile messages whole or not at all [EVT-30]": async (t, row) => {
    const { client, socket, io } = await startPair(t, row);
    const seen = record(client, "n");
    for (let number = 0; number < 120; number++) {
      (number % 2 === 0 ? socket : io).volatile.emit("n", number, ...valuesOf(number));
      if (number % 10 === 9) await fence(socket, client);
    }
    await fence(socket, client);
    assert.ok(seen.events.length > 0);
    const numbers = seen.events.map(([, number]) => number);
    assert.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
    );
    for (const [, number, ...values] of seen.events) assert.deepEqual(plain(values), plain(valuesOf(number)));
  },

  "loses nothing across the upgrade [EIO-88, ENG-150]": async (t, row) => {
    row = { ...row, transport: upgrade };
    const { io, url, webSockets } = await start(t, row);
    const release = holdUpgrades(io);
    const entered = once(io, "connection");
    const client = open(t, row, url);
    const [socket] = await entered;
    const [mine, theirs] = [record(client, "n"), record(socket, "n")];
    if (!client.connected) await once(client, "connect");
    await Promise.all([sendAll(client, 0, 60), sendAll(socket, 0, 60)]);
    release();
    await Promise.all([sendAll(client, 60, 240), sendAll(socket, 60, 240)]);
    await settle(client, io, row);
    await Promise.all([sendAll(client, 240, 300), sendAll(socket, 240, 300)]);
    for (const { until } of [mine, theirs]) assertWhole(await until((all) => all.length === 300, 20_000), 300);
    assert.ok(webSockets[0].received.some(isCompressed));
  },

  "ends after the last words [DIS-2, DIS-3]": async (t, row) => {
    for (const close of [false, true]) {
      const { client, socket } = await startPair(t, row);
      const seen = record(client, "n", "disconnect");
      const left = once(socket, "disconnect");
      for (let number = 0; number < 12; number++) socket.emit("n", number, ...valuesOf(number));
      socket.disconnect(close);
      const events = await seen.until((all) => all.some(([name]) => name === "disconnect"));
      assert.deepEqual(events.pop().slice(0, 2), ["disconnect", "io server disconnect"]);
      assertWhole(events, 12);
      assert.equal((await left)[0], "server namespace disconnect");
    }
  },
};

for (const client of official) {
  for (const mode of modes) {
    for (const [behaviour, check] of Object.entries(behaviours)) {
      test(`${client.title}, ${mode.title}: ${behaviour}`, (t) => check(t, { client, mode, transport: webSocket }));
    }
  }
}

for (const mode of modes) {
  test(`socket.io-client 4.8, ${mode.title}: recovers what it missed, compressed [CSR-12, ENG-113]`, async (t) => {
    const row = { client: clients["4.8"], mode, transport: webSocket };
    const server = await start(t, row, { connectionStateRecovery: {} });
    const options = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 50 };
    const { client, socket } = await join(t, row, server, options);
    const seen = record(client, "n");
    socket.join("red");
    for (let number = 0; number < 6; number++) server.io.to("red").emit("n", number, ...valuesOf(number));
    await fence(socket, client);
    const gone = once(socket, "disconnect");
    server.cut();
    await gone;
    for (let number = 6; number < 18; number++) server.io.to("red").emit("n", number, ...valuesOf(number));
    await within(once(client, "connect"), "the client to be back");
    await eventually(() => server.webSockets.length === 2, "the second WebSocket");
    assert.equal(client.recovered, true);
    const withoutOffset = (await seen.until((all) => all.length === 18)).map((event) => event.slice(0, -1));
    assertWhole(withoutOffset, 18);
    assert.ok(server.webSockets[1].received.some(isCompressed));
  });
}
