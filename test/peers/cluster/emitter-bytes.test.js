// The emitters of roomcast beside the official ones: the same bytes on the same channels.
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { createRequire } from "node:module";
import { test } from "node:test";

const require = createRequire(import.meta.url);
const { RedisEmitter, PostgresEmitter } = require("../../../dist/public/emitter.js");
const { decodePlainMsgpack } = require("../../../dist/protocol/plain-msgpack.js");

/** Every order, with what an emitter has to distinguish. */
function giveOrders(emitter) {
  emitter.emit("all", 1, { deep: ["é", null, undefined], missing: undefined });
  emitter.to("r").except(["q", "s"]).volatile.compress(false).emit("x");
  emitter
    .to(["a", "b"])
    .in("a")
    .emit("bytes", Buffer.from([1, 2, 250]));
  emitter.to("x".repeat(20)).emit("date", new Date(0));
  emitter.emit("large", "x".repeat(9000));
  emitter.except("q").emit("x");
  emitter.serverSideEmit("hello", 1, { a: [] });
  emitter.in("q").socketsLeave(["a", "b"]);
  emitter.in("q").except("z").disconnectSockets();
  emitter.disconnectSockets(true);
  emitter.of("chat").emit("x");
  emitter.of("/chat").to("r").emit("x");
  emitter.in(["q"]).socketsJoin("r");
  emitter.socketsJoin(["r", "s"]);
}

for (const options of [{}, { key: "io" }, { parser: { encode: (value) => Buffer.from(JSON.stringify(value)) } }]) {
  test(`RedisEmitter sends the bytes of @socket.io/redis-emitter, with ${Object.keys(options)[0] ?? "no options"} [RED-22, ROB-915]`, () => {
    const [official, ours] = [require("@socket.io/redis-emitter").Emitter, RedisEmitter].map((Emitter) => {
      const sent = [];
      const client = Object.assign(new EventEmitter(), {
        isOpen: true,
        duplicate() {},
        pSubscribe() {},
        publish: async (channel, payload) => void sent.push([channel, Buffer.from(payload).toString("latin1")]),
      });
      giveOrders(new Emitter(client, options, "/"));
      return sent;
    });
    assert.equal(official.length, 14);
    assert.deepEqual(ours, official);
  });
}

test("PostgresEmitter sends the messages of @socket.io/postgres-emitter, and names the namespace in them [PG-14, ROB-915]", async () => {
  const [official, ours] = await Promise.all([require("@socket.io/postgres-emitter").Emitter, PostgresEmitter].map(messagesOf));
  assert.equal(official.length, 14);
  for (const { message } of ours) {
    assert.equal(message.uid, "emitter");
    assert.match(message.nsp, /^\/(chat)?$/);
    delete message.nsp;
    if (message.type !== 3 && message.data.opts) delete message.data.opts.flags; // that of orders means nothing
  }
  assert.deepEqual(ours, official);
});

/** What an emitter for PostgreSQL sends, in order: `{ channel, message }`; what is attached stands in the message. */
async function messagesOf(Emitter) {
  const sent = [];
  const attached = [];
  const query = async (statement, list) => {
    const { text, values } = typeof statement === "string" ? { text: statement, values: list } : statement;
    if (text.startsWith("INSERT")) return { rows: [{ id: attached.push(values[0]) }] };
    if (text.startsWith("WITH")) sent.push([values[0], `${values[1]}${attached.push(values[2])}"}`]);
    else if (Array.isArray(values[0])) values[0].forEach((channel, index) => sent.push([channel, values[1][index]]));
    else sent.push(values);
    return { rows: [] };
  };
  const client = Object.assign(new EventEmitter(), { query, release() {} });
  giveOrders(new Emitter(Object.assign(new EventEmitter(), { totalCount: 0, query, connect: async () => client })));
  while (sent.length < 14) await new Promise((resolve) => setImmediate(resolve));
  const messages = sent.map(([channel, text]) => {
    const { attachmentId, ...header } = JSON.parse(text);
    const message = attachmentId === undefined ? header : decodePlainMsgpack(Buffer.from(attached[attachmentId - 1]));
    return { channel, message };
  });
  return messages.sort((a, b) => orderOf(a) - orderOf(b)); // the official one sends attachments later
}

const orders = ["all", "x", "bytes", "date", "large", "hello"];
function orderOf({ channel, message: { type, data } }) {
  const name = type === 3 ? data.packet.data[0] : "";
  return type * 1000 + orders.indexOf(name) * 100 + channel.length * 10 + JSON.stringify(data).length / 100_000;
}
