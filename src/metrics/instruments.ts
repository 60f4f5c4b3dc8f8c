// The metrics of a server: names, labels, and where their values come from. Prometheus and OpenTelemetry are backends of it.
import type { EngineChannels } from "../engine/channels";
import type { Session } from "../engine/session";
import type { ServerChannels } from "../server/channels";
import type { Server } from "../server/server";
import type { ServerStats } from "../server/stats";
import { expectOption } from "./expect-option";
import { Subscriptions } from "./subscriptions";

type AnyServer = Server<any, any, any, any>;
type Labels = Record<string, string>;
type AnyNamespace = ServerChannels["roomcast:adapter:restore"]["namespace"];

/** A metric. Names are in the form of Prometheus, without prefix and without `_total`. */
export interface Definition {
  readonly name: string;
  readonly help: string;
  /** `s`, `By`, or what is counted, in the form of OpenTelemetry. */
  readonly unit: string;
  readonly label?: string;
  /** Upper bounds of a histogram. */
  readonly buckets?: readonly number[];
}

/** Gives the values of a metric at this moment. */
export type Read = (report: (value: number, labels: Labels) => void) => void;

/** Where metrics go. */
export interface Backend {
  gauge(definition: Definition, read: Read): void;
  /** The values only grow. */
  counter(definition: Definition, read: Read): void;
  /** @returns records one value */
  histogram(definition: Definition): (value: number, labels: Labels) => void;
}

/** What the metrics of both backends can be told. */
export interface MetricsOptions {
  /** Names of events that get a label of their own; all others are `(other)`. Default none: names come from clients, and a label must stay small. */
  events?: readonly string[];
}

const HANDSHAKE_HELP = "Checks of a handshake behind middlewares and the checks of its query, until the connection is open or refused";
const OTHER = "(other)";
const DYNAMIC = "(dynamic)";
const MAX_NAMESPACES = 20;
const SECONDS = [0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const SHORT_SECONDS = [0.000001, 0.00001, 0.0001, 0.001, 0.01, 0.1, 1, 10];
const LONG_SECONDS = [1, 10, 60, 300, 1800, 3600, 21_600, 86_400];
/** One scrape reads many metrics; so long all of them use the same statistics. */
const FRESH_MS = 50;

/**
 * Measures a server.
 * @param who  the function that was called, for messages
 * @returns stops it
 * @throws UsageError RC_ERR_OPTION, or what the backend throws; nothing is subscribed then
 */
export function instrument(who: string, io: AnyServer, backend: Backend, { events = [] }: MetricsOptions): () => void {
  const areNames = Array.isArray(events) && events.every((event) => typeof event === "string");
  expectOption(`${who}, events`, areNames, "an array of strings", events);
  const stats = freshStats(io);
  const subscriptions = new Subscriptions(io);
  const namespaceOf = namespaceNames();
  try {
    readStats(io, backend, stats, namespaceOf);
    countChannels(backend, subscriptions, namespaceOf);
    timeChannels(backend, subscriptions, namespaceOf, new Set(events));
  } catch (error) {
    subscriptions.end();
    throw error;
  }
  return () => subscriptions.end();
}

/** `io.stats()`, once for each scrape. */
function freshStats(io: AnyServer): () => ServerStats {
  let stats: ServerStats;
  let at = -Infinity;
  return () => {
    if (performance.now() - at < FRESH_MS) return stats;
    stats = io.stats();
    at = performance.now(); // not before: on a large server it takes longer than FRESH_MS
    return stats;
  };
}

/** The label of a namespace: its name, `(dynamic)` if a parent namespace has made it, `(other)` beyond the first 20. */
function namespaceNames(): (nsp: AnyNamespace | undefined) => string {
  const known = new Set<string>();
  return (nsp) => {
    if (nsp === undefined) return OTHER;
    const { name, _parent } = nsp;
    if (_parent !== null) return DYNAMIC;
    if (!known.has(name) && known.size < MAX_NAMESPACES) known.add(name);
    return known.has(name) ? name : OTHER;
  };
}

/** What `io.stats()` and `io.health()` tell. */
function readStats(
  io: AnyServer,
  backend: Backend,
  stats: () => ServerStats,
  namespaceOf: (nsp: AnyNamespace | undefined) => string,
): void {
  const gauge = (name: string, unit: string, help: string, read: (stats: ServerStats) => number): void =>
    backend.gauge({ name, unit, help }, (report) => report(read(stats()), {}));
  const byNamespace = (name: string, unit: string, help: string, read: (stats: ServerStats["namespaces"][string]) => number): void =>
    backend.gauge({ name, unit, help, label: "namespace" }, (report) => {
      const sums = new Tally();
      for (const [nsp, one] of Object.entries(stats().namespaces)) sums.add(namespaceOf(io._nsps.get(nsp)), read(one));
      sums.report("namespace", report);
    });
  const table = (kind: "gauge" | "counter", definition: Definition, read: (stats: ServerStats) => Record<string, number>): void =>
    backend[kind](definition, (report) => {
      for (const [key, value] of Object.entries(read(stats()))) report(value, { [definition.label!]: key });
    });

  table("gauge", { name: "sessions", unit: "{session}", help: "Open connections", label: "transport" }, (one) => one.transports);
  byNamespace("sockets", "{socket}", "Connected sockets", ({ sockets }) => sockets);
  byNamespace(
    "rooms",
    "{room}",
    "Rooms with sockets of this server, those of single sockets included",
    ({ adapter }) => adapter["rooms"] ?? 0,
  );
  byNamespace("pending_acks", "{ack}", "Acknowledgements that sockets wait for", ({ acks }) => acks);
  gauge("outbox_packets", "{packet}", "Packets that wait to be sent", ({ outbox }) => outbox.packets);
  gauge("outbox_bytes", "By", "Bytes that wait to be sent, those not taken by the system included", ({ outbox }) => outbox.bytes);
  gauge("held_input_bytes", "By", "Memory of incomplete input", ({ heldInput }) => heldInput.bytes);
  gauge("recovery_bytes", "By", "Memory of what is kept for connection state recovery", ({ namespaces }) =>
    Object.values(namespaces).reduce((sum, { adapter }) => sum + (adapter["recoveryBytes"] ?? 0), 0),
  );
  table("gauge", { name: "table_entries", unit: "{entry}", help: "Entries of internal tables", label: "table" }, tablesOf);
  backend.gauge({ name: "ready", unit: "1", help: "1 if the server should get new clients, see io.health()" }, (report) =>
    report(Number(io.health().ready), {}),
  );
  backend.gauge({ name: "draining", unit: "1", help: "1 while the server moves its clients away" }, (report) =>
    report(Number(io.isDraining), {}),
  );
  backend.gauge(
    { name: "adapter_up", unit: "1", help: "1 if the link to the other servers works; missing without such a link" },
    (report) => {
      const { status } = io.health().adapter;
      if (status !== "none") report(Number(status === "ok"), {});
    },
  );
  backend.counter(
    { name: "adapter_messages", unit: "{message}", help: "Messages from and to other servers, and those that were lost", label: "outcome" },
    (report) => {
      const { counters } = io.sockets.adapter as { counters?: Record<string, number> };
      for (const [outcome, count] of Object.entries(counters ?? {})) report(count, { outcome });
    },
  );
  const counts = (one: ServerStats): ServerStats["counts"] => one.counts;
  table(
    "counter",
    { name: "sessions_closed", unit: "{session}", help: "Connections that have ended", label: "reason" },
    (one) => counts(one).sessions,
  );
  table(
    "counter",
    { name: "sockets_disconnected", unit: "{socket}", help: "Sockets that have left", label: "reason" },
    (one) => counts(one).sockets,
  );
  table(
    "counter",
    { name: "refusals", unit: "{request}", help: "Refused handshakes and requests", label: "code" },
    (one) => counts(one).refusals,
  );
  table(
    "counter",
    { name: "events_dropped", unit: "{event}", help: "Events that were dropped", label: "cause" },
    (one) => counts(one).dropped,
  );
  table("counter", { name: "errors", unit: "{error}", help: "Limits and errors that ended or refused something", label: "code" }, (one) =>
    Object.fromEntries(Object.entries(counts(one).codes).filter(([, count]) => count > 0)),
  );
}

/** The tables that have no metric of their own. */
function tablesOf({
  joins,
  upgrades,
  handshakes,
  requests,
  closingConnections,
  admission,
  timedAcks,
  deadlines,
  ...more
}: ServerStats): Record<string, number> {
  const tables: Record<string, number> = {
    joins,
    upgrades,
    webtransport_handshakes: handshakes,
    polls: requests.polls,
    posts: requests.posts,
    closing_connections: closingConnections,
    handshakes: admission.handshakes,
    middlewares: admission.middlewares,
    addresses: admission.addresses,
    timed_acks: timedAcks,
    deadlines: deadlines.process,
    parent_namespaces: more.parentNamespaces,
    child_namespaces: more.childNamespaces,
    recoverable_sockets: 0,
    recovery_sessions: 0,
    recovery_packets: 0,
    cluster_requests: 0,
    cluster_ack_requests: 0,
    cluster_broadcasts: 0,
    cluster_nodes: 0,
    carried_sessions: 0,
  };
  for (const { recoverable, adapter } of Object.values(more.namespaces)) {
    const of = (name: string): number => adapter[name] ?? 0;
    tables["recoverable_sockets"] += recoverable;
    tables["recovery_sessions"] += of("recoverySessions");
    tables["recovery_packets"] += of("recoveryPackets");
    tables["cluster_requests"] += of("requests");
    tables["cluster_ack_requests"] += of("ackRequests");
    tables["cluster_broadcasts"] += of("pendingBroadcasts");
    tables["cluster_nodes"] = Math.max(tables["cluster_nodes"], of("nodes"));
    tables["carried_sessions"] = Math.max(tables["carried_sessions"], of("carried")); // one table for all namespaces
  }
  return tables;
}

/** Counters that channels feed: plain additions, no look-up of labels in a backend for each event. */
function countChannels(backend: Backend, subscriptions: Subscriptions, namespaceOf: (nsp: AnyNamespace) => string): void {
  const tally = (definition: Definition): Tally => {
    const sums = new Tally();
    backend.counter(definition, (report) => sums.report(definition.label, report));
    return sums;
  };
  const opened = tally({ name: "sessions_opened", unit: "{session}", help: "Connections that were opened", label: "transport" });
  const upgrades = tally({ name: "upgrades", unit: "{session}", help: "Connections that moved to another transport", label: "transport" });
  const connected = tally({ name: "sockets_connected", unit: "{socket}", help: "Sockets that have joined", label: "namespace" });
  const refused = tally({ name: "sockets_refused", unit: "{socket}", help: "Joins of namespaces that were refused" });
  const received = tally({ name: "packets_received", unit: "{packet}", help: "Packets that reached a socket" });
  const sent = tally({ name: "packets_sent", unit: "{packet}", help: "Packets to single sockets" });
  const broadcasts = tally({ name: "broadcasts", unit: "{broadcast}", help: "Broadcasts that this server has sent", label: "namespace" });
  const receivers = tally({
    name: "broadcast_receivers",
    unit: "{socket}",
    help: "Sockets of this server that broadcasts went to",
    label: "namespace",
  });
  const failed = tally({ name: "listener_errors", unit: "{error}", help: "Errors of listeners" });

  subscriptions.onSession("roomcast:session:open", ({ session }) => opened.add(session.transport.name));
  subscriptions.onSession("roomcast:session:upgrade", ({ to }) => upgrades.add(to));
  subscriptions.onSocket("roomcast:socket:connect", ({ socket }) => connected.add(namespaceOf(socket.nsp)));
  subscriptions.on(
    "roomcast:socket:refuse",
    ({ client }) => client.server,
    () => refused.add(""),
  );
  subscriptions.onSocket("roomcast:packet:receive", () => received.add(""));
  subscriptions.onSocket("roomcast:packet:send", () => sent.add(""));
  subscriptions.onNamespace("roomcast:broadcast:start", ({ namespace }) => broadcasts.add(namespaceOf(namespace)));
  subscriptions.onNamespace("roomcast:broadcast:deliver", ({ namespace, receivers: count }) =>
    receivers.add(namespaceOf(namespace), count),
  );
  subscriptions.onSocket("roomcast:error", () => failed.add(""));
}

function timeChannels(
  backend: Backend,
  subscriptions: Subscriptions,
  namespaceOf: (nsp: AnyNamespace) => string,
  events: ReadonlySet<string>,
): void {
  const histogram = (name: string, help: string, label: string | undefined, buckets: readonly number[]) =>
    backend.histogram(label === undefined ? { name, help, unit: "s", buckets } : { name, help, unit: "s", label, buckets });
  const handshake = histogram("handshake_duration_seconds", HANDSHAKE_HELP, "outcome", SECONDS);
  const session = histogram("session_duration_seconds", "How long connections were open", "transport", LONG_SECONDS);
  const middleware = histogram("middleware_duration_seconds", "Middlewares of a namespace, for one socket", "namespace", SECONDS);
  const event = histogram("event_duration_seconds", "Listeners of an event, until they return", "event", SECONDS);
  const ack = histogram("ack_duration_seconds", "From the emit to its acknowledgement, or its failure", "outcome", SECONDS);
  const broadcast = histogram("broadcast_duration_seconds", "The call that sends a broadcast", "namespace", SHORT_SECONDS);

  const handshakes = new Stopwatch<object>();
  subscriptions.onEngine("roomcast:handshake:start", ({ request }) => handshakes.start(request));
  subscriptions.onSession("roomcast:session:open", ({ request }) =>
    handshakes.stop(request, (seconds) => handshake(seconds, { outcome: "opened" })),
  );
  subscriptions.onEngine("roomcast:handshake:refuse", ({ request }: EngineChannels["roomcast:handshake:refuse"]) =>
    handshakes.stop(request, (seconds) => handshake(seconds, { outcome: "refused" })),
  );
  const sessions = new Stopwatch<Session>();
  subscriptions.onSession("roomcast:session:open", (message) => sessions.start(message.session));
  subscriptions.onSession("roomcast:session:close", (message) =>
    sessions.stop(message.session, (seconds) => session(seconds, { transport: message.session.transport.name })),
  );
  const spans = new Stopwatch<object>();
  subscriptions.onSocket("roomcast:middleware:start", (message) => spans.start(message));
  subscriptions.onSocket("roomcast:middleware:end", (message) =>
    spans.stop(message, (seconds) => middleware(seconds, { namespace: namespaceOf(message.socket.nsp) })),
  );
  subscriptions.onSocket("roomcast:event:start", (message) => spans.start(message));
  subscriptions.onSocket("roomcast:event:end", (message) =>
    spans.stop(message, (seconds) => event(seconds, { event: events.has(message.event) ? message.event : OTHER })),
  );
  subscriptions.onNamespace("roomcast:ack:start", (message) => spans.start(message));
  subscriptions.onNamespace("roomcast:ack:end", (message) =>
    spans.stop(message, (seconds) => ack(seconds, { outcome: message.error === undefined ? "answered" : "failed" })),
  );
  subscriptions.onNamespace("roomcast:broadcast:start", (message) => spans.start(message));
  subscriptions.onNamespace("roomcast:broadcast:end", (message) =>
    spans.stop(message, (seconds) => broadcast(seconds, { namespace: namespaceOf(message.namespace) })),
  );
}

/** Sums by the value of a label; `""` without a label. */
class Tally {
  private readonly sums = new Map<string, number>();

  add(key: string, by = 1): void {
    this.sums.set(key, (this.sums.get(key) ?? 0) + by);
  }

  report(label: string | undefined, report: (value: number, labels: Labels) => void): void {
    if (label === undefined) return report(this.sums.get("") ?? 0, {});
    for (const [key, sum] of this.sums) report(sum, { [label]: key });
  }
}

/** Times between two messages that have an object in common. */
class Stopwatch<Key extends object> {
  private readonly startedAt = new WeakMap<Key, number>();

  start(key: Key): void {
    this.startedAt.set(key, performance.now());
  }

  /** @param key  one that was not started is ignored: it began before, or elsewhere */
  stop(key: Key | null, record: (seconds: number) => void): void {
    const at = key === null ? undefined : this.startedAt.get(key);
    if (at === undefined) return;
    this.startedAt.delete(key!);
    record((performance.now() - at) / 1000);
  }
}
