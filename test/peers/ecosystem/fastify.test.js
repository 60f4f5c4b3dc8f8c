import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { connect, once } from "../../support/client.js";
import { assertRoomcast, Server } from "./support/roomcast.js";

const require = createRequire(import.meta.url);
const fastify = require("fastify");
const fastifySocketIo = require("fastify-socket.io").default;

/** A fastify application with the plugin, listening; its `close` is the test's own business when `keepOpen` says so. */
async function startApplication(t, options = {}) {
  assertRoomcast("fastify-socket.io");
  const app = fastify();
  app.register(fastifySocketIo, options);
  app.get("/hello", () => {
    app.io.emit("hello", { from: "a route" });
    return { clients: app.io.engine.clientsCount };
  });
  await app.listen({ port: 0, host: "127.0.0.1" });
  t.after(() => app.close());
  return { app, url: `http://127.0.0.1:${app.server.address().port}` };
}

for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
  test(`fastify-socket.io decorates the application with a server that its routes broadcast through, ${transports.join(" then ")} [MEM-1, EXP-4]`, async (t) => {
    const { app, url } = await startApplication(t);
    assert.ok(app.io instanceof Server);
    app.io.on("connection", (socket) => {
      socket.on("echo", (value, acknowledge) => acknowledge(value));
    });

    const socket = await connect(t, url, "/", { transports });
    assert.deepEqual(await socket.emitWithAck("echo", { list: [1, "two", null] }), { list: [1, "two", null] });
    const hello = once(socket, "hello");
    const response = await fetch(`${url}/hello`);
    assert.deepEqual(await response.json(), { clients: 1 });
    assert.deepEqual(await hello, [{ from: "a route" }]);
  });
}

test("fastify-socket.io passes its options to the server [MEM-1]", async (t) => {
  const { url } = await startApplication(t, { path: "/live/", cors: { origin: "https://good.example" } });
  const response = await fetch(`${url}/live/?EIO=4&transport=polling`, { headers: { origin: "https://good.example" } });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("access-control-allow-origin"), "https://good.example");
  await connect(t, url, "/", { path: "/live/" });
  const other = await fetch(`${url}/socket.io/?EIO=4&transport=polling`);
  assert.equal(other.status, 404);
});

for (const transports of [["polling"], ["websocket"]]) {
  test(`app.close() of fastify disconnects the clients of the plugin and ends, ${transports} [MEM-1]`, async (t) => {
    const { app, url } = await startApplication(t);
    const connected = once(app.io, "connection");
    const socket = await connect(t, url, "/", { transports });
    const [serverSocket] = await connected;
    const left = once(serverSocket, "disconnect");
    const disconnected = once(socket, "disconnect");
    await app.close();
    assert.equal((await left)[0], "server namespace disconnect");
    await disconnected;
    assert.equal(app.server.listening, false);
    assert.equal(app.io.engine.clientsCount, 0);
  });
}
