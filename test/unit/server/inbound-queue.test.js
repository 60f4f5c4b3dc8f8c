import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { test } from "node:test";
import { fakeServer, settled } from "./fake-engine.js";

/** Takes uncaught errors off the test runner during `work`. */
async function uncaughtDuring(work) {
  const errors = [];
  const others = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => errors.push(error.message));
  await work();
  await settled();
  process.removeAllListeners("uncaughtException");
  for (const listener of others) process.on("uncaughtException", listener);
  return errors;
}

test("hands over all packets of a chunk before the first listener runs [EVT-20, EVT-21, SIO-58]", async (t) => {
  const { join } = fakeServer(t);
  const { conn, socket } = await join();
  const order = [];
  const { onevent } = socket;
  socket.onevent = function (packet) {
    order.push(`packet ${packet.data[1]}`);
    onevent.call(this, packet);
  };
  socket.on("n", (n) => order.push(`listener ${n}`));
  conn.receive('2["n",1]', '2["n",2]');
  assert.deepEqual(order, []);
  await settled();
  assert.deepEqual(order, ["packet 1", "packet 2", "listener 1", "listener 2"]);
});

test("runs the rest of a chunk when a listener throws [EVT-26]", async (t) => {
  const { join } = fakeServer(t);
  const { conn, socket } = await join();
  const seen = [];
  socket.on("n", (n) => {
    seen.push(n);
    if (n % 2 === 1) throw new Error(`at ${n}`);
  });
  const errors = await uncaughtDuring(() => conn.receive('2["n",1]', '2["n",2]', '2["n",3]', '2["n",4]'));
  assert.deepEqual(seen, [1, 2, 3, 4]);
  assert.deepEqual(errors, ["at 1", "at 3"]);
  assert.equal(socket.connected, true);
});

test("runs the rest of a chunk when an acknowledgement or a catch-all listener throws [EVT-26]", async (t) => {
  const { join } = fakeServer(t);
  const { conn, socket } = await join();
  const seen = [];
  socket.emit("q", () => {
    throw new Error("in callback");
  });
  socket.onAny((event) => {
    if (event === "bad") throw new Error("in catch-all");
  });
  socket.on("good", () => seen.push("good"));
  socket.on("bad", () => seen.push("bad"));
  const errors = await uncaughtDuring(() => conn.receive("30[]", '2["bad"]', '2["good"]'));
  assert.deepEqual(errors, ["in callback", "in catch-all"]);
  assert.deepEqual(seen, ["good"]);
});

test("drops events of a socket that has left in the same chunk, and still takes its answers [SIO-58, EVT-22]", async (t) => {
  const { join } = fakeServer(t);
  const { conn, socket } = await join();
  const seen = [];
  socket.onAny((event) => seen.push(event));
  socket.on("x", () => seen.push("listener"));
  socket.emit("q", (value) => seen.push(value));
  conn.receive("1", '2["x"]', "30[7]");
  await settled();
  assert.deepEqual(seen, [7]);
});

test("keeps the order of middlewares that let pass at once [EVT-30, EVT-33]", async (t) => {
  const { join } = fakeServer(t);
  const { conn, socket } = await join();
  const seen = [];
  let release;
  socket.use((event, next) => (event[1] === 1 ? (release = next) : next()));
  socket.on("n", (n) => seen.push(n));
  conn.receive('2["n",1]', '2["n",2]', '2["n",3]');
  await settled();
  release();
  release();
  await settled();
  assert.deepEqual(seen, [2, 3, 1]);
});

test("raises events for a replaced onevent that calls the original twice [MEM-8]", async (t) => {
  const { join } = fakeServer(t);
  const { conn, socket } = await join();
  const seen = [];
  const { onevent } = socket;
  socket.onevent = function (packet) {
    const args = packet.data;
    onevent.call(this, packet);
    packet.data = ["*", ...args];
    onevent.call(this, packet);
  };
  socket.on("foo", (value) => seen.push(["foo", value]));
  socket.on("*", (...args) => seen.push(["*", ...args]));
  conn.receive('2["foo",1]');
  await settled();
  assert.deepEqual(seen, [
    ["foo", 1],
    ["*", "foo", 1],
  ]);
});

test("runs an event's listeners in the context that a catch-all listener has set [EVT-34]", async (t) => {
  const { join } = fakeServer(t);
  const { conn, socket } = await join();
  const storage = new AsyncLocalStorage();
  const seen = [];
  socket.onAny((event, n) => storage.enterWith(n));
  socket.on("n", (n) => seen.push([n, storage.getStore()]));
  conn.receive('2["n",1]', '2["n",2]');
  await settled();
  assert.deepEqual(seen, [
    [1, 1],
    [2, 2],
  ]);
});

test("runs acknowledgements and their time-outs in the context that emitted [EVT-34]", async (t) => {
  const { io, join } = fakeServer(t);
  const { conn, socket } = await join();
  const storage = new AsyncLocalStorage();
  const seen = [];
  const done = new Promise((resolve) => {
    for (const name of ["a", "b"]) {
      storage.run(name, () => {
        socket.emit("q", () => seen.push(["plain", name, storage.getStore()]));
        socket.timeout(5).emit("q", () => seen.push(["timed", name, storage.getStore()]));
        io.timeout(5).emit("q", () => {
          seen.push(["broadcast", name, storage.getStore()]);
          if (name === "b") resolve();
        });
      });
    }
  });
  storage.run("client", () => conn.receive("30[]", "33[]"));
  await done;
  assert.equal(seen.length, 6);
  for (const [, emitter, store] of seen) assert.equal(store, emitter);
});
