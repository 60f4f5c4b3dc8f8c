import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import roomcast from "../../../dist/index.js";
import { fakeServer, settled, warningsDuring } from "./fake-engine.js";

const { Server } = roomcast;

const BAD_OPTIONS = [
  [{ adapter: {} }, /option adapter: expected a class or a function, met object/],
  [{ parser: {} }, /option parser: expected an object with constructors Encoder and Decoder/],
  [{ path: 5 }, /option path: expected a string, met 5/],
  [{ connectTimeout: "soon" }, /option connectTimeout: expected a positive number, met "soon"/],
  [{ connectionStateRecovery: { maxDisconnectionDuration: "x" } }, /connectionStateRecovery\.maxDisconnectionDuration/],
  [{ limits: { depth: -1 } }, /option limits\.depth/],
  [{ limits: { messagesPerSecond: 0 } }, /option limits\.messagesPerSecond: expected a positive number or false, met 0/],
  [{ limits: { rateBurstMs: false } }, /option limits\.rateBurstMs: expected a positive number, met boolean/],
  [{ limits: { overRate: "wait" } }, /option limits\.overRate: expected one of defer, drop, close, met "wait"/],
  [{ limits: { droppedAck: "no" } }, /option limits\.droppedAck: expected an array of JSON values, met string/],
  [{ limits: { connections: true } }, /option limits\.connections: expected a non-negative number or false, met boolean/],
  [{ limits: { ipv6PrefixBits: false } }, /option limits\.ipv6PrefixBits: expected a non-negative number, met boolean/],
  [{ trustedProxies: ["proxy.example"] }, /option trustedProxies: expected a list of addresses/],
  [{ limits: { depths: 1 } }, /option limits: expected one of .*, met "depths"/],
];
for (const [options, message] of BAD_OPTIONS) {
  test(`refuses ${JSON.stringify(options)} when it is constructed [OPT-3, OPT-4, OPT-5]`, () => {
    assert.throws(() => new Server(options), { code: "RC_ERR_OPTION", message });
  });
}

test("refuses to drop events where the option parser hides them [ROB-767, OPT-5]", () => {
  const parser = { Encoder: class {}, Decoder: class {} };
  assert.throws(() => new Server({ parser, limits: { overRate: "drop" } }), { code: "RC_ERR_OPTION", message: /limits\.overRate/ });
});

test("takes falsy options for defaults and ignores unknown ones [OPT-1, OPT-5, OPT-6, OPT-9]", () => {
  const options = { path: "", connectTimeout: 0, connectionStateRecovery: false, adapter: undefined, parser: null, whatever: 1 };
  const io = new Server(options);
  assert.deepEqual([io.path(), io.connectTimeout(), io._recovery], ["/socket.io", 45000, null]);
});

test("completes the options in place [SRV-7, OPT-6]", () => {
  const options = { connectionStateRecovery: true };
  const io = new Server(options);
  assert.equal(io.opts, options);
  assert.equal(io._opts, options);
  assert.deepEqual(options, {
    cleanupEmptyChildNamespaces: false,
    connectionStateRecovery: { maxDisconnectionDuration: 120000, skipMiddlewares: true },
  });
});

const REMOVED = [
  ["LEG-1", (io) => io.origins("*"), /origins\(\) was removed.*cors/],
  ["LEG-3", (io) => io.set("authorization", () => {}), /set\(\) was removed.*io\.use/],
  ["LEG-5", (io) => io.clients(() => {}), /clients\(\) was removed.*fetchSockets/],
  ["LEG-5", (io) => io.of("/").clients(() => {}), /fetchSockets/],
  ["LEG-5", (io) => io.in("r").clients(() => {}), /fetchSockets/],
  ["LEG-9", (io) => io.binary(true), /binary\(\) was removed/],
  ["LEG-9", (io) => io.json.emit("x"), /json\.emit\(\) was removed/],
];
for (const [rule, call, message] of REMOVED) {
  test(`names what to use in place of ${String(call).slice(8)} [${rule}]`, () => {
    assert.throws(() => call(new Server()), { code: "RC_ERR_REMOVED", message });
  });
}

test("hides the stand-ins for removed members [LEG-1, LEG-6]", async (t) => {
  const { io, join } = fakeServer(t);
  const { socket } = await join();
  for (const object of [io, io.of("/"), io.in("r"), socket]) {
    const names = [];
    for (const name in object) names.push(name);
    for (const name of ["origins", "set", "clients", "binary", "json"]) assert.equal(names.includes(name), false);
  }
  assert.equal(io.of("/").connected, undefined);
});

test("warns of removed options, once each [LEG-1, LEG-2, LEG-12]", async () => {
  const warnings = await warningsDuring("ROOMCAST_REMOVED_OPTION", () => {
    new Server({ origins: "*", cookieName: "io" });
  });
  assert.equal(warnings.length, 2);
  assert.match(warnings[0], /origins.*cors/);
  assert.match(warnings[1], /cookieName.*cookie/);
});

test("warns once of a callback given to join or leave, and never calls it [LEG-4]", async (t) => {
  const { join } = fakeServer(t);
  const { socket } = await join();
  const fail = () => assert.fail("called");
  const warnings = await warningsDuring("ROOMCAST_REMOVED_CALLBACK", () => {
    socket.join("a", fail);
    socket.leave("a", fail);
  });
  assert.equal(warnings.length, 1);
});

test("closes without ever having been attached [SRV-64]", async () => {
  const calls = [];
  await new Server().close((...args) => calls.push(args));
  assert.deepEqual(calls, [[]]);
});

const FORGED = [
  { type: 2, nsp: "/", data: ["disconnect", "forged"] },
  { type: 2, nsp: "/", data: [null] },
  { type: 2, nsp: "/", data: "text" },
  { type: 3, nsp: "/", id: 0, data: {} },
  { type: 2, nsp: 5, data: ["x"] },
  null,
];
for (const packet of FORGED) {
  test(`refuses ${JSON.stringify(packet)} from a custom parser that lets it pass [EVT-24, SIO-42]`, async (t) => {
    class Encoder {
      encode(given) {
        return [JSON.stringify(given)];
      }
    }
    class Decoder extends EventEmitter {
      add(chunk) {
        this.emit("decoded", JSON.parse(chunk));
      }
      destroy() {}
    }
    const { io, open } = fakeServer(t, { parser: { Encoder, Decoder } });
    const seen = [];
    io.on("connection", (socket) => {
      socket.onAny((event) => seen.push(event));
      socket.on("error", (error) => seen.push(error.message));
      socket.on("disconnect", (reason) => seen.push(reason));
    });
    const conn = open();
    conn.receive('{"type":0,"nsp":"/"}');
    await conn.taken();
    conn.receive(JSON.stringify(packet));
    await settled();
    assert.equal(seen.length, 2);
    assert.match(seen[0], /^invalid (payload|namespace)$/);
    assert.equal(seen[1], "forced close");
  });
}

test("carries connected sockets and their rooms over to an adapter set later [SRV-13]", async (t) => {
  const { io, join } = fakeServer(t);
  const { conn, socket } = await join();
  socket.join("r");
  const before = io.of("/").adapter;
  let isClosed = false;
  before.close = () => void (isClosed = true);
  assert.equal(io.adapter(io.adapter()), io);
  assert.notEqual(io.of("/").adapter, before);
  assert.equal(isClosed, true);
  io.to("r").emit("x");
  assert.deepEqual(await conn.taken(), ['2["x"]']);
  assert.deepEqual([...socket.rooms], [socket.id, "r"]);
});
