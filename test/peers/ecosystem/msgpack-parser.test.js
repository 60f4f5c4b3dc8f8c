import assert from "node:assert/strict";
import { test } from "node:test";
import parser from "socket.io-msgpack-parser";
import { client, connect, once, record } from "../../support/client.js";
import { assertRoomcast, startServer } from "./support/roomcast.js";

const payload = { text: "héllo", bytes: Buffer.from([0, 1, 255]), nested: [{ deep: [1.5, -2, null, true] }], big: 2 ** 40 };

for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
  test(`socket.io-msgpack-parser on both sides: events, acks, binary, broadcasts, ${transports.join(" then ")} [MEM-1, EX-190]`, async (t) => {
    assertRoomcast();
    const { io, url } = await startServer(t, { parser });
    io.of("/chat").on("connection", (socket) => {
      socket.join("room");
      socket.on("echo", (value, acknowledge) => acknowledge(value));
    });
    const options = { parser, transports };
    const [first, second] = [await connect(t, url, "/chat", options), await connect(t, url, "/chat", options)];
    assert.deepEqual(await first.emitWithAck("echo", payload), payload);

    const received = [once(first, "news"), once(second, "news")];
    io.of("/chat").to("room").emit("news", payload);
    assert.deepEqual(await Promise.all(received), [[payload], [payload]]);

    first.on("ask", (acknowledge) => acknowledge(Buffer.from([1])));
    second.on("ask", (acknowledge) => acknowledge(Buffer.from([2])));
    const answers = await io.of("/chat").timeout(5000).emitWithAck("ask");
    assert.deepEqual(answers.map(([byte]) => byte).sort(), [1, 2]);
  });
}

test("a connection refused by a middleware reaches a client of socket.io-msgpack-parser with its data [MEM-1, EX-190]", async (t) => {
  assertRoomcast();
  const { io, url } = await startServer(t, { parser });
  io.use((socket, next) => next(Object.assign(new Error("not you"), { data: { code: 7 } })));
  const socket = client(t, url, "/", { parser });
  const [error] = await once(socket, "connect_error");
  assert.equal(error.message, "not you");
  assert.deepEqual(error.data, { code: 7 });
});

test("a binary event of socket.io-msgpack-parser is one frame [EX-190]", async (t) => {
  assertRoomcast();
  const { io, url } = await startServer(t, { parser });
  const socket = await connect(t, url, "/", { parser, transports: ["websocket"] });
  const frames = record(socket.io.engine, "packet");
  const arrived = once(socket, "bytes");
  io.emit("bytes", Buffer.from([1]), Buffer.from([2]), { more: Buffer.from([3]) });
  await arrived;
  assert.deepEqual(
    frames.events.map(([, { type }]) => type),
    ["message"],
  );
});

test("an event named `disconnect` through socket.io-msgpack-parser runs no listener and ends the connection [EX-193, EVT-24]", async (t) => {
  assertRoomcast();
  const { io, url } = await startServer(t, { parser });
  const reasons = [];
  const connected = once(io, "connection");
  const socket = await connect(t, url, "/", { parser, transports: ["websocket"] });
  const [serverSocket] = await connected;
  serverSocket.on("disconnect", (reason) => reasons.push(reason));
  const closed = once(socket, "disconnect");
  socket.io.engine.write(new parser.Encoder().encode({ type: 2, nsp: "/", data: ["disconnect", "forged"] })[0]);
  await closed;
  assert.equal(reasons.includes("forged"), false);
  assert.equal(reasons.length, 1);
  await connect(t, url, "/", { parser });
});
