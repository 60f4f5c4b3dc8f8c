/** `roomcast/metrics` with OpenTelemetry: metrics, spans, and traces that go on in callbacks and on other servers. */
import assert from "node:assert/strict";
import { hasSubscribers, subscribe, unsubscribe } from "node:diagnostics_channel";
import { createRequire } from "node:module";
import { test } from "node:test";
import * as api from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { linkedNodes } from "../../support/bus-link.js";
import { client, connect, once } from "../../support/client.js";
import { eventually, joinServer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { http } from "../../support/wire-client.js";

const root = new URL("../../../", import.meta.url);
const { openTelemetryMetrics, openTelemetrySpans } = createRequire(new URL("package.json", root))("roomcast/metrics");

class Reader extends MetricReader {
  async onForceFlush() {}
  async onShutdown() {}
}
const reader = new Reader();
api.metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
const exporter = new InMemorySpanExporter();
api.trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
api.propagation.setGlobalPropagator(new W3CTraceContextPropagator());

const spansNamed = (name) => exporter.getFinishedSpans().filter((span) => span.name === name);
const traceOf = (span) => span.spanContext().traceId;

function traced(t, io, options = {}) {
  exporter.reset();
  t.after(openTelemetrySpans(io, { api, ...options }));
}

/** A trace as it arrives in the header `traceparent`. */
const REMOTE = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" };
const traceparent = `00-${REMOTE.traceId}-${REMOTE.spanId}-01`;

test("records metrics with the names and attributes of the conventions [ROB-941]", async (t) => {
  const { io, port } = await startServer(t);
  t.after(openTelemetryMetrics(io, { api, events: ["ask"] }));
  io.on("connection", (socket) => socket.on("ask", (answer) => answer(1)));
  const one = await connect(t, port, "/", { transports: ["websocket"] });
  await one.emitWithAck("ask");
  const { resourceMetrics, errors } = await reader.collect();
  assert.deepEqual(errors, []);
  const [scope] = resourceMetrics.scopeMetrics;
  assert.equal(scope.scope.name, "roomcast");
  const metrics = new Map(scope.metrics.map(({ descriptor, dataPoints }) => [descriptor.name, { ...descriptor, dataPoints }]));
  const point = (name, wanted = {}) =>
    metrics.get(name)?.dataPoints.find(({ attributes }) => Object.entries(wanted).every(([key, value]) => attributes[key] === value));
  assert.equal(point("roomcast.sessions", { transport: "websocket" }).value, 1);
  assert.equal(point("roomcast.sockets", { "messaging.destination.name": "/", "messaging.system": "socket.io" }).value, 1);
  assert.equal(point("roomcast.sessions_opened", { transport: "websocket" }).value, 1);
  assert.equal(point("messaging.process.duration", { "roomcast.event": "ask" }).value.count, 1);
  assert.equal(metrics.get("messaging.process.duration").unit, "s");
  assert.equal(point("roomcast.ready").value, 1);
});

test("tells the servers of one process apart by the option attributes [ROB-941]", async (t) => {
  const servers = { one: await startServer(t), two: await startServer(t) };
  for (const [server, { io }] of Object.entries(servers)) t.after(openTelemetryMetrics(io, { api, attributes: { server } }));
  await connect(t, servers.one.port, "/", { transports: ["websocket"] });
  const { resourceMetrics } = await reader.collect();
  const valuesOf = (name) =>
    resourceMetrics.scopeMetrics[0].metrics
      .find(({ descriptor }) => descriptor.name === name)
      .dataPoints.filter(({ attributes }) => attributes.server !== undefined && attributes.transport === "websocket")
      .map(({ attributes, value }) => [attributes.server, value]);
  assert.deepEqual(valuesOf("roomcast.sessions").sort(), [
    ["one", 1],
    ["two", 0],
  ]);
  assert.deepEqual(valuesOf("roomcast.sessions_opened"), [["one", 1]]);
});

test("makes spans of handshakes, middlewares, events and acknowledgements; what listeners do belongs to them [ROB-941]", async (t) => {
  const { io, port } = await startServer(t);
  const other = await startServer(t); // its clients make no spans
  traced(t, io);
  await connect(t, other.port, "/", { transports: ["websocket"] });
  const tracer = api.trace.getTracer("a program");
  io.use((socket, next) => setImmediate(() => (tracer.startSpan("look up the user").end(), next())));
  const joined = once(io, "connection");
  const one = await connect(t, port, "/", { transports: ["websocket"], extraHeaders: { traceparent } });
  const [socket] = await joined;
  one.on("question", (answer) => answer("yes"));
  const answered = new Promise((resolve) =>
    socket.on("ask", async () => {
      await null;
      socket.emit("question", () => resolve(tracer.startSpan("use the answer").end()));
    }),
  );
  one.emit("ask");
  await answered;
  const [handshake] = spansNamed("handshake");
  assert.deepEqual(
    [traceOf(handshake), handshake.parentSpanContext.spanId, handshake.kind],
    [REMOTE.traceId, REMOTE.spanId, api.SpanKind.SERVER],
  );
  assert.equal(spansNamed("handshake").length, 1);
  const [join] = spansNamed("join /");
  assert.equal(spansNamed("look up the user")[0].parentSpanContext.spanId, join.spanContext().spanId);
  const [event] = spansNamed("process /");
  assert.deepEqual(
    [event.kind, event.attributes],
    [
      api.SpanKind.CONSUMER,
      {
        "messaging.system": "socket.io",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "/",
        "messaging.client.id": socket.id,
        "roomcast.event": "ask",
      },
    ],
  );
  const [ask] = spansNamed("ask /");
  assert.deepEqual([traceOf(ask), ask.parentSpanContext.spanId], [traceOf(event), event.spanContext().spanId]);
  const [use] = spansNamed("use the answer");
  assert.deepEqual([traceOf(use), use.parentSpanContext.spanId], [traceOf(event), ask.spanContext().spanId]);
});

test("marks what has failed: refusals, middlewares, listeners, acknowledgements [ROB-941]", async (t) => {
  const { io, port } = await startServer(t, {
    captureRejections: false,
    allowRequest: (req, answer) => answer("no", req.headers.refused === undefined),
  });
  traced(t, io);
  const failed = (name) => spansNamed(name).map(({ status, attributes }) => [status.code, status.message, attributes["error.type"]]);
  await http(port, { path: "/socket.io/?EIO=4&transport=polling", headers: { refused: "1" } });
  assert.deepEqual(failed("handshake"), [[api.SpanStatusCode.ERROR, "Forbidden", "4"]]);
  io.of("/closed").use((_socket, next) => next(new Error("not you")));
  await once(client(t, port, "/closed"), "connect_error");
  assert.deepEqual(failed("join /closed"), [[api.SpanStatusCode.ERROR, "not you", "Error"]]);
  const joined = once(io, "connection");
  await connect(t, port);
  const [socket] = await joined;
  await assert.rejects(socket.timeout(1).emitWithAck("nobody answers"));
  assert.deepEqual(failed("ask /"), [[api.SpanStatusCode.ERROR, "operation has timed out", "RC_ERR_TIMEOUT"]]);
});

test("continues the trace of a client where the program says where it is [ROB-941]", async (t) => {
  const { io, port } = await startServer(t);
  traced(t, io, { carrierOf: ({ args }) => args[0]?.trace });
  const heard = new Promise((resolve) => io.on("connection", (socket) => socket.on("say", resolve)));
  const one = await connect(t, port);
  one.emit("say", { text: "hello", trace: { traceparent } });
  await heard;
  const [event] = spansNamed("process /");
  assert.deepEqual([traceOf(event), event.parentSpanContext.spanId], [REMOTE.traceId, REMOTE.spanId]);
});

test("survives whatever a client sends as its trace, and a carrierOf and propagators that throw [ROB-941]", async (t) => {
  const { io, port } = await startServer(t);
  traced(t, io, { carrierOf: ({ args }) => args[0].trace });
  const carriers = [];
  let isBroken = false;
  const { extract, inject } = api.propagation;
  t.mock.method(api.propagation, "extract", function (context, carrier, ...more) {
    if (isBroken) throw new Error("the propagator is broken");
    if (!("connection" in carrier)) carriers.push(carrier);
    return extract.call(this, context, carrier, ...more);
  });
  t.mock.method(api.propagation, "inject", function (...args) {
    if (isBroken) throw new Error("the propagator is broken");
    return inject.apply(this, args);
  });
  const heard = [];
  io.on("connection", (socket) => socket.on("say", (what, answer) => answer(heard.push(what))));
  const one = await connect(t, port, "/", { transports: ["websocket"] });
  const traces = [
    { traceparent: 1, tracestate: { a: 1 } },
    { traceparent, tracestate: "x".repeat(513), ...Object.fromEntries([..."123456789"].map((key) => [key, key])) },
    traceparent,
    [traceparent],
    null,
  ];
  for (const trace of traces) await one.emitWithAck("say", { trace });
  await one.emitWithAck("say", null); // carrierOf throws
  isBroken = true;
  const news = once(one, "news");
  await one.emitWithAck("say", { trace: { traceparent } });
  io.emit("news", 1);
  assert.deepEqual(await news, [1]);
  assert.equal(heard.length, traces.length + 2);
  assert.deepEqual(carriers, [{ traceparent, ...Object.fromEntries([..."1234567"].map((key) => [key, key])) }]);
  assert.deepEqual(
    spansNamed("process /").map((span) => traceOf(span) === REMOTE.traceId),
    [false, true, false, false, false, false, false],
  );
  assert.throws(() => openTelemetrySpans(io, { api, carrierOf: "trace" }), {
    code: "RC_ERR_OPTION",
    message: "openTelemetrySpans, carrierOf: expected a function, met 'trace'",
  });
});

test("a baggage that is too long for other servers costs a broadcast only the baggage [ROB-938, ROB-941]", async (t) => {
  const { nodes } = await linkedNodes(t, 2);
  const { client: far } = await joinServer(t, nodes[1]);
  exporter.reset();
  for (const { io } of nodes) t.after(openTelemetrySpans(io, { api }));
  const { inject } = api.propagation;
  t.mock.method(api.propagation, "inject", function (context, carrier, ...more) {
    carrier.baggage = `a=${"x".repeat(600)}`;
    return inject.call(this, context, carrier, ...more);
  });
  const delivered = [];
  const onDeliver = ({ flags }) => delivered.push(Object.keys(flags.trace));
  subscribe("roomcast:broadcast:deliver", onDeliver);
  t.after(() => unsubscribe("roomcast:broadcast:deliver", onDeliver));
  const received = once(far, "news");
  nodes[0].io.emit("news", 1);
  await received;
  assert.deepEqual(delivered, [["traceparent"], ["traceparent"]]);
  const [span] = spansNamed("deliver /");
  assert.equal(traceOf(span), traceOf(spansNamed("send /")[0]));
});

test("continues the trace of a broadcast on the other servers [ROB-941]", async (t) => {
  const { nodes } = await linkedNodes(t, 3);
  const peers = [];
  for (const node of nodes) peers.push(await joinServer(t, node));
  exporter.reset();
  for (const { io } of nodes) t.after(openTelemetrySpans(io, { api }));
  const tracer = api.trace.getTracer("a program");
  const received = Promise.all(peers.map(({ client: each }) => once(each, "news")));
  const own = tracer.startSpan("a request");
  api.context.with(api.trace.setSpan(api.context.active(), own), () => nodes[0].io.emit("news", 1));
  own.end();
  await received;
  await eventually(() => spansNamed("deliver /").length === 3, "all servers to deliver");
  const [sent] = spansNamed("send /");
  assert.equal(sent.parentSpanContext.spanId, own.spanContext().spanId);
  for (const span of spansNamed("deliver /")) {
    assert.deepEqual([traceOf(span), span.parentSpanContext.spanId], [traceOf(own), sent.spanContext().spanId]);
    assert.equal(span.attributes["messaging.batch.message_count"], 1);
  }
});

test("refuses anything but the module, and options that make no sense; then nothing is observed [ROB-941]", async (t) => {
  const { io } = await startServer(t);
  for (const start of [openTelemetryMetrics, openTelemetrySpans]) {
    assert.throws(() => start(io, { api: {} }), {
      code: "RC_ERR_OPTION",
      message: `${start.name}, api: expected the module @opentelemetry/api, met {}`,
    });
    assert.throws(() => start(io), { code: "RC_ERR_OPTION" });
  }
  const cases = [
    [{ events: "say" }, "openTelemetryMetrics, events: expected an array of strings, met 'say'"],
    [{ attributes: "chat" }, "openTelemetryMetrics, attributes: expected an object of texts, numbers and booleans, met 'chat'"],
    [{ attributes: { a: [] } }, "openTelemetryMetrics, attributes: expected an object of texts, numbers and booleans, met { a: [] }"],
  ];
  for (const [options, message] of cases) {
    assert.throws(() => openTelemetryMetrics(io, { api, ...options }), { code: "RC_ERR_OPTION", message });
  }
  const callbacks = new Set();
  const observable = () => ({ addCallback: (one) => callbacks.add(one), removeCallback: (one) => callbacks.delete(one) });
  const broken = () => {
    throw new Error("no histograms");
  };
  const meter = { createObservableGauge: observable, createObservableCounter: observable, createHistogram: broken };
  t.mock.method(api.metrics, "getMeter", () => meter);
  assert.throws(() => openTelemetryMetrics(io, { api }), { message: "no histograms" });
  assert.equal(callbacks.size, 0);
  assert.equal(hasSubscribers("roomcast:session:open"), false);
});
