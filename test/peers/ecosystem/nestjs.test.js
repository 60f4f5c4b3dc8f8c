import "reflect-metadata";
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { NestFactory } from "@nestjs/core";
import { IoAdapter } from "@nestjs/platform-socket.io";
import { build } from "esbuild";
import { connect, once, record, waitFor } from "../../support/client.js";
import { assertRoomcast, familyRoot, Server, socketio } from "./support/roomcast.js";

const { ChatModule, ChatGateway, NewsGateway, hooks } = await compile("chat.gateway");

/** Compiles fixtures/<name>.ts, decorators included, next to the packages it imports, and loads it. */
async function compile(name) {
  const outfile = join(familyRoot, "artifacts", `${name}.mjs`);
  await mkdir(join(familyRoot, "artifacts"), { recursive: true });
  await build({
    entryPoints: [join(familyRoot, "fixtures", `${name}.ts`)],
    outfile,
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    target: "es2022",
    tsconfigRaw: { compilerOptions: { experimentalDecorators: true, useDefineForClassFields: false } },
  });
  return import(pathToFileURL(outfile).href);
}

/** Starts the chat with Nest's own adapter, or the one given. */
async function startChat(t, adapter = undefined) {
  assertRoomcast("@nestjs/platform-socket.io");
  const app = await NestFactory.create(ChatModule, { logger: false });
  if (adapter) app.useWebSocketAdapter(adapter(app));
  await app.listen(0, "127.0.0.1");
  t.after(() => app.close());
  const gateway = app.get(ChatGateway);
  assert.ok(gateway.server instanceof Server);
  return { app, gateway, url: `http://127.0.0.1:${app.getHttpServer().address().port}` };
}

for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
  test(`a NestJS gateway answers with what its methods return, ${transports.join(" then ")} [MEM-1, EX-198]`, async (t) => {
    const { url } = await startChat(t);
    const socket = await connect(t, url, "/", { transports });
    assert.deepEqual(await socket.emitWithAck("identity", { list: [1, "two"], bytes: Buffer.from([3]) }), {
      list: [1, "two"],
      bytes: Buffer.from([3]),
    });
    assert.deepEqual(await socket.emitWithAck("later", { delay: 5 }), { delay: 5 });
    const byHand = new Promise((resolve) => socket.emit("acknowledge", 1, (...values) => resolve(values)));
    assert.deepEqual(await byHand, ["by hand", 1]);

    const counted = record(socket, "counted");
    socket.emit("count", 3);
    await counted.until((events) => events.length === 3);
    assert.deepEqual(
      counted.events.map(([, value]) => value),
      [1, 2, 3],
    );
  });
}

test("a NestJS gateway joins rooms and speaks to them, through a pipe [MEM-1, EX-198]", async (t) => {
  const { url } = await startChat(t);
  const [first, second, third] = [await connect(t, url), await connect(t, url), await connect(t, url)];
  assert.deepEqual(await first.emitWithAck("join", "blue"), ["blue"]);
  await second.emitWithAck("join", "blue");
  const elsewhere = record(third, "said", "announcement");
  const echo = record(first, "said");
  const said = once(second, "said");
  assert.equal(await first.emitWithAck("say", { room: "blue", text: "  hello " }), 2);
  assert.deepEqual(await said, [{ from: first.id, text: "hello" }]);

  const refused = once(first, "exception");
  first.emit("say", { room: "blue", text: 5 });
  assert.equal((await refused)[0].message, "text expected");
  await third.emitWithAck("identity", "everything before this has arrived");
  assert.deepEqual([elsewhere.events, echo.events], [[], []]);
});

test("a guard of a NestJS gateway refuses and accepts messages [MEM-1, EX-198]", async (t) => {
  const { url } = await startChat(t);
  const guest = await connect(t, url);
  const admin = await connect(t, url, "/", { auth: { role: "admin" } });
  const refusal = once(guest, "exception");
  const announcements = [record(guest, "announcement"), record(admin, "announcement")];
  guest.emit("announce", "from the guest");
  const [exception] = await refusal;
  assert.equal(exception.status, "error");
  assert.equal(exception.message, "Forbidden resource");
  assert.equal(await admin.emitWithAck("announce", "from the admin"), true);
  for (const seen of announcements) {
    await seen.until((events) => events.length > 0);
    assert.deepEqual(seen.events, [["announcement", "from the admin"]]);
  }
});

test("exceptions of a NestJS gateway reach the client as `exception`, by its filters [MEM-1, EX-198]", async (t) => {
  const { url } = await startChat(t);
  const socket = await connect(t, url);
  assert.deepEqual(await socket.emitWithAck("square", "12"), { answer: 144 });
  const cases = [
    { event: "square", sent: "twelve", status: "bad request", message: /numeric string/ },
    { event: "fail", sent: null, status: "error", message: /^Invalid credentials\.$/ },
    { event: "crash", sent: null, status: "error", message: /^Internal server error$/ },
  ];
  for (const { event, sent, status, message } of cases) {
    const exception = once(socket, "exception");
    socket.emit(event, sent);
    const [received] = await exception;
    assert.equal(received.status, status);
    assert.match(received.message, message);
  }
  assert.equal(socket.connected, true);
});

test("NestJS gateways serve namespaces, also those created from a RegExp [MEM-1, EX-198]", async (t) => {
  const { app, url } = await startChat(t);
  for (const namespace of ["/news", "/tenant-1", "/tenant-2"]) {
    const socket = await connect(t, url, namespace);
    assert.equal(await socket.emitWithAck("whereami"), namespace);
  }
  assert.ok(app.get(NewsGateway).namespace instanceof socketio.Namespace);
});

test("NestJS calls its hooks, and closes the server with the application [MEM-1, EX-198]", async (t) => {
  hooks.length = 0;
  const { app, url } = await startChat(t);
  assert.deepEqual(hooks, [["init", "Server"]]);
  const socket = await connect(t, url, "/", { transports: ["websocket"] });
  const { id } = socket;
  const leaver = await connect(t, url);
  const leaverId = leaver.id;
  const gone = waitFor(app.get(ChatGateway).server.sockets.sockets.get(leaverId), "disconnect", () => true);
  leaver.disconnect();
  await gone;
  assert.deepEqual(hooks.slice(1), [
    ["connection", id],
    ["connection", leaverId],
    ["disconnect", leaverId],
  ]);
  const disconnected = once(socket, "disconnect");
  await app.close();
  await disconnected;
  assert.equal(app.getHttpServer().listening, false);
});

test("an adapter of the user's own, made from NestJS's, sets options and the adapter factory [MEM-1, EX-198]", async (t) => {
  const made = [];
  const { Adapter } = await import("socket.io/adapter");
  class OwnAdapter extends IoAdapter {
    createIOServer(port, options) {
      const server = super.createIOServer(port, { ...options, path: "/live", maxHttpBufferSize: 5000 });
      server.adapter((namespace) => {
        made.push(namespace.name);
        return new Adapter(namespace);
      });
      return server;
    }
  }
  const { url } = await startChat(t, (app) => new OwnAdapter(app));
  const socket = await connect(t, url, "/", { path: "/live" });
  assert.equal(await socket.emitWithAck("identity", "ok"), "ok");
  assert.ok(made.includes("/") && made.includes("/news"));
  const disconnected = once(socket, "disconnect");
  socket.emit("identity", "x".repeat(6000));
  await disconnected;
});
