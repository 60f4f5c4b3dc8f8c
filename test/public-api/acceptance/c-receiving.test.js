/** Catalogue of usage examples, section C: receiving, catch-all listeners, socket middlewares. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { once, record } from "../../support/client.js";
import { catchProcess, crowd, fence, nextSocket, pair, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";

test("EX-50 listens as an EventEmitter does [MOD-7, EVT-20]", async (t) => {
  const { socket, client } = await pair(t);
  const log = [];
  const gone = () => log.push("gone");
  socket.on("e", gone);
  socket.off("e", gone);
  socket.on("removed", () => log.push("removed"));
  socket.removeAllListeners("removed");
  socket.once("e", (n) => log.push(`once ${n}`));
  socket.on("e", (n) => log.push(`on ${n}`));
  client.emit("e", 1);
  client.emit("removed");
  client.emit("e", 2);
  await fence(client, socket);
  assert.deepEqual(log, ["once 1", "on 1", "on 2"]);
});

test("EX-51 hands every event, with its acknowledgement, to onAny first [ANY-1, ANY-2, EVT-20]", async (t) => {
  const { socket, client } = await pair(t);
  const log = [];
  socket.onAny((...args) => args[0] === "foo" && log.push(["any", ...args]));
  socket.on("foo", (...args) => log.push(["listener", ...args]));
  client.emit("foo", 1, () => {});
  await fence(client, socket);
  const [any, listener] = log;
  assert.deepEqual(any.slice(0, 3), ["any", "foo", 1]);
  assert.deepEqual(listener.slice(0, 2), ["listener", 1]);
  assert.deepEqual([any.length, typeof any[3], listener.length, typeof listener[2]], [4, "function", 3, "function"]);
});

test("EX-52 orders, removes and lists catch-all listeners [ANY-1]", async (t) => {
  const { socket, client } = await pair(t);
  const log = [];
  const first = () => log.push("onAny");
  socket.onAny(first);
  socket.prependAny(() => log.push("prependAny"));
  assert.equal(socket.listenersAny().length, 2);
  client.emit("e");
  await fence(client, socket);
  assert.deepEqual(log.slice(0, 2), ["prependAny", "onAny"]);
  assert.equal(socket.offAny(first), socket);
  assert.equal(socket.listenersAny().length, 1);
  socket.offAny();
  assert.deepEqual(socket.listenersAny(), []);
});

test("EX-53 shows every outgoing event, but no acknowledgement [ANY-3]", async (t) => {
  const { io, socket, client } = await pair(t);
  const seen = [];
  socket.join("room");
  socket.onAnyOutgoing((...args) => seen.push(args));
  socket.on("ask", (callback) => callback("answer"));
  socket.emit("a", 1, () => {});
  io.emit("b", 2);
  io.to("room").emit("c", 3);
  assert.equal(await client.timeout(2000).emitWithAck("ask"), "answer");
  assert.deepEqual(seen, [
    ["a", 1],
    ["b", 2],
    ["c", 3],
  ]);
});

test("EX-54 blocks an event in a socket middleware [EVT-30, EVT-32]", async (t) => {
  const { socket, client } = await pair(t);
  const log = record(socket, "bad", "good", "error");
  socket.use(([event], next) => (event === "bad" ? next(new Error("blocked")) : next()));
  client.emit("bad");
  client.emit("good", 1);
  await fence(client, socket);
  assert.deepEqual(
    log.events.map(([name, value]) => [name, value?.message ?? value]),
    [
      ["error", "blocked"],
      ["good", 1],
    ],
  );
});

test("EX-55 lets a socket middleware change the event [EVT-30]", async (t) => {
  const { socket, client } = await pair(t);
  socket.use((event, next) => {
    event[1] = "changed";
    next();
  });
  const seen = [];
  socket.use((event, next) => {
    seen.push([...event]);
    next();
  });
  const arrived = once(socket, "e");
  client.emit("e", "original");
  assert.deepEqual(await arrived, ["changed"]);
  assert.deepEqual(seen, [["e", "changed"]]);
});

test("EX-56 disconnects a client that gives no callback [ACK-7, DIS-2]", async (t) => {
  const { socket, client } = await pair(t);
  socket.on("ask", (callback) => (typeof callback === "function" ? callback("ok") : socket.disconnect()));
  assert.equal(await client.timeout(2000).emitWithAck("ask"), "ok");
  const ending = once(client, "disconnect");
  client.emit("ask");
  assert.deepEqual((await ending)[0], "io server disconnect");
});

test("EX-57 leaves a rejected listener to the process, and the client connected [EVT-26]", async (t) => {
  const { socket, client } = await pair(t);
  const rejections = catchProcess(t, "unhandledRejection");
  socket.on("e", async () => {
    throw new Error("from the listener");
  });
  client.emit("e");
  assert.equal((await rejections.next()).message, "from the listener");
  await fence(client, socket);
  assert.equal(client.connected, true);
});

test("EX-58 runs no listener after disconnect has fired [EVT-22]", async (t) => {
  const { socket, client } = await pair(t);
  const log = record(socket, "last", "disconnect");
  client.emit("last");
  client.disconnect();
  const events = await log.until((all) => all.some(([name]) => name === "disconnect"));
  // one turn more: a listener that is still due would run now
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(events.at(-1)[0], "disconnect");
  assert.equal(events.filter(([name]) => name === "disconnect").length, 1);
});

test("EX-59 survives an event named error without a listener [SOC-6, EVT-25]", async (t) => {
  const { socket, client } = await pair(t);
  assert.equal(socket.listenerCount("error"), 1);
  client.emit("error", "nobody listens");
  await fence(client, socket);
  const heard = once(socket, "error");
  client.emit("error", "somebody listens");
  assert.deepEqual(await heard, ["somebody listens"]);
});

test(
  "EX-59 survives an event named error after removeAllListeners [SOC-6]",
  oursOnly("its guard is a listener, and goes with the others"),
  async (t) => {
    const { socket, client } = await pair(t);
    socket.removeAllListeners();
    client.emit("error", "nobody listens");
    await fence(client, socket);
    assert.equal(socket.connected, true);
  },
);

test("EX-60 closes a connection that forges a reserved event [EVT-24, DIS-27, DIS-29]", async (t) => {
  const { io, port } = await startServer(t);
  const admitted = nextSocket(io);
  const peer = await wirePeer(t, port);
  const log = record(await admitted, "error", "disconnect");
  peer.send('42["disconnect"]');
  await peer.closed();
  const [error, ending] = await log.until((events) => events.length === 2);
  assert.deepEqual([error[0], error[1].message], ["error", "invalid payload"]);
  assert.deepEqual(ending.slice(0, 2), ["disconnect", "forced close"]);
});

test("EX-53 shows a broadcast to each socket it reaches [ANY-3]", async (t) => {
  const { io, sockets } = await crowd(t, 2);
  const seen = [];
  sockets.forEach((socket, i) => socket.onAnyOutgoing((name) => seen.push([i, name])));
  sockets[1].join("room");
  io.to("room").emit("inside");
  sockets[1].broadcast.emit("outside");
  assert.deepEqual(seen, [
    [1, "inside"],
    [0, "outside"],
  ]);
});
