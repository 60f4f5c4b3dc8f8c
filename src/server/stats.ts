// `io.stats()`: the sizes of all tables of a server.
import { Counts } from "../engine/counts";
import { BaseServer } from "../engine/engine";
import type { Session } from "../engine/session";
import { countDeadlines } from "../support/deadline";
import type { Adapter } from "./adapter/adapter";
import { Client } from "./client/client";
import type { Namespace } from "./namespace";

/** The sizes of the tables of a namespace. */
export interface NamespaceStats {
  /** Connected sockets of this server. */
  sockets: number;
  /** Sockets whose middlewares run. */
  joining: number;
  /** Sockets whose session can be recovered, those in the middlewares included. */
  recoverable: number;
  /** Acknowledgements that sockets wait for, those of broadcasts included. */
  acks: number;
  /**
   * The tables of the adapter: `members` (sockets that it knows) and `rooms`; with recovery in memory also `recoverySessions`,
   * `recoveryPackets` and `recoveryBytes`; in a cluster also `requests`, `ackRequests`, `pendingBroadcasts` and `nodes` (other servers). An
   * adapter of another package may have others.
   */
  adapter: Record<string, number>;
}

/** The result of `io.stats()`. All values are sizes at this moment: after all clients have left, each is what it was before they came. */
export interface ServerStats {
  /** Open sessions of all engines. */
  sessions: number;
  /** Sessions by transport. */
  transports: { polling: number; websocket: number; webtransport: number };
  /** Sessions whose upgrade to another transport is under way. */
  upgrades: number;
  /** WebTransport sessions that have sent no packet yet. */
  handshakes: number;
  /** Requests under way: polls that wait for packets, and POSTs whose body is read or delivered. */
  requests: { polls: number; posts: number };
  /** Connections that are being closed, and whose peers haven't confirmed it. */
  closingConnections: number;
  /**
   * What the limits on handshakes count: `addresses` with open connections (`limits.connectionsPerAddress`), `handshakes` (`pendingHandshakes`) and
   * `middlewares` (`pendingMiddlewares`) under way. 0 for a limit that is off.
   */
  admission: { addresses: number; handshakes: number; middlewares: number };
  /** What waits to be sent, over all sessions: packets, and bytes including those that were handed to the system and not taken. */
  outbox: { packets: number; bytes: number };
  /**
   * Connections with incomplete input: part of a message, frame or body; a packet that waits for its attachments. `bytes` is the memory of both, and
   * of messages that wait because of `overRate: "defer"`: what `limits.totalHeldBytes` limits.
   */
  heldInput: { messages: number; packets: number; bytes: number };
  /** Connections of clients that are open. Engines of other packages are not counted, here and above. */
  clients: number;
  /** Pending joins of namespaces, from the CONNECT packet on. */
  joins: number;
  /** Pending acknowledgements with a time-out or a life time; those of a broadcast count once. */
  timedAcks: number;
  /**
   * Running deadlines: of pings and pongs, of clients that have joined nothing, of clients that don't read; `process` has all deadlines of
   * this process, with those of other servers.
   */
  deadlines: { heartbeat: number; connect: number; stall: number; process: number };
  /** Parent namespaces: patterns and functions given to `io.of()`. */
  parentNamespaces: number;
  /** Namespaces that parent namespaces have created. They are listed in `namespaces`, too. */
  childNamespaces: number;
  /** By name. */
  namespaces: Record<string, NamespaceStats>;
  /** The counters of all engines, see `io.engine.counts`. They only grow. */
  counts: Pick<Counts, "sessions" | "sockets" | "refusals" | "codes" | "dropped">;
}

/** What this file needs of the server. */
export interface StatsSource {
  readonly _attached: { readonly allEngines: Iterable<unknown> };
  readonly _nsps: ReadonlyMap<string, Namespace<any, any, any, any>>;
  readonly parentNsps: ReadonlyMap<unknown, unknown>;
  readonly _timedAcks: { readonly size: number };
  readonly _middlewarePlaces: { readonly count: number };
}

/** Counts. Takes time in proportion to the connections, sockets and namespaces; nothing is counted between the calls. */
export function statsOf({ _attached, _nsps, parentNsps, _timedAcks, _middlewarePlaces }: StatsSource): ServerStats {
  const stats: ServerStats = {
    sessions: 0,
    transports: { polling: 0, websocket: 0, webtransport: 0 },
    upgrades: 0,
    handshakes: 0,
    requests: { polls: 0, posts: 0 },
    closingConnections: 0,
    admission: { addresses: 0, handshakes: 0, middlewares: _middlewarePlaces.count },
    outbox: { packets: 0, bytes: 0 },
    heldInput: { messages: 0, packets: 0, bytes: 0 },
    clients: 0,
    joins: 0,
    timedAcks: _timedAcks.size,
    deadlines: { heartbeat: 0, connect: 0, stall: 0, process: countDeadlines() },
    parentNamespaces: parentNsps.size,
    childNamespaces: 0,
    namespaces: {},
    counts: { ...new Counts() },
  };
  for (const engine of _attached.allEngines) if (engine instanceof BaseServer) addEngine(stats, engine);
  for (const [name, nsp] of _nsps) {
    if (nsp._parent !== null) stats.childNamespaces++;
    stats.namespaces[name] = namespaceStats(nsp);
  }
  return stats;
}

function addEngine(stats: ServerStats, engine: BaseServer): void {
  addCounts(stats.counts, engine.counts);
  stats.handshakes += engine.handshakes.size;
  stats.heldInput.bytes += engine.inputTotal.heldBytes;
  stats.closingConnections += engine.endings.size;
  stats.admission.addresses += engine.admission?.sizes.addresses ?? 0;
  stats.admission.handshakes += engine.admission?.sizes.handshakes ?? 0;
  for (const session of Object.values(engine.clients)) {
    addSession(stats, session);
    if (session.owner instanceof Client) addClient(stats, session.owner);
  }
}

function addCounts(total: ServerStats["counts"], counts: Counts): void {
  for (const [name, table] of Object.entries(counts)) {
    const sums = total[name as keyof typeof total] as Record<string, number>;
    for (const [key, count] of Object.entries(table as Record<string, number>)) sums[key] += count;
  }
}

function addSession(stats: ServerStats, session: Session): void {
  const { transport, outbox } = session;
  stats.sessions++;
  stats.transports[transport.name]++;
  if (session.upgrade !== null) stats.upgrades++;
  if (transport.isPolled) stats.requests.polls++;
  if (transport.isPosted) stats.requests.posts++;
  if (transport.heldInputBytes > 0) stats.heldInput.messages++;
  stats.outbox.packets += outbox.length;
  stats.outbox.bytes += session.bufferedBytes;
  if (session.heartbeat.active) stats.deadlines.heartbeat++;
  if (outbox.stall?.active === true) stats.deadlines.stall++;
}

function addClient(stats: ServerStats, client: Client): void {
  stats.clients++;
  stats.joins += client._joins?.size ?? 0;
  if (client._joinDeadline !== null) stats.deadlines.connect++;
  if (client.heldInputBytes > 0) stats.heldInput.packets++;
}

function namespaceStats(nsp: Namespace<any, any, any, any>): NamespaceStats {
  let acks = 0;
  for (const socket of nsp.sockets.values()) acks += socket._acks?.size ?? 0;
  return {
    sockets: nsp.sockets.size,
    joining: nsp._preConnectSockets.size,
    recoverable: nsp._socketsByPid.size,
    acks,
    adapter: adapterStats(nsp.adapter),
  };
}

/** Adapters that extend a class of another package have the maps `rooms` and `sids`, and perhaps a `tableSizes()` of their own. */
function adapterStats(adapter: Partial<Pick<Adapter, "tableSizes" | "rooms" | "sids">>): Record<string, number> {
  if (typeof adapter.tableSizes === "function") return adapter.tableSizes();
  return { members: adapter.sids?.size ?? 0, rooms: adapter.rooms?.size ?? 0 };
}
