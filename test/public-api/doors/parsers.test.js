/** Parsers of the program's own: what they let through, and what must not reach a listener whatever they say. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { client as openClient, once, record } from "../../support/client.js";
import { requireFromTarget } from "../../support/packages.js";
import { crowd, nextSocket, pair, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { isReference, oursOnly } from "../../support/target.js";

const parserDoor = requireFromTarget(isReference ? "socket.io-parser" : "roomcast/parser");
const msgpack = isReference ? null : requireFromTarget("roomcast/msgpack");

/** The built-in parser with dates and sets that survive: a replacer on one side, a reviver on the other. */
const replacer = function (key, value) {
  if (this[key] instanceof Date) return { $date: this[key].getTime() };
  return value instanceof Set ? { $set: [...value] } : value;
};
const reviver = (_key, value) => {
  if (typeof value?.$date === "number") return new Date(value.$date);
  return Array.isArray(value?.$set) ? new Set(value.$set) : value;
};
const revivingParser = {
  Encoder: class extends parserDoor.Encoder {
    constructor() {
      super(replacer);
    }
  },
  Decoder: class extends parserDoor.Decoder {
    constructor() {
      super(reviver);
    }
  },
};

/** Plain JSON, one text per packet, no judgement at all. */
class JsonEncoder {
  encode(packet) {
    return [JSON.stringify(packet)];
  }
}
class JsonDecoder extends EventEmitter {
  add(chunk) {
    this.emit("decoded", JSON.parse(chunk));
  }

  destroy() {}
}
const jsonParser = { Encoder: JsonEncoder, Decoder: JsonDecoder };

/** The same, whose packets come some time after the message. */
const tardyParser = {
  Encoder: JsonEncoder,
  Decoder: class extends JsonDecoder {
    add(chunk) {
      setImmediate(() => super.add(chunk));
    }
  },
};

for (const transports of [["websocket"], ["polling"]]) {
  test(`carries dates and sets through a replacer and a reviver, over ${transports} [SIO-36, SIO-40, OPT-4]`, async (t) => {
    const { io, sockets, clients } = await crowd(t, 2, { parser: revivingParser }, { client: { parser: revivingParser, transports } });
    const [socket] = sockets;
    const [client] = clients;
    socket.on("echo", (given, answer) => {
      assert.ok(given.at instanceof Date);
      answer(given);
    });
    const value = { at: new Date(1e12), tags: new Set(["a", "b"]) };
    assert.deepEqual(await client.emitWithAck("echo", value), value);
    const back = await client.emitWithAck("echo", { at: new Date(5), bytes: Buffer.from([1, 2]) });
    assert.deepEqual({ ...back, bytes: Buffer.from(back.bytes) }, { at: new Date(5), bytes: Buffer.from([1, 2]) });
    const arrived = clients.map((one) => once(one, "all"));
    io.emit("all", new Date(5));
    assert.deepEqual(await Promise.all(arrived), [[new Date(5)], [new Date(5)]]);
  });
}

test("speaks the built-in parser given by hand as if none was given [OPT-4]", async (t) => {
  const { socket, client } = await pair(t, { parser: parserDoor });
  socket.on("echo", (value, answer) => answer(value));
  assert.deepEqual(await client.emitWithAck("echo", { a: [1] }), { a: [1] });
});

test("takes packets of a decoder that takes its time [OPT-4, SIO-41]", async (t) => {
  const { socket, client } = await pair(t, { parser: tardyParser }, { client: { parser: jsonParser } });
  socket.on("echo", (value, answer) => answer(value));
  assert.equal(await client.emitWithAck("echo", 1), 1);
});

if (msgpack !== null) {
  test("speaks roomcast/msgpack on both sides [OPT-4, SIO-35]", async (t) => {
    const { socket, client } = await pair(t, { parser: msgpack }, { client: { parser: msgpack } });
    socket.on("echo", (value, answer) => answer(value));
    const value = { text: "€", list: [1, -1, 1.5, null], bytes: Buffer.from([1, 2]) };
    const back = await client.emitWithAck("echo", value);
    assert.deepEqual({ ...back, bytes: Buffer.from(back.bytes) }, value);
  });
}

// -- forged packets ------------------------------------------------------------------------------

const RESERVED = ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];
const FORGED = [
  ...RESERVED.map((name) => ({ type: 2, nsp: "/", data: [name, "forged"] })),
  { type: 5, nsp: "/", data: ["disconnect", "forged"] },
  { type: 2, nsp: "/", id: 1, data: ["disconnecting", "forged"] },
  { type: 2, nsp: "/", data: [["disconnect"], "forged"] },
  { type: 2, nsp: "/", data: { 0: "disconnect", length: 1 } },
  { type: 2, nsp: "/", data: [] },
  { type: 2, nsp: "/" },
  { type: 3, nsp: "/", data: "forged" },
  { type: 4, nsp: "/", data: { message: "forged" } },
  { type: 0, nsp: "/" },
];

const PARSERS = { "a JSON parser": jsonParser, "a decoder that takes its time": tardyParser };
if (msgpack !== null) PARSERS["roomcast/msgpack"] = msgpack;

for (const [name, parser] of Object.entries(PARSERS)) {
  for (const packet of FORGED) {
    test(
      `ends the connection on ${JSON.stringify(packet)} through ${name}, and runs no listener [EVT-24]`,
      oursOnly("it runs them"),
      async (t) => {
        const { io, port } = await startServer(t, { parser });
        const encode = (given) =>
          new parser.Encoder().encode(given).map((message) => (typeof message === "string" ? `4${message}` : message));
        const peer = await wirePeer(t, port, { join: false });
        const joined = nextSocket(io);
        peer.send(...encode({ type: 0, nsp: "/" }));
        const socket = await joined;
        socket.onAny((event) => assert.fail(`${event} was raised`));
        const log = record(socket, "connect", "connect_error", "disconnecting", "disconnect");
        peer.send(...encode(packet));
        const reasons = await log.until((all) => all.some(([event]) => event === "disconnect"));
        assert.deepEqual(log.names, ["disconnecting", "disconnect"]);
        for (const [, reason] of reasons) assert.match(reason, /^forced (server )?close$/);
        await peer.closed();
      },
    );
  }
}

test("validates a packet after the reviver has changed it [EVT-24]", oursOnly("it judges what came"), async (t) => {
  const parser = {
    Encoder: parserDoor.Encoder,
    Decoder: class extends parserDoor.Decoder {
      constructor() {
        super((_key, value) => (value === "harmless" ? "disconnect" : value));
      }
    },
  };
  const { io, port } = await startServer(t, { parser });
  const joined = nextSocket(io);
  await wirePeer(t, port).then((peer) => peer.send('42["harmless","forged"]'));
  const [reason] = await once(await joined, "disconnect");
  assert.equal(reason, "forced close");
});

test("leaves a namespace by a packet of a custom parser, in order [SIO-41]", async (t) => {
  const { socket, client } = await pair(t, { parser: tardyParser }, { client: { parser: jsonParser } });
  const log = record(socket, "n", "disconnect");
  client.emit("n", 1).emit("n", 2).disconnect();
  await log.until(({ length }) => length === 3);
  assert.deepEqual(log.events.map(([event, value]) => [event, value]).slice(0, 2), [
    ["n", 1],
    ["n", 2],
  ]);
});

test("refuses a client of another parser, and goes on [OPT-4, DIS-29]", async (t) => {
  const server = await startServer(t, { parser: jsonParser });
  const stranger = openClient(t, server.url, "/", { transports: ["websocket"] });
  const [reason] = await once(stranger.io, "close");
  assert.match(reason, /transport (close|error)/);
  const own = openClient(t, server.url, "/", { parser: jsonParser, transports: ["websocket"] });
  await once(own, "connect");
});
