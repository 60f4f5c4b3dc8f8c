import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { beforeEach, test } from "node:test";
import { context, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { registerInstrumentations } from "@opentelemetry/instrumentation";
import { SocketIoInstrumentation } from "@opentelemetry/instrumentation-socket.io";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { connect, once } from "../../support/client.js";

const require = createRequire(import.meta.url);
const exporter = new InMemorySpanExporter();
const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
const instrumentation = new SocketIoInstrumentation({
  emitIgnoreEventList: ["secret"],
  emitHook: (span, { moduleVersion, payload }) => span.setAttributes({ moduleVersion, payload: JSON.stringify(payload) }),
});
registerInstrumentations({ tracerProvider, instrumentations: [instrumentation] });
// Instrumentations patch modules while they are loaded, so the server is loaded after them.
const { assertRoomcast, startServer } = await import("./support/roomcast.js");

beforeEach(() => exporter.reset());

/** What finished, in order: kind, name, event, rooms. */
function spans() {
  return exporter.getFinishedSpans().map(({ kind, name, attributes }) => ({
    kind,
    name,
    event: attributes["messaging.socket.io.event_name"],
    rooms: attributes["messaging.socket.io.rooms"],
  }));
}

const sent = (event, rooms, namespace = "/") => ({ kind: SpanKind.PRODUCER, name: `send ${namespace}`, event, rooms });
const received = (event, namespace = "/") => ({ kind: SpanKind.CONSUMER, name: `receive ${namespace}`, event, rooms: undefined });

test("the files that OpenTelemetry patches by path are those that the entry loads [MOD-9]", () => {
  assertRoomcast();
  const { Socket } = require("socket.io");
  const { Socket: byPath } = require("./node_modules/socket.io/dist/socket.js");
  assert.equal(byPath, Socket);
  assert.equal(typeof require("./node_modules/socket.io/dist/broadcast-operator.js").BroadcastOperator, "function");
});

test("OpenTelemetry makes a span of every event that a socket receives [MEM-1, MEM-9, MOD-9]", async (t) => {
  assertRoomcast();
  const { io, url } = await startServer(t);
  io.on("connection", (socket) => {
    socket.on("question", (value, acknowledge) => acknowledge(value));
  });
  io.of("/admin").on("connection", (socket) => {
    socket.on("question", (value, acknowledge) => acknowledge(value));
  });
  assert.equal(await (await connect(t, url)).emitWithAck("question", 1), 1);
  assert.equal(await (await connect(t, url, "/admin")).emitWithAck("question", 2), 2);
  const all = spans();
  assert.deepEqual(
    all.filter(({ event }) => event === "question"),
    [received("question"), received("question", "/admin")],
  );
  // Listeners of `connection` are traced on the server alone, not on namespaces.
  assert.deepEqual(
    all.filter(({ event }) => event === "connection"),
    [received("connection")],
  );
});

test("OpenTelemetry makes a span of every emit, with its rooms [MEM-1, MEM-9, MOD-9]", async (t) => {
  assertRoomcast();
  const { io, url } = await startServer(t);
  io.on("connection", (socket) => {
    socket.join("red");
    socket.on("go", () => {
      socket.emit("to one", 1);
      socket.to("red").emit("to a room");
      socket.broadcast.emit("to others");
      io.to("red").to("blue").emit("to two rooms");
      io.of("/").emit("to the namespace");
      io.emit("secret");
      io.emit("to all");
    });
  });
  const socket = await connect(t, url);
  const { id } = socket;
  const last = once(socket, "to all");
  socket.emit("go");
  await last;
  assert.deepEqual(
    spans().filter(({ kind }) => kind === SpanKind.PRODUCER),
    [
      sent("to one", [id, "red"]),
      sent("to a room", ["red"]),
      sent("to others"),
      sent("to two rooms", ["red", "blue"]),
      sent("to the namespace"),
      sent("to all"),
    ],
  );
  const span = exporter.getFinishedSpans().find(({ attributes }) => attributes["messaging.socket.io.event_name"] === "to one");
  assert.equal(span.attributes["messaging.system"], "socket.io");
  assert.equal(span.attributes["messaging.socket.io.namespace"], "/");
  assert.equal(span.attributes.payload, "[1]");
  assert.equal(span.attributes.moduleVersion, require("socket.io/package.json").version);
});

test("spans of emits are children of the span of the event that caused them [MEM-1, MOD-9]", async (t) => {
  assertRoomcast();
  const { io, url } = await startServer(t);
  io.on("connection", (socket) => {
    socket.on("ask", async () => {
      await new Promise((resolve) => setImmediate(resolve));
      assert.notEqual(trace.getActiveSpan(), undefined);
      socket.emit("answer");
    });
  });
  const socket = await connect(t, url);
  const answer = once(socket, "answer");
  socket.emit("ask");
  await answer;
  const find = (event) => exporter.getFinishedSpans().find(({ attributes }) => attributes["messaging.socket.io.event_name"] === event);
  assert.equal(find("answer").parentSpanContext.spanId, find("ask").spanContext().spanId);
  assert.equal(find("answer").status.code, SpanStatusCode.UNSET);
});

test("nothing is traced, and everything works, once the instrumentation is disabled [MEM-1, MOD-9]", async (t) => {
  assertRoomcast();
  instrumentation.disable();
  t.after(() => instrumentation.enable());
  const { io, url } = await startServer(t);
  io.on("connection", (socket) => {
    socket.on("echo", (value, acknowledge) => acknowledge(value));
  });
  const socket = await connect(t, url);
  assert.equal(await socket.emitWithAck("echo", 5), 5);
  const news = once(socket, "news");
  io.emit("news", 6);
  assert.deepEqual(await news, [6]);
  assert.deepEqual(spans(), []);
});
