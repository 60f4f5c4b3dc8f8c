/** Clients that vanish before, during and after each step of the server, which takes its time in all of them. */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { connect as dial } from "node:net";
import { test } from "node:test";
import { connect } from "../../support/client.js";
import { catchProcess, eventually, fence, nextSocket } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { frame, http, OPCODE, requestBytes, upgradeBytes } from "../../support/wire-client.js";

const COUNT = 10_000;
const AT_A_TIME = 100;
const PATH = "/socket.io/?EIO=4";

/** Runs `step` at once, in a later tick, or in a later turn, as it happens. */
function sometime(step) {
  const moment = randomInt(4);
  if (moment === 0) step();
  else if (moment === 1) process.nextTick(step);
  else if (moment === 2) setImmediate(step);
  else setTimeout(step, randomInt(3));
}

/** What a client may send before it vanishes: whole and half requests of each kind. */
function bytesOf(port, sid) {
  const session = `${PATH}&transport=polling&sid=${sid}`;
  const requests = [
    () => requestBytes(port, { path: `${PATH}&transport=polling` }),
    () => requestBytes(port, { path: session }),
    () => requestBytes(port, { method: "POST", path: session, body: "40" }),
    () => requestBytes(port, { method: "POST", path: session, body: '42["echo",1]' }),
    () => requestBytes(port, { path: `${PATH}&transport=polling&sid=unknown` }),
    () => requestBytes(port, { path: "/socket.io/socket.io.js", headers: { "Accept-Encoding": "gzip" } }),
    () => upgradeBytes(port, `${PATH}&transport=websocket`),
    () => upgradeBytes(port, `${PATH}&transport=websocket&sid=${sid}`),
    () => Buffer.concat([requestBytes(port, { path: session }), requestBytes(port, { method: "POST", path: session, body: "41" })]),
  ];
  const bytes = Buffer.from(requests[randomInt(requests.length)]());
  return randomInt(3) === 0 ? bytes.subarray(0, randomInt(bytes.length)) : bytes;
}

const FRAMES = ["2probe", "5", "40", '42["echo",1]'].map((text) => frame(OPCODE.text, Buffer.from(text)));

/** One connection: what it sends, perhaps frames behind the answer, and its end by FIN or by reset. */
function attack(port, sid) {
  return new Promise((resolve) => {
    const socket = dial({ port, host: "127.0.0.1" });
    const end = () => (randomInt(2) === 0 ? socket.resetAndDestroy() : socket.destroy());
    socket.on("error", () => {});
    socket.on("close", resolve);
    socket.on("connect", () => {
      socket.write(bytesOf(port, sid));
      const moment = randomInt(6);
      if (moment === 0) setImmediate(end);
      else if (moment === 1) setTimeout(end, randomInt(6));
      else {
        socket.once("data", () => {
          if (moment > 2) socket.write(Buffer.concat(FRAMES.slice(0, randomInt(FRAMES.length + 1))));
          sometime(end);
        });
        setTimeout(end, 150);
      }
    });
  });
}

test(`survives ${COUNT.toLocaleString("en")} clients that disconnect at random, and keeps nothing of them [ENG-184]`, async (t) => {
  const uncaught = ["uncaughtException", "unhandledRejection"].map((kind) => catchProcess(t, kind));
  const { io, port } = await startServer(
    t,
    {
      pingInterval: 300,
      pingTimeout: 300,
      connectTimeout: 300,
      cors: { origin: (origin, answer) => sometime(() => answer(null, true)) },
      allowRequest: (request, answer) => sometime(() => answer(null, "bystander" in request._query || randomInt(10) > 0)),
    },
    { uws: true },
  );
  io.engine.use((request, response, next) => sometime(next));
  io.engine.generateId = (() => {
    let last = 0;
    return () => new Promise((resolve) => sometime(() => resolve(`id${last++}`)));
  })();
  io.use((socket, next) => sometime(next));
  io.on("connection", (socket) => {
    socket.join("room");
    socket.on("echo", (value) => io.to("room").emit("echo", value));
  });

  const joined = nextSocket(io);
  // Over polling: uWebSockets.js may close a connection at once that it upgrades after its handler returned.
  const bystander = await connect(t, port, "/", { transports: ["polling"], query: { bystander: "" } });
  await joined;
  const listenersBefore = io.engine.eventNames().map((name) => [name, io.engine.listenerCount(name)]);
  const exitListeners = process.listenerCount("exit");

  const reached = { polling: 0, websocket: 0, upgrades: 0, sockets: 0 };
  io.engine.on("connection", (session) => {
    reached[session.transport.name]++;
    session.once("upgrade", () => reached.upgrades++);
  });
  io.on("connection", () => reached.sockets++);
  listenersBefore.find(([name]) => name === "connection")[1]++;

  const someSession = () => {
    const ids = Object.keys(io.engine.clients);
    return ids[randomInt(ids.length)] ?? "none";
  };
  let started = 0;
  const worker = async () => {
    while (started < COUNT) {
      started++;
      const sid = someSession();
      await attack(port, sid === bystander.io.engine.id ? "none" : sid);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));

  t.diagnostic(JSON.stringify(reached));
  for (const [what, count] of Object.entries(reached)) assert.ok(count > 5, `${what}: ${count}`);
  await eventually(() => io.engine.clientsCount === 1, "all sessions but the bystander's to end");
  assert.deepEqual(Object.keys(io.engine.clients), [bystander.io.engine.id]);
  await eventually(() => io.sockets.sockets.size === 1, "all sockets but the bystander's to end");
  assert.equal(io.sockets.adapter.rooms.size, 2);
  assert.deepEqual(
    io.engine.eventNames().map((name) => [name, io.engine.listenerCount(name)]),
    listenersBefore,
  );
  assert.equal(process.listenerCount("exit"), exitListeners);
  assert.deepEqual(
    uncaught.flatMap(({ caught }) => caught),
    [],
  );
  await fence(bystander, [...io.sockets.sockets.values()][0]);
  assert.equal((await http(port, { path: "/socket.io/socket.io.js" })).status, 200);
});
