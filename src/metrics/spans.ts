// The spans of a server: which message of a channel starts one, and which ends it.
import type { Server } from "../server/server";
import type { EventMessage } from "../server/channels";
import type { Spanned } from "../support/channel";
import { traceTextsOf } from "../support/trace-texts";
import { expectOption } from "./expect-option";
import type { OpenTelemetryApi } from "./opentelemetry";
import { Subscriptions } from "./subscriptions";

/** What the spans can be told. */
export interface SpanOptions {
  /**
   * Gives the texts by which a client continues its own trace, such as `{ traceparent }`, from an event of it. Default: none; official clients
   * send nothing of that kind, so such clients and the server have to agree on an argument. The client has chosen it: of at most 8 entries, texts of
   * at most 512 characters are used, and nothing if the function throws.
   * @example
   * carrierOf: ({ args }) => args[0]?.trace
   */
  carrierOf?: (message: EventMessage) => Record<string, string> | null | undefined;
}

/** @returns ends it @throws UsageError RC_ERR_OPTION */
export function traceServer(io: Server<any, any, any, any>, api: OpenTelemetryApi, tracer: any, { carrierOf }: SpanOptions): () => void {
  expectOption("openTelemetrySpans, carrierOf", carrierOf === undefined || typeof carrierOf === "function", "a function", carrierOf);
  const { context, propagation, SpanKind } = api;
  const subscriptions = new Subscriptions(io);
  const spans = new WeakMap<object, any>();

  const attributesOf = (operation: string, type: string, namespace: string | undefined, event: string): Record<string, unknown> => ({
    "messaging.system": "socket.io",
    "messaging.operation.name": operation,
    "messaging.operation.type": type,
    "messaging.destination.name": namespace,
    "roomcast.event": event,
  });
  const start = (key: object, name: string, kind: unknown, attributes: object, parent = context.active()): any => {
    const span = tracer.startSpan(name, { kind, attributes }, parent);
    spans.set(key, span);
    return api.trace.setSpan(parent, span);
  };
  const end = (key: object | null, error?: unknown): any => {
    const span = key === null ? undefined : spans.get(key);
    if (span === undefined) return undefined;
    spans.delete(key!);
    if (error !== undefined) fail(span, error);
    span.end();
    return span;
  };
  const fail = (span: any, error: unknown): void => {
    const { code, name, message } = (typeof error === "object" && error !== null ? error : {}) as {
      code?: string | number;
      name?: string;
      message?: string;
    };
    span.setAttribute("error.type", String(code ?? name ?? "_OTHER"));
    span.setStatus({ code: api.SpanStatusCode.ERROR, message: message ?? String(error) });
  };
  /** The context that a peer continues. Whatever it has sent, and whatever a propagator makes of it: at worst it is the active one. */
  const contextOf = (carrierOfPeer: () => object | undefined): any => {
    try {
      const carrier = carrierOfPeer();
      return carrier === undefined ? context.active() : propagation.extract(context.active(), carrier);
    } catch {
      return context.active();
    }
  };
  const inject = (active: unknown): Record<string, string> | undefined => {
    const texts = {};
    try {
      propagation.inject(active, texts);
    } catch {
      return undefined; // the broadcast goes without a trace
    }
    return traceTextsOf(texts);
  };
  /** The work of the message runs in the context of the span. */
  const runIn = (message: Spanned, active: unknown): void => {
    const { run } = message;
    message.run = (work) => context.with(active, () => (run === null ? work() : run(work)));
  };

  subscriptions.onEngine("roomcast:handshake:start", ({ request }) => {
    const attributes = { "messaging.system": "socket.io", "messaging.operation.name": "handshake" };
    const parent = contextOf(() => request.headers);
    start(request, "handshake", SpanKind.SERVER, attributes, parent);
  });
  subscriptions.onSession("roomcast:session:open", ({ request }) => end(request));
  subscriptions.onEngine("roomcast:handshake:refuse", ({ request, message, code }) => end(request, { code, message }));

  subscriptions.onSocket("roomcast:middleware:start", (message) => {
    const { name } = message.socket.nsp;
    const attributes = { "messaging.system": "socket.io", "messaging.operation.name": "join", "messaging.destination.name": name };
    runIn(message, start(message, `join ${name}`, SpanKind.INTERNAL, { ...attributes, "messaging.client.id": message.socket.id }));
  });
  subscriptions.onSocket("roomcast:middleware:end", (message) => end(message, message.error));

  subscriptions.onSocket("roomcast:event:start", (message) => {
    const { socket, event } = message;
    const { name } = socket.nsp;
    const attributes = { ...attributesOf("process", "process", name, event), "messaging.client.id": socket.id };
    const parent = contextOf(() => traceTextsOf(carrierOf?.(message)));
    runIn(message, start(message, `process ${name}`, SpanKind.CONSUMER, attributes, parent));
  });
  subscriptions.onSocket("roomcast:event:end", (message) => end(message, message.error));

  const contexts = new WeakMap<object, unknown>();
  subscriptions.onNamespace("roomcast:ack:start", (message) => {
    const { namespace, event, socket } = message;
    const attributes = {
      ...attributesOf("ask", "send", namespace.name, event),
      ...(socket === null ? {} : { "messaging.client.id": socket.id }),
    };
    contexts.set(message, start(message, `ask ${namespace.name}`, SpanKind.PRODUCER, attributes));
  });
  subscriptions.onNamespace("roomcast:ack:end", (message) => {
    if (end(message, message.error) !== undefined) runIn(message, contexts.get(message));
  });

  subscriptions.onNamespace("roomcast:broadcast:start", (message) => {
    const { namespace, event } = message;
    const active = start(message, `send ${namespace.name}`, SpanKind.PRODUCER, attributesOf("send", "send", namespace.name, event));
    const trace = inject(active);
    if (trace !== undefined) message.trace = { ...message.trace, ...trace }; // without an SDK there is nothing to send
    runIn(message, active);
  });
  subscriptions.onNamespace("roomcast:broadcast:end", (message) => end(message, message.error));
  subscriptions.onNamespace("roomcast:broadcast:deliver", ({ namespace, event, receivers, flags }) => {
    if (flags?.trace === undefined || receivers === 0) return;
    const attributes = { ...attributesOf("deliver", "send", namespace.name, event), "messaging.batch.message_count": receivers };
    const { trace } = flags;
    const parent = contextOf(() => trace);
    tracer.startSpan(`deliver ${namespace.name}`, { kind: SpanKind.PRODUCER, attributes }, parent).end();
  });
  return () => subscriptions.end();
}
