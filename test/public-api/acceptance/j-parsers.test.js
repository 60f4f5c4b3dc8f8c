/** Catalogue of usage examples, section J: parsers, and what is left of version 2. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import * as msgpack from "socket.io-msgpack-parser";
import { client as openClient, once, record } from "../../support/client.js";
import { catchWarnings, crowd, fence, joinServer, nextSocket, pair, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { isReference, oursOnly, Server } from "../../support/target.js";

const msgpackParser = { Encoder: msgpack.Encoder ?? msgpack.default.Encoder, Decoder: msgpack.Decoder ?? msgpack.default.Decoder };

/** The smallest parser there can be: JSON, without attachments. */
const jsonParser = {
  Encoder: class {
    encode(packet) {
      return [JSON.stringify(packet)];
    }
  },
  Decoder: class extends EventEmitter {
    add(chunk) {
      const packet = JSON.parse(chunk);
      if (typeof packet.type !== "number" || typeof packet.nsp !== "string") throw new Error("invalid packet");
      this.emit("decoded", packet);
    }

    destroy() {}
  },
};

/** The engine packets that a client receives, from now on. */
function received(client) {
  return record(client.io.engine, "packet");
}

test("EX-190 speaks msgpack on both sides [OPT-4, SIO-35, SIO-41]", async (t) => {
  const server = await crowd(t, 2, { parser: msgpackParser }, { client: { parser: msgpackParser } });
  const { io, clients, sockets } = server;
  const bytes = Buffer.from([1, 2, 3]);

  const packets = received(clients[0]);
  const arrived = once(clients[0], "e");
  sockets[0].emit("e", "text", bytes);
  const [text, met] = await arrived;
  assert.deepEqual([text, Buffer.from(met)], ["text", bytes]);
  const messages = packets.events.filter(([, { type }]) => type === "message");
  assert.equal(messages.length, 1, "a binary event is one message");

  sockets[0].on("ask", (value, callback) => callback(value, "more"));
  assert.deepEqual(Buffer.from(await clients[0].timeout(2000).emitWithAck("ask", bytes)), bytes);
  clients[1].on("q", (callback) => callback("answer"));
  assert.equal(await sockets[1].timeout(2000).emitWithAck("q"), "answer");

  const logs = clients.map((client) => record(client, "all"));
  io.emit("all", 1);
  await Promise.all(sockets.map((socket, i) => fence(socket, clients[i])));
  assert.deepEqual(
    logs.map(({ events }) => events),
    [[["all", 1]], [["all", 1]]],
  );
});

test("EX-190 refuses a client in msgpack [OPT-4, MID-3]", async (t) => {
  const { io, url } = await startServer(t, { parser: msgpackParser });
  io.use((socket, next) => next(Object.assign(new Error("no"), { data: { why: 1 } })));
  const client = openClient(t, url, "/", { parser: msgpackParser, transports: ["websocket"] });
  const [error] = await once(client, "connect_error");
  assert.deepEqual([error.message, error.data], ["no", { why: 1 }]);
});

test("EX-191 speaks a parser of the user's own [OPT-4, SIO-36, SIO-40]", async (t) => {
  const { io, socket, client } = await pair(t, { parser: jsonParser }, { client: { parser: jsonParser } });
  const arrived = [once(client, "e"), once(client, "all")];
  socket.emit("e", 1);
  io.emit("all", 2);
  assert.deepEqual(await Promise.all(arrived), [[1], [2]]);
  socket.on("ask", (callback) => callback("answer"));
  assert.equal(await client.timeout(2000).emitWithAck("ask"), "answer");
  client.on("q", (callback) => callback("answer"));
  assert.equal(await socket.timeout(2000).emitWithAck("q"), "answer");
});

test("EX-192 closes a connection when the decoder throws, and keeps running [DIS-29, SIO-42]", async (t) => {
  const server = await startServer(t, { parser: jsonParser });
  const admitted = nextSocket(server.io);
  const peer = await wirePeer(t, server.port, { join: false });
  peer.send('4{"type":0,"nsp":"/"}');
  const log = record(await admitted, "error", "disconnect");
  peer.send("4not json");
  await log.until((events) => events.length === 2);
  assert.deepEqual(log.names, ["error", "disconnect"]);
  assert.ok(log.events[0][1] instanceof Error);
  assert.equal(log.events[1][1], "forced close");
  await joinServer(t, server, "/", { parser: jsonParser });
});

test("EX-193 runs no listener for a forged disconnect through another parser [EVT-24]", oursOnly("it runs them"), async (t) => {
  const { socket, client } = await pair(t, { parser: msgpackParser }, { client: { parser: msgpackParser } });
  const log = record(socket, "disconnect", "disconnecting");
  // the official client refuses the name, its encoder does not
  for (const chunk of new msgpackParser.Encoder().encode({ type: 2, nsp: "/", data: ["disconnect", "forged"] })) {
    client.io.engine.write(chunk);
  }
  await log.until((events) => events.length === 2);
  assert.deepEqual(
    log.events.map(([name, reason]) => [name, reason]),
    [
      ["disconnecting", "forced close"],
      ["disconnect", "forced close"],
    ],
  );
});

test("EX-199 names the replacement of a method that is gone [LEG-1, LEG-3, LEG-5]", async (t) => {
  const { io } = await startServer(t);
  const removed = [
    [() => io.origins("*"), /cors/],
    [() => io.set("x"), /constructor|options|io\.use/],
    [() => io.sockets.clients(), /fetchSockets/],
  ];
  for (const [call, replacement] of removed) {
    assert.throws(call, (error) => {
      if (isReference) return error instanceof TypeError;
      assert.match(error.message, replacement);
      return true;
    });
  }
});

test("EX-199 warns once of an option that is gone [LEG-1]", oursOnly("it ignores the option in silence"), async (t) => {
  const log = catchWarnings(t);
  const io = new Server({ origins: "*" });
  const warning = await log.next(({ code }) => code === "ROOMCAST_REMOVED_OPTION");
  assert.match(warning.message, /origins.*cors/s);
  await io.close();
  assert.equal(log.warnings.filter(({ code }) => code === "ROOMCAST_REMOVED_OPTION").length, 1);
});
