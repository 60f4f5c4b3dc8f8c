import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { client, connect, once, record } from "../../support/client.js";
import { assertRoomcast, Server } from "./support/roomcast.js";

const require = createRequire(import.meta.url);
const { feathers } = require("@feathersjs/feathers");
const socketio = require("@feathersjs/socketio");
const socketioClient = require("@feathersjs/socketio-client");

/** A service that keeps messages in memory. */
class MessageService {
  messages = [];

  async find({ query }) {
    return this.messages.filter(({ text }) => query.text === undefined || text === query.text);
  }

  async get(id) {
    const message = this.messages[id];
    if (!message) throw new Error(`no message ${id}`);
    return message;
  }

  async create(data, params) {
    const message = { id: this.messages.length, text: data.text, by: params.user ?? null, provider: params.provider };
    this.messages.push(message);
    return message;
  }
}

/** A Feathers application with the service `messages`; everyone who connects joins the channel `everybody`. */
async function startApplication(t, ...args) {
  assertRoomcast("@feathersjs/socketio");
  const app = feathers();
  app.configure(socketio(...args));
  app.use("messages", new MessageService());
  app.on("connection", (connection) => app.channel("everybody").join(connection));
  app.publish(() => app.channel("everybody"));
  const httpServer = await app.listen(0);
  t.after(() => app.io.close());
  assert.ok(app.io instanceof Server);
  return { app, url: `http://127.0.0.1:${httpServer.address().port}` };
}

for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
  test(`@feathersjs/socketio serves a service to its own client, with real-time events, ${transports.join(" then ")} [MEM-1]`, async (t) => {
    const { url } = await startApplication(t);
    const socket = await connect(t, url, "/", { transports });
    const watcher = await connect(t, url, "/", { transports });
    const app = feathers().configure(socketioClient(socket));
    const watching = feathers().configure(socketioClient(watcher));
    const created = once(watching.service("messages"), "created");

    const message = await app.service("messages").create({ text: "hello" });
    assert.deepEqual(message, { id: 0, text: "hello", by: null, provider: "socketio" });
    assert.deepEqual((await created)[0], message);
    assert.deepEqual(await app.service("messages").get(0), message);
    assert.deepEqual(await app.service("messages").find({ query: { text: "hello" } }), [message]);
    assert.deepEqual(await app.service("messages").find({ query: { text: "other" } }), []);
    await assert.rejects(app.service("messages").get(9), /no message 9/);
  });
}

test("plain events reach a service of @feathersjs/socketio, with an acknowledgement [MEM-1]", async (t) => {
  const { url } = await startApplication(t);
  const socket = await connect(t, url);
  const answer = new Promise((resolve) => socket.emit("create", "messages", { text: "raw" }, (...values) => resolve(values)));
  assert.deepEqual(await answer, [null, { id: 0, text: "raw", by: null, provider: "socketio" }]);
  const failure = new Promise((resolve) => socket.emit("get", "messages", 4, {}, (...values) => resolve(values)));
  const [[error]] = [await failure];
  assert.equal(error.message, "no message 4");
});

test("io.use in the callback of @feathersjs/socketio sets socket.feathers, which services receive, and can refuse [MEM-1]", async (t) => {
  const { url } = await startApplication(t, { path: "/live/" }, (io) => {
    io.use((socket, next) => {
      const { user } = socket.handshake.auth;
      if (!user) return next(new Error("log in first"));
      socket.feathers.user = user;
      next();
    });
  });
  const refused = client(t, url, "/", { path: "/live/" });
  const [error] = await once(refused, "connect_error");
  assert.equal(error.message, "log in first");

  const socket = await connect(t, url, "/", { path: "/live/", auth: { user: "ada" } });
  const app = feathers().configure(socketioClient(socket));
  assert.equal((await app.service("messages").create({ text: "mine" })).by, "ada");
});

test("a client of @feathersjs/socketio that left its channel gets no more events [MEM-1]", async (t) => {
  const { app, url } = await startApplication(t);
  const socket = await connect(t, url);
  const events = record(socket, "messages created", "bye");
  await app.service("messages").create({ text: "one" });
  await events.until((all) => all.length === 1);
  app.channel("everybody").leave(() => true);
  await app.service("messages").create({ text: "two" });
  app.io.emit("bye");
  await events.until((all) => all.some(([name]) => name === "bye"));
  assert.deepEqual(events.names, ["messages created", "bye"]);
});
