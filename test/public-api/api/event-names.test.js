/** Event names and values that clients cannot take as they are meant: refused where they are emitted, or told of. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { once } from "../../support/client.js";
import { linkedServers } from "../../support/bus-adapter.js";
import { requireFromTarget } from "../../support/packages.js";
import { catchWarnings, fence, joinServer, pair } from "../../support/pairs.js";
import { isReference, oursOnly } from "../../support/target.js";

const msgpack = isReference ? null : requireFromTarget("roomcast/msgpack");
const OURS = oursOnly("it sends them, and the client closes the connection");
const BAD_NAMES = [[], [undefined], [null], [{ a: 1 }], [["a"]], [Symbol("a")], [true], [NaN], [Infinity], [1n], [() => {}]];
const BAD_NAME = { code: "RC_ERR_EVENT_NAME", message: /^event name: expected a string or a finite number, met \w+$/ };

for (const [parser, options] of Object.entries({ "the built-in parser": {}, "the MessagePack parser": { parser: msgpack } })) {
  test(`refuses names that are none wherever a program emits, with ${parser} [ROB-390]`, OURS, async (t) => {
    const { io, socket, client } = await pair(t, options, { client: options });
    const parent = io.of(/^\/on-demand-/);
    const targets = { socket, io, namespace: io.of("/"), parent, room: io.to("r"), broadcast: socket.broadcast, volatile: io.volatile };
    for (const [name, target] of Object.entries(targets)) {
      for (const bad of BAD_NAMES) {
        assert.throws(() => target.emit(...bad), BAD_NAME, name);
        if (bad.length > 0) assert.throws(() => target.emit(...bad, 1, () => {}), BAD_NAME, name);
        if (target !== parent) await assert.rejects(async () => target.emitWithAck(...bad), BAD_NAME, name);
      }
    }
    await fence(socket, client);
  });
}

test("takes numbers and the empty text for names [ROB-390]", async (t) => {
  const { io, socket, client } = await pair(t);
  const received = [];
  client.onAny((...event) => received.push(event));
  socket.emit(5, "a");
  io.emit("", "b");
  await fence(socket, client);
  assert.deepEqual(received.slice(0, 2), [
    [5, "a"],
    ["", "b"],
  ]);
});

test("refuses such names for sockets of other servers and for the servers themselves [ROB-390]", OURS, async (t) => {
  const [here, there] = await linkedServers(t, 2);
  const { client, socket } = await joinServer(t, there);
  const [remote] = await here.io.fetchSockets();
  assert.equal(remote.id, socket.id);
  for (const bad of BAD_NAMES) {
    assert.throws(() => remote.emit(...bad), BAD_NAME);
    assert.throws(() => here.io.serverSideEmit(...bad), BAD_NAME);
    await assert.rejects(here.io.serverSideEmitWithAck(...bad), BAD_NAME);
  }
  const heard = once(there.io, 5);
  here.io.serverSideEmit(5, "a");
  assert.deepEqual(await heard, ["a"]);
  remote.emit("fence");
  await once(client, "fence");
});

test("sends ten binary values without a warning, and more with one warning [ROB-391]", OURS, async (t) => {
  const { warnings, next } = catchWarnings(t);
  const { socket, client } = await pair(t);
  const values = (count) => Array.from({ length: count }, () => Buffer.from("x"));
  const received = once(client, "ten");
  socket.emit("ten", values(10));
  assert.equal((await received)[0].length, 10);
  assert.deepEqual(warnings, []);
  const closed = once(socket, "disconnect");
  socket.emit("eleven", values(11));
  socket.emit("twelve", values(12));
  const { message } = await next(({ code }) => code === "ROOMCAST_ATTACHMENTS");
  assert.match(message, /^event "eleven" has 11 binary values: official clients from 4\.8\.4 on accept 10/);
  await closed;
  assert.equal(warnings.length, 1);
});

for (const [parser, options] of Object.entries({ "the built-in parser": {}, "the MessagePack parser": { parser: msgpack } })) {
  test(`warns once that a Map or Set is sent as {}, with ${parser} [ROB-421]`, OURS, async (t) => {
    const { warnings, next } = catchWarnings(t);
    const { socket, client } = await pair(t, options, { client: options });
    const received = once(client, "list");
    socket.emit("quiet", { map: Object.assign(new Map(), { toJSON: () => 1 }), date: new Date(0) });
    socket.emit("list", Buffer.from("x"), { items: new Set([1]) });
    socket.emit("again", new Map());
    assert.deepEqual((await received)[1], { items: {} });
    const { message } = await next(({ code }) => code === "ROOMCAST_COLLECTION");
    assert.equal(message, 'a Set in event "list" is sent as {}: send [...set] in its place');
    await fence(socket, client);
    assert.equal(warnings.length, 1);
  });
}

test("says nothing of a Map in production [ROB-421]", OURS, async (t) => {
  const { NODE_ENV } = process.env;
  process.env.NODE_ENV = "production";
  t.after(() => (NODE_ENV === undefined ? delete process.env.NODE_ENV : (process.env.NODE_ENV = NODE_ENV)));
  const { warnings } = catchWarnings(t);
  const { socket, client } = await pair(t);
  socket.emit("e", new Map());
  await fence(socket, client);
  assert.deepEqual(warnings, []);
});
