/** `roomcast/metrics` with prom-client: what a scrape gives, the example, and its dashboard. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { hasSubscribers } from "node:diagnostics_channel";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import * as client from "prom-client";
import { linkedNodes } from "../../support/bus-link.js";
import { connect, once } from "../../support/client.js";
import { eventually, joinServer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { within } from "../../support/wait.js";

const root = new URL("../../../", import.meta.url);
const { prometheusMetrics } = createRequire(new URL("package.json", root))("roomcast/metrics");

/** The samples of an exposition: `[name, labels, value]`. */
function samplesOf(text) {
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const [, name, labels = "", value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
      return [name, Object.fromEntries([...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, one]) => [key, one])), Number(value)];
    });
}

function valueIn(samples, name, labels = {}) {
  return samples.find(([one, its]) => one === name && Object.entries(labels).every(([key, value]) => its[key] === value))?.[2];
}

async function observed(t, io, options = {}) {
  const registry = new client.Registry();
  const stop = prometheusMetrics(io, { client, registry, ...options });
  t.after(stop);
  return { registry, stop, scrape: async () => samplesOf(await registry.metrics()) };
}

test("counts connections, events, acknowledgements and broadcasts as they happen [ROB-940]", async (t) => {
  const { io, port } = await startServer(t);
  const { scrape } = await observed(t, io, { events: ["ask"] });
  const other = await startServer(t); // its clients are not counted
  await connect(t, other.port);
  io.on("connection", (socket) => {
    socket.join("room");
    socket.on("ask", (answer) => answer(1));
    socket.on("chosen by the client", () => {});
  });
  io.of(/^\/dynamic-\d+$/).use((_socket, next) => next());
  const one = await connect(t, port, "/", { transports: ["websocket"] });
  const two = await connect(t, port);
  await connect(t, port, "/dynamic-7", { transports: ["websocket"] });
  assert.equal(await one.emitWithAck("ask"), 1);
  one.emit("chosen by the client");
  two.on("question", (answer) => answer("yes"));
  one.on("question", (answer) => answer("yes"));
  await io.timeout(5000).emitWithAck("question");
  io.to("room").emit("news");
  await eventually(() => io.stats().transports.polling === 0, "the upgrade");
  const samples = await scrape();
  const expected = [
    ["roomcast_sessions", { transport: "websocket" }, 3],
    ["roomcast_sockets", { namespace: "/" }, 2],
    ["roomcast_sockets", { namespace: "(dynamic)" }, 1],
    ["roomcast_rooms", { namespace: "/" }, 3],
    ["roomcast_sessions_opened_total", { transport: "websocket" }, 2],
    ["roomcast_sessions_opened_total", { transport: "polling" }, 1],
    ["roomcast_upgrades_total", { transport: "websocket" }, 1],
    ["roomcast_sockets_connected_total", { namespace: "(dynamic)" }, 1],
    ["roomcast_handshake_duration_seconds_count", { outcome: "opened" }, 3],
    ["roomcast_middleware_duration_seconds_count", { namespace: "(dynamic)" }, 1],
    ["roomcast_event_duration_seconds_count", { event: "ask" }, 1],
    ["roomcast_event_duration_seconds_count", { event: "(other)" }, 1],
    ["roomcast_ack_duration_seconds_count", { outcome: "answered" }, 1],
    ["roomcast_broadcasts_total", { namespace: "/" }, 2],
    ["roomcast_broadcast_receivers_total", { namespace: "/" }, 4],
    ["roomcast_broadcast_duration_seconds_count", { namespace: "/" }, 2],
    ["roomcast_ready", {}, 1],
    ["roomcast_draining", {}, 0],
    ["roomcast_refusals_total", { code: "1" }, 0],
    ["roomcast_table_entries", { table: "joins" }, 0],
  ];
  assert.deepEqual(
    expected.map(([name, labels]) => [name, labels, valueIn(samples, name, labels)]),
    expected,
  );
  assert.equal(valueIn(samples, "roomcast_adapter_up"), undefined);
  assert.ok(!JSON.stringify(samples).includes("chosen by the client"));
});

test("counts how connections end, also while the server closes, and how long they were open [ROB-940]", async (t) => {
  const { io, port } = await startServer(t);
  const { scrape } = await observed(t, io);
  const one = await connect(t, port);
  one.io.engine.close();
  await eventually(() => io.stats().sessions === 0, "the client to leave");
  await connect(t, port, "/", { transports: ["websocket"] });
  const before = await scrape();
  assert.equal(valueIn(before, "roomcast_sessions_closed_total", { reason: "transport close" }), 1);
  assert.equal(valueIn(before, "roomcast_sockets_disconnected_total", { reason: "transport close" }), 1);
  await io.close();
  const after = await scrape();
  const durations = after.filter(([name]) => name === "roomcast_session_duration_seconds_count").map(([, , count]) => count);
  assert.equal(
    durations.reduce((sum, count) => sum + count, 0),
    2,
  );
  assert.equal(valueIn(after, "roomcast_ready"), 0);
});

test("tells of the link to the other servers [ROB-940]", async (t) => {
  const { bus, nodes } = await linkedNodes(t, 2);
  const [{ io }] = nodes;
  const { scrape } = await observed(t, io);
  const { client: far } = await joinServer(t, nodes[1]);
  const received = once(far, "news");
  io.emit("news");
  await received;
  const samples = await scrape();
  assert.equal(valueIn(samples, "roomcast_adapter_up"), 1);
  assert.ok(valueIn(samples, "roomcast_adapter_messages_total", { outcome: "published" }) >= 1);
  assert.equal(valueIn(samples, "roomcast_table_entries", { table: "cluster_nodes" }), 1);
  bus.set("cut");
  assert.equal(valueIn(await scrape(), "roomcast_adapter_up"), 0);
  bus.set("up");
});

test("keeps labels small: at most 20 namespaces, and no name that a client has chosen [ROB-940]", async (t) => {
  const { io } = await startServer(t);
  const { scrape } = await observed(t, io);
  for (let i = 0; i < 30; i++) io.of(`/n${i}`);
  const samples = await scrape();
  const namespaces = new Set(samples.filter(([name]) => name === "roomcast_sockets").map(([, { namespace }]) => namespace));
  assert.equal(namespaces.size, 21);
  assert.ok(namespaces.has("(other)"));
});

test("leaves nothing behind when it is stopped, and refuses what makes no sense [ROB-940]", async (t) => {
  const { io } = await startServer(t);
  const { registry, stop } = await observed(t, io, { prefix: "chat_" });
  assert.match(await registry.metrics(), /^chat_sessions\{/m);
  stop();
  assert.equal((await registry.metrics()).trim(), "");
  prometheusMetrics(io, { client, registry, prefix: "chat_" })();
  const cases = [
    [undefined, "prometheusMetrics: expected an object with the option client, met undefined"],
    [{ client: {} }, "prometheusMetrics, client: expected the module prom-client, met {}"],
    [{ client, registry, prefix: "a-b" }, "prometheusMetrics, prefix: expected letters, digits and _, met 'a-b'"],
    [{ client, registry: {} }, "prometheusMetrics, registry: expected a Registry of prom-client, met {}"],
    [{ client, registry, events: "say" }, "prometheusMetrics, events: expected an array of strings, met 'say'"],
    [{ client, registry, events: ["say", 1] }, "prometheusMetrics, events: expected an array of strings, met [ 'say', 1 ]"],
  ];
  for (const [options, message] of cases) assert.throws(() => prometheusMetrics(io, options), { code: "RC_ERR_OPTION", message });
  assert.equal((await registry.metrics()).trim(), "");
});

test("a start that fails at a name that is registered leaves that metric, and nothing of its own [ROB-940]", async (t) => {
  const { io } = await startServer(t);
  const registry = new client.Registry();
  const name = "roomcast_broadcast_duration_seconds"; // the last one
  new client.Gauge({ name, help: "of the program", registers: [registry] });
  assert.throws(() => prometheusMetrics(io, { client, registry }), /already been registered/);
  assert.deepEqual(
    registry.getMetricsAsArray().map((metric) => metric.name),
    [name],
  );
  assert.equal(hasSubscribers("roomcast:session:open"), false);
  assert.equal(hasSubscribers("roomcast:ack:end"), false);
  registry.clear();
  prometheusMetrics(io, { client, registry })();
});

test("asks a server for its statistics once a scrape, however long that takes [ROB-940]", async (t) => {
  const { io } = await startServer(t);
  const { scrape } = await observed(t, io);
  let now = performance.now();
  t.mock.method(performance, "now", () => now);
  const stats = io.stats.bind(io);
  const asked = t.mock.method(io, "stats", () => {
    now += 1000;
    return stats();
  });
  await scrape();
  assert.equal(asked.mock.callCount(), 1);
  now += 1000;
  await scrape();
  assert.equal(asked.mock.callCount(), 2);
});

test("tells the memory of recovery in bytes, apart from the entries of tables [ROB-940]", async (t) => {
  const { io, port } = await startServer(t, { connectionStateRecovery: {} });
  const { scrape } = await observed(t, io);
  const one = await connect(t, port);
  const received = once(one, "news");
  io.emit("news", "x".repeat(1000));
  await received;
  const samples = await scrape();
  assert.ok(valueIn(samples, "roomcast_recovery_bytes") > 1000);
  assert.equal(valueIn(samples, "roomcast_table_entries", { table: "recovery_packets" }), 1);
  assert.equal(valueIn(samples, "roomcast_table_entries", { table: "recovery_bytes" }), undefined);
  assert.equal(samples.filter(([name]) => name === "roomcast_table_entries").length, 21);
});

/** Starts the example as its README says, with the packages of this family. */
async function startExample(t) {
  const child = spawn(process.execPath, [fileURLToPath(new URL("examples/metrics/server.js", root))], {
    env: { ...process.env, PORT: "0", NODE_OPTIONS: "", NODE_PATH: fileURLToPath(new URL("node_modules", import.meta.url)) },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const gone = new Promise((resolve) => child.once("exit", (code, signal) => resolve(code ?? signal)));
  t.after(() => {
    child.kill("SIGKILL");
    return gone;
  });
  const [line] = await once(child.stdout.setEncoding("utf8"), "data", 30_000);
  return { url: /http:\/\/localhost:\d+/.exec(line)[0], child, gone };
}

test("the example serves metrics and probes, and its dashboard asks only for what it exposes [ROB-940, ROB-942]", async (t) => {
  const { url, child, gone } = await startExample(t);
  const one = await connect(t, url, "/", { transports: ["websocket"] });
  await one.emitWithAck("join", "room");
  const said = once(one, "said");
  one.emit("say", "room", "hello");
  assert.deepEqual(await said, ["hello"]);
  assert.equal((await fetch(`${url}/live`)).status, 200);
  assert.equal((await (await fetch(`${url}/ready`)).json()).ready, true);
  const response = await fetch(`${url}/metrics`);
  assert.match(response.headers.get("content-type"), /^text\/plain/);
  const text = await response.text();
  const labelsOf = new Map();
  for (const [name, labels] of samplesOf(text)) {
    const known = labelsOf.get(name) ?? new Set();
    for (const label of Object.keys(labels)) known.add(label);
    labelsOf.set(name, known);
  }
  const types = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)/gm)].map(([, name, type]) => [name, type]));

  const dashboard = JSON.parse(readFileSync(new URL("examples/metrics/grafana.json", root), "utf8"));
  const queries = dashboard.panels.flatMap(({ targets = [], title }) =>
    targets.map(({ expr, legendFormat }) => ({ title, expr, legendFormat })),
  );
  const asked = new Set();
  assert.ok(queries.length > 30);
  for (const { title, expr, legendFormat } of queries) {
    const [, name, matchers] = /(roomcast_\w+)\{([^}]*)\}/.exec(expr);
    const base = name.replace(/_(bucket|count|sum)$/, "");
    asked.add(base);
    const type = types.get(name) ?? types.get(base);
    // Metrics whose labels appear with the first such error, or with a link to other servers, have a type and no sample yet.
    assert.ok(type !== undefined, `${title}: nothing is named ${name}`);
    assert.equal(/rate\(/.test(expr), type !== "gauge", `${title}: a rate of a ${type}`);
    if (name !== base) assert.equal(type, "histogram", title);
    const labels = [
      ...[...matchers.matchAll(/(\w+)=/g)].map(([, label]) => label),
      ...[...expr.matchAll(/ by \(([^)]*)\)/g)].flatMap(([, list]) => list.split(", ")),
      ...[...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label),
    ].filter((label) => label !== "job" && label !== "instance"); // Prometheus adds these
    const known = labelsOf.get(name);
    if (known !== undefined) for (const label of labels) assert.ok(known.has(label), `${title}: ${name} has no label ${label}`);
  }
  const own = [...types.keys()].filter((name) => name.startsWith("roomcast_"));
  assert.deepEqual(
    own.filter((name) => !asked.has(name)),
    [],
    "each metric has a place on the dashboard",
  );
  const ids = dashboard.panels.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);

  child.kill("SIGTERM");
  assert.equal(await within(gone, "the example to end"), 0);
});

test("documents each metric with its labels, and no other [ROB-940]", async (t) => {
  const { io } = await startServer(t);
  const { registry } = await observed(t, io);
  const document = readFileSync(new URL("docs/observability.md", root), "utf8");
  const documented = [...document.matchAll(/^\| `(roomcast_\w+)` \| ([a-z]+) \| (?:`(\w+)`|–)/gm)].map(([, name, type, label]) => [
    name,
    type,
    label,
  ]);
  const metrics = registry.getMetricsAsArray().map(({ name, type, labelNames }) => [name, type, labelNames[0]]);
  assert.deepEqual(documented.sort(), metrics.sort());
});
