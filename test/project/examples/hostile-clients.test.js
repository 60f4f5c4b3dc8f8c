/** Every example whose server starts without a service, and clients that send it anything under every event name that it listens to. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { once as onceEvent } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { client, connect, once } from "../../support/client.js";
import { oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { startExample } from "./example-process.js";
import { root } from "./readme-program.js";
import { freePort } from "../../support/free-port.js";

const ours = oursOnly("the examples are about roomcast");

const nested = (depth) => (depth === 0 ? [] : [nested(depth - 1)]);
const values = [
  5,
  -1,
  null,
  true,
  "",
  "__proto__",
  "x".repeat(3000),
  { toString: 1 },
  { toString: 1, valueOf: 1, length: 1e9, trim: 1, slice: 1, call: 1 },
  [{ toString: 1 }],
  nested(500),
  Buffer.alloc(3),
];

/** As much of `prom-client` as the example of metrics touches: the quick families don't install it. */
const prometheus = `
  class Metric { reset() {} inc() {} set() {} observe() {} }
  exports.Counter = exports.Gauge = exports.Histogram = Metric;
  exports.collectDefaultMetrics = () => {};
  exports.register = { contentType: "text/plain", metrics: async () => "", registerMetric() {}, getSingleMetric() {}, removeSingleMetric() {} };`;

/**
 * For each example: the event `enter` makes a client a member of `room`, and is answered; `auth` gives the `auth` of a user; `files` have its listeners;
 * `env` gives its environment, for a folder of its own; `port` a free one, where the example does not take 0.
 */
const examples = {
  chat: { auth: async (url, name) => ({ nickname: name, key: name, room: "lobby" }), enter: "enter", room: "lobby", files: ["server.js"] },
  "authenticated-chat": { auth: signIn, enter: "enter", room: "lobby", files: ["app.js"] },
  testing: { auth: async (url, name) => ({ name }), enter: "enter", room: "tea", files: ["app.js"] },
  dashboard: { enter: "join", room: "tea", files: ["server.js"] },
  metrics: { enter: "join", room: "tea", files: ["server.js"], env: withPrometheus },
  cluster: { enter: "join", room: "tea", files: ["server.js"], env: () => ({ WORKERS: "1" }), port: freePort },
  "behind-nginx": { enter: "join", room: "tea", files: ["server.js"], env: (folder) => ({ RUN_DIRECTORY: folder }) },
};

for (const [name, example] of Object.entries(examples)) {
  test(`the example ${name} survives clients that send anything [ROB-994]`, ours, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "roomcast-hostile-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const { url } = await startExample(t, name, (await example.port?.()) ?? 0, example.env?.(folder));
    const events = eventsOf(name, example.files);
    assert.ok(events.includes(example.enter), events.join());
    const authOf = example.auth ?? (async () => ({}));
    const options = async (user) => ({ auth: await authOf(url, user), transports: ["websocket"] });

    await Promise.all(values.map((value) => shakeHands(t, url, value)));
    const ada = await connect(t, url, "/", await options("ada"));
    const enter = (socket) => socket.timeout(10_000).emitWithAck(example.enter, example.room);
    await enter(ada);
    await Promise.all(
      values.map(async (value, index) => {
        const eve = await connect(t, url, "/", await options(name === "authenticated-chat" ? "eve" : `eve${index}`));
        await enter(eve);
        for (const event of events) send(eve, event, example.room, value);
        await enter(eve); // all of it has been read
      }),
    );

    const bob = await connect(t, url, "/", await options("bob"));
    await enter(bob);
    await enter(ada); // the same connection as before
  });
}

test("a client of the examples cannot enter the room of another's id [ROB-994]", ours, async (t) => {
  for (const name of ["dashboard", "metrics", "cluster"]) {
    const { env, port } = examples[name];
    const folder = mkdtempSync(join(tmpdir(), "roomcast-hostile-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const { url } = await startExample(t, name, (await port?.()) ?? 0, env?.(folder));
    const [ada, eve] = [await connect(t, url), await connect(t, url)];
    const heard = [];
    ada.on("said", (text) => heard.push(text));
    await eve.emitWithAck("join", ada.id);
    eve.emit("say", ada.id, "into your room");
    const said = once(ada, "said");
    await ada.emitWithAck("join", "tea");
    await eve.emitWithAck("join", "tea");
    eve.emit("say", "tea", "hello");
    await said;
    assert.deepEqual(heard, ["hello"], name);
  }
});

/** The names of the events that an example listens to, except those of the library. */
function eventsOf(name, files) {
  const text = files.map((file) => readFileSync(join(root, "examples", name, file), "utf8")).join("\n");
  const names = [...text.matchAll(/\b(?:socket\.on\(|answer\(socket, )"([^"]+)"/g)].map(([, event]) => event);
  return names.filter((event) => !["disconnect", "disconnecting"].includes(event));
}

/** One event in every form: the value in each place, more and fewer values than expected, with and without an acknowledgement. */
function send(socket, event, room, value) {
  for (const args of [[value], [room, value], [value, room], [value, value, value, value]]) {
    socket.emit(event, ...args);
    socket.emit(event, ...args, () => {});
  }
  socket.emit(event);
}

/** A handshake whose `auth` has the value under every name that an example reads. It is refused, or not. */
async function shakeHands(t, url, value) {
  const auth = { name: value, nickname: value, key: value, room: value, token: value };
  const socket = client(t, url, "/", { auth, transports: ["websocket"] });
  await within(Promise.race([onceEvent(socket, "connect"), onceEvent(socket, "connect_error")]), "an answer to a handshake");
  socket.disconnect();
}

async function signIn(url, name) {
  const response = await fetch(`${url}/login`, { method: "POST", body: JSON.stringify({ name, password: "demo" }) });
  return { token: (await response.json()).token };
}

function withPrometheus(folder) {
  mkdirSync(join(folder, "prom-client"));
  writeFileSync(join(folder, "prom-client/index.js"), prometheus);
  return { NODE_PATH: folder };
}
