/**
 * Connection state recovery under a bad network: a TCP proxy in front of each client cuts at random while messages flow.
 * The seed of the cuts is printed with the figures; TEST_SEED repeats a run's choices.
 */
import assert from "node:assert/strict";
import { connect as connectTcp, createServer } from "node:net";
import { test } from "node:test";
import { client as makeClient, once, stopwatch } from "../../support/client.js";
import { eventually } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { pass, within } from "../../support/wait.js";

const CLIENTS = 50;
const MESSAGES = 1000;
const TRANSPORTS = [["websocket"], ["polling", "websocket"], ["polling"]];
/**
 * What happens to the connections that are open: `closed` tells both sides, `half` tells the client only, `silent` tells nobody.
 * After the last two the server goes on writing into nothing.
 */
const CUTS = ["closed", "half", "silent"];

/** A TCP proxy whose open connections can be cut; new ones go through. */
async function cuttableProxy(t, port) {
  const links = new Set();
  const server = createServer((near) => {
    const far = connectTcp(port, "127.0.0.1");
    const link = { near, far, isCut: false };
    links.add(link);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      from.setNoDelay(true);
      from.on("data", (chunk) => !link.isCut && to.write(chunk)); // what comes after a cut is read and lost
      from.on("error", () => {});
      from.on("close", () => {
        if (!link.isCut) to.destroy();
        if (near.destroyed && far.destroyed) links.delete(link);
      });
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    for (const { near, far } of links) [near, far].forEach((socket) => socket.destroy());
  });
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    cut(kind) {
      for (const link of links) {
        if (link.isCut) continue;
        link.isCut = true;
        if (kind !== "silent") link.near.destroy();
        if (kind === "closed") link.far.destroy();
      }
    },
  };
}

/** Numbers in [0, 1), the same ones for the same seed. */
function randomNumbers(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Connects a client through a proxy of its own; `got` are the numbers it was sent, `returns` its connections after the first. */
async function startSubject(t, { io, port }, index) {
  const proxy = await cuttableProxy(t, port);
  const admitted = once(io, "connection");
  const client = makeClient(t, proxy.url, "/", {
    transports: TRANSPORTS[index % TRANSPORTS.length],
    reconnection: true,
    reconnectionDelay: 20,
    reconnectionDelayMax: 100,
    timeout: 1500,
  });
  const got = [];
  const returns = [];
  const done = new Promise((resolve) => {
    client.on("n", (number) => {
      got.push(number);
      if (number === MESSAGES) resolve();
    });
  });
  const [[socket]] = await Promise.all([admitted, once(client, "connect")]);
  socket.join(`subject ${index}`);
  const { id } = client;
  client.on("connect", () => returns.push({ recovered: client.recovered, sameId: client.id === id }));
  return { index, proxy, client, got, returns, done };
}

/** Where a client stands that is not done, for the message of a failure. */
function describe({ index, client, got, returns }) {
  return {
    index,
    transports: TRANSPORTS[index % TRANSPORTS.length],
    connected: client.connected,
    got: got.length,
    last: got.at(-1),
    firstNotRecovered: returns.findIndex(({ recovered }) => !recovered),
    returns: returns.length,
  };
}

test(
  "delivers 1,000 messages to each of 50 clients in order, each once, whenever their network is cut [CSR-8, CSR-11, CSR-14]",
  { ...oursOnly("it loses clients that are back before it knows that they were gone"), timeout: 110_000 },
  async (t) => {
    const seed = Number(process.env.TEST_SEED ?? Date.now() % 2 ** 31);
    console.error(`recovery run: seed ${seed}`);
    const random = randomNumbers(seed);
    const server = await startServer(t, { connectionStateRecovery: {}, pingInterval: 700, pingTimeout: 500 });
    const subjects = [];
    for (let index = 0; index < CLIENTS; index++) subjects.push(await startSubject(t, server, index));
    let connections = 0;
    server.io.on("connection", (socket) => (connections += socket.recovered ? 1 : NaN));

    const elapsed = stopwatch();
    const cuts = { closed: 0, half: 0, silent: 0 };
    for (let number = 1; number <= MESSAGES; number++) {
      for (const { index, proxy } of subjects) {
        server.io.to(`subject ${index}`).emit("n", number);
        if (random() >= 0.005) continue;
        const kind = CUTS[Math.floor(random() * CUTS.length)];
        proxy.cut(kind);
        cuts[kind]++;
      }
      await pass(5); // the pace of the messages
    }
    const emittedMs = elapsed();
    const waiting = () => subjects.filter(({ got }) => got.at(-1) !== MESSAGES).map(describe);
    await within(Promise.all(subjects.map(({ done }) => done)), "the last message to reach every client", waiting, 30_000);

    const expected = Array.from({ length: MESSAGES }, (_, index) => index + 1);
    for (const { got } of subjects) assert.deepEqual(got, expected);
    const returns = subjects.flatMap((subject) => subject.returns);
    assert.deepEqual(
      returns.filter(({ recovered, sameId }) => !recovered || !sameId),
      [],
    );
    assert.ok(connections >= returns.length, "a connection was taken for a new one by the server");
    for (const kind of CUTS) assert.ok(cuts[kind] > CLIENTS / 2, `only ${cuts[kind]} cuts of the kind ${kind}`);
    console.error(
      `recovery run: ${CLIENTS * MESSAGES} messages in ${(emittedMs / 1000).toFixed(1)} s, all there ${(elapsed() - emittedMs).toFixed(0)} ms later, in order, none twice; ` +
        `cuts: ${CUTS.map((kind) => `${cuts[kind]} ${kind}`).join(", ")}; ${connections} recoveries on the server, ${returns.length} seen by clients`,
    );
  },
);

test("gives a clean new session to every client that stays away for too long [CSR-12, CSR-13]", { timeout: 60_000 }, async (t) => {
  const windowMs = 300;
  const server = await startServer(t, { connectionStateRecovery: { maxDisconnectionDuration: windowMs } });
  const subjects = [];
  for (let index = 0; index < CLIENTS; index++) subjects.push(await startSubject(t, server, index));
  const sockets = [...server.io.of("/").sockets.values()];
  const endings = sockets.map((socket) => once(socket, "disconnect"));
  const ids = new Set(sockets.map(({ id }) => id));
  server.io.emit("n", 1);
  await eventually(() => subjects.every(({ got }) => got.length === 1), "every client to have an offset");
  for (const { client, proxy } of subjects) {
    client.io.reconnection(false);
    proxy.cut("closed");
  }
  await Promise.all(endings);
  server.io.emit("n", 2);
  await pass(windowMs + 50); // longer than the window: what happens then is the subject
  const connected = subjects.map(({ client }) => once(client, "connect"));
  for (const { client } of subjects) client.connect();
  await Promise.all(connected);
  server.io.emit("n", 3);
  await eventually(() => subjects.every(({ got }) => got.at(-1) === 3), "the message behind the return to arrive");
  for (const { got, returns, client } of subjects) {
    assert.deepEqual([got, returns], [[1, 3], [{ recovered: false, sameId: false }]]);
    assert.equal(ids.has(client.id), false);
  }
  assert.equal(server.io.of("/").adapter.rooms.size, CLIENTS);
  console.error(
    `recovery run: ${CLIENTS} clients away for more than ${windowMs} ms: ${CLIENTS} new sessions, none with old rooms or messages`,
  );
});
