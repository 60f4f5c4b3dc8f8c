/** The published parsers, on either side and mixed with `roomcast/msgpack`. */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { once, record } from "../../support/client.js";
import { requireFromTarget } from "../../support/packages.js";
import { crowd, nextSocket, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { isReference, oursOnly } from "../../support/target.js";

const require = createRequire(import.meta.url);
const theirs = require("socket.io-msgpack-parser");
const theirJson = require("socket.io-json-parser");
const ours = isReference ? theirs : requireFromTarget("roomcast/msgpack");

const PAIRS = [
  ["roomcast/msgpack", ours, "roomcast/msgpack", ours],
  ["roomcast/msgpack", ours, "socket.io-msgpack-parser", theirs],
  ["socket.io-msgpack-parser", theirs, "roomcast/msgpack", ours],
  ["socket.io-msgpack-parser", theirs, "socket.io-msgpack-parser", theirs],
  ["socket.io-json-parser", theirJson, "socket.io-json-parser", theirJson],
];

const values = { text: "Ünïcödé €🦊", list: [0, -1, 1.5, 2 ** 40, true, null], nested: { a: { b: [] } } };

for (const [serverName, serverParser, clientName, clientParser] of PAIRS) {
  for (const transports of [["websocket"], ["polling"]]) {
    test(`exchanges everything between ${serverName} and a client with ${clientName}, over ${transports} [OPT-4, SIO-35, SIO-41]`, async (t) => {
      const { io, clients, sockets } = await crowd(t, 2, { parser: serverParser }, { client: { parser: clientParser, transports } });
      sockets[0].on("echo", (...args) => args.pop()(...args));
      assert.deepEqual(await clients[0].emitWithAck("echo", values), values);
      clients[1].on("question", (value, answer) => answer(value));
      assert.deepEqual(await sockets[1].timeout(2000).emitWithAck("question", values), values);
      const arrived = clients.map((client) => once(client, "all"));
      io.emit("all", values);
      assert.deepEqual(await Promise.all(arrived), [[values], [values]]);
      if (serverParser !== theirJson) {
        const back = await clients[0].emitWithAck("echo", { deep: [Buffer.from([1, 2, 255])] });
        assert.deepEqual(Buffer.from(back.deep[0]), Buffer.from([1, 2, 255]));
      }
      const left = once(sockets[0], "disconnect");
      clients[0].disconnect();
      assert.match((await left)[0], /^(client namespace disconnect|transport close)$/);
      const gone = once(clients[1], "disconnect");
      sockets[1].disconnect();
      assert.equal((await gone)[0], "io server disconnect");
    });
  }
}

for (const [name, parser] of [
  ["socket.io-msgpack-parser", theirs],
  ["socket.io-json-parser", theirJson],
  ["roomcast/msgpack", ours],
]) {
  for (const event of ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]) {
    test(`refuses a forged ${event} through ${name} [EVT-24]`, oursOnly("it raises it"), async (t) => {
      const { io, port } = await startServer(t, { parser });
      const encode = (packet) =>
        new parser.Encoder().encode(packet).map((chunk) => (typeof chunk === "string" ? `4${chunk}` : Buffer.from(chunk)));
      const peer = await wirePeer(t, port, { join: false });
      const joined = nextSocket(io);
      peer.send(...encode({ type: 0, nsp: "/" }));
      const socket = await joined;
      socket.onAny((met) => assert.fail(`${met} was raised`));
      const log = record(socket, "connect", "connect_error", "disconnecting", "disconnect");
      peer.send(...encode({ type: 2, nsp: "/", data: [event, "forged"] }));
      await log.until((all) => all.some(([met]) => met === "disconnect"));
      assert.deepEqual(
        log.events.map(([met, reason]) => [met, reason]),
        [
          ["disconnecting", "forced close"],
          ["disconnect", "forced close"],
        ],
      );
    });
  }
}
