// The adapter of every backend of this package: a namespace on a link. What messages mean stands in `cluster-node.ts`.
import createDebug from "debug";
import { quoted } from "../support/log-text";
import { within } from "../support/within";
import type {
  BroadcastOptions,
  NodeDescription,
  PrivateSessionId,
  RestorableSession,
  Room,
  SessionToPersist,
  SocketId,
} from "../server/adapter/contract";
import { SOCKET_ID } from "../server/adapter/room-index";
import { adapterDegrade, adapterRestore } from "../server/channels";
import { roomsOfSockets } from "../server/broadcast/counting";
import { ClusterAdapter } from "./cluster-adapter";
import type { LinkCounters } from "./health";
import type { Channel, Link, LinkServer, Receiver } from "./link";
import { LinkHub, type LinkOptions } from "./link-hub";
import type { ClusterMessage, ClusterResponse, Offset, ServerId, UnsignedMessage } from "./messages";
import type { ExpectedResponders, PendingRequest } from "./pending-request";

const debug = createDebug("socket.io-adapter");

const DEFAULT_MAX_DISCONNECTION_MS = 120_000;
const COUNT_TIMEOUT_MS = 1_000;

/** Events of an adapter with a link, beside those of rooms. */
export interface LinkedAdapterEvents {
  /** Messages to or from other servers may be lost from now on. @param reason  an error */
  degraded: (reason: Error) => void;
  /** The link works again. */
  restored: () => void;
}

/**
 * An adapter of this package for several servers. Its sockets are served without the other servers, too: a link that is interrupted never
 * blocks, throws or rejects; `status`, `counters` and the events `degraded` and `restored` tell.
 */
export class LinkedAdapter extends ClusterAdapter {
  private readonly hub: LinkHub;
  private readonly channel: Channel;
  private readonly member: Receiver;

  /** @internal */
  constructor(nsp: any, hub: LinkHub, timeoutMs?: number) {
    super(nsp, hub.uid, timeoutMs);
    this.hub = hub;
    this.member = {
      uid: hub.uid,
      namespace: nsp.name,
      onMessage: (message, offset) => {
        hub.health.counters.received++;
        this._node.onMessage(message, offset);
      },
      onResponse: (response) => {
        hub.health.counters.received++;
        this._node.onResponse(response);
      },
      hasRoom: (room) => this._index.hasRoom(room),
      isOwnNode: (uid) => hub.presence.has(uid),
      isWaitingFor: (requestId) => this.requests.has(requestId) || this.ackRequests.has(requestId),
      onNodeGone: (uid) => this._node.onNodeRemoved(uid),
    };
    this.channel = hub.add(this.member);
    const { channel } = this;
    if (channel.onRoom !== undefined)
      this._index.observer = {
        onRoom: (room, isHere) => channel.onRoom!(room, isHere),
        needsRoomOf: (id) => !SOCKET_ID.test(id) || channel.needsRoomOfIds === true,
      };
    hub.health.on("degraded", this.onDegraded);
    hub.health.on("restored", this.onRestored);
  }

  /** `degraded`: messages to or from other servers may be lost. */
  get status(): "ok" | "degraded" {
    return this.hub.health.status;
  }

  /** When `status` got its value, in milliseconds since 1970. */
  get statusSince(): number {
    return this.hub.health.since;
  }

  /** What the link has moved and lost since the server was started, in messages, over all namespaces. */
  get counters(): Readonly<LinkCounters> {
    return this.hub.health.counters;
  }

  private readonly onDegraded = (reason: Error): void => {
    if (adapterDegrade.hasSubscribers) adapterDegrade.publish({ namespace: this.nsp, reason });
    this.emit("degraded", reason);
  };
  private readonly onRestored = (): void => {
    if (adapterRestore.hasSubscribers) adapterRestore.publish({ namespace: this.nsp });
    this.emit("restored");
  };

  override async close(): Promise<void> {
    this.hub.health.off("degraded", this.onDegraded);
    this.hub.health.off("restored", this.onRestored);
    this._index.observer = null;
    await this.hub.remove(this.member, this.channel);
    this.ackRequests.clear();
  }

  /** @returns a promise where a room has its first socket here: it resolves when broadcasts of the other servers to that room arrive */
  override addAll(id: SocketId, rooms: Set<Room>): Promise<void> | void {
    void super.addAll(id, rooms);
    return this._settled() ?? undefined;
  }

  override nodes(): Promise<NodeDescription[]> {
    return Promise.resolve(this.hub.presence.describe());
  }

  override tableSizes(): Record<string, number> {
    return { ...super.tableSizes(), nodes: this.hub.presence.size, carried: this.hub.carriedCount };
  }

  /** The number of servers with this namespace, including this one, whatever software they run. */
  override async serverCount(): Promise<number> {
    const known = this.knownNodes().size;
    if (this.channel.countOthers === undefined) return 1 + known;
    try {
      return 1 + (await within(COUNT_TIMEOUT_MS, this.channel.countOthers()));
    } catch (error) {
      if (debug.enabled) debug("the servers of %s were not counted: %s", quoted(this.nsp.name), quoted(error));
      return 1 + known;
    }
  }

  // Questions that only this software answers

  override async count(opts: BroadcastOptions): Promise<number> {
    if (!(await this.isUniform())) return (await this.fetchSockets(opts)).length;
    const counts = await this._node.question({ about: "count" }, opts);
    return counts.reduce<number>((sum, count) => sum + (typeof count === "number" ? count : 0), 0);
  }

  override async has(opts: BroadcastOptions, id: SocketId): Promise<boolean> {
    if (!(await this.isUniform())) return (await this.fetchSockets(opts)).some((socket) => socket.id === id);
    return (await this._node.question({ about: "has", id }, opts)).includes(true);
  }

  /** Same as `listRooms`, the name in adapters for Redis (RED-17). */
  allRooms(): Promise<Set<Room>> {
    return this.listRooms();
  }

  override async listRooms(): Promise<Set<Room>> {
    if (!(await this.isUniform())) return roomsOfSockets(this);
    const lists = await this._node.question({ about: "rooms" }, { rooms: new Set() });
    return new Set(lists.flatMap((rooms) => (Array.isArray(rooms) ? rooms.filter((room) => typeof room === "string") : [])));
  }

  /**
   * Finds sockets by a part of their id or address, or by the name of a room. Only for `isUniform`.
   * @returns what each server has found, as `readFound` takes it, this one first; rejects as `fetchSockets` does
   */
  find(text: string, timeoutMs: number): Promise<unknown[]> {
    return this._node.question({ about: "find", text }, { rooms: new Set(), flags: { timeout: timeoutMs } });
  }

  /** Ids of the other servers with this namespace, as far as they are known. */
  private knownNodes(): Set<ServerId> {
    const known = this.hub.presence.nodesWith(this.nsp.name);
    for (const uid of this.channel.foreignNodes?.() ?? []) known.add(uid);
    return known;
  }

  /** Whether all other servers run this software. */
  async isUniform(): Promise<boolean> {
    for (const _ of this.channel.foreignNodes?.() ?? []) return false;
    if (this.channel.countOthers === undefined) return true;
    return (await this.serverCount()) - 1 <= this.hub.presence.nodesWith(this.nsp.name).size;
  }

  // Connection state recovery, in the log of the backend

  override persistSession(session: SessionToPersist): void {
    this.channel.persistSession?.(session, recoveryMsOf(this.nsp.server) ?? DEFAULT_MAX_DISCONNECTION_MS).catch((error: unknown) => {
      this.hub.health.counters.lost++;
      debug("a session was not stored: %s", quoted(error));
    });
  }

  override async restoreSession(pid: PrivateSessionId, offset: string): Promise<RestorableSession | null> {
    try {
      return (await this.channel.restoreSession?.(pid, offset)) ?? null;
    } catch (error) {
      if (debug.enabled) debug("a session was not restored: %s", quoted(error));
      return null; // the client gets a new session
    }
  }

  // What the node needs

  protected override async doPublish(message: ClusterMessage): Promise<Offset> {
    return (await this.publishOnChannel(message)).offset ?? "";
  }

  protected override async doPublishResponse(requester: ServerId, response: ClusterResponse): Promise<void> {
    const { counters } = this.hub.health;
    try {
      await this.channel.respond(requester, response);
      counters.published++;
    } catch (error) {
      counters.lost++;
      throw error;
    }
  }

  private async publishOnChannel(message: ClusterMessage): ReturnType<Channel["publish"]> {
    const { counters } = this.hub.health;
    try {
      const receipt = await this.channel.publish(message);
      counters.published++;
      return receipt;
    } catch (error) {
      counters.lost++;
      throw error;
    }
  }

  /** @internal */
  override async _ask(message: UnsignedMessage, request: PendingRequest): Promise<void> {
    const { others } = await this.publishOnChannel(this._stamp(message));
    if (!request.isUncounted) return;
    // More than the nodes that are known: official ones, or a monitor that only listens.
    const isDoubtful = others === undefined || others > this.knownNodes().size;
    const count = isDoubtful && this.channel.countOthers !== undefined ? (await this.serverCount()) - 1 : others;
    // Fewer: a node has died, or is subscribing again. Until its pulses are missed it is waited for, so that no answer is incomplete in silence.
    request.expectCount(count === undefined ? null : Math.max(count, this.knownNodes().size));
  }

  /** @internal */
  override _expectedResponders(kind: "any" | "own"): ExpectedResponders {
    const nodes = kind === "any" ? this.knownNodes() : this.hub.presence.nodesWith(this.nsp.name);
    return { nodes, count: kind === "any" && this.channel.countOthers !== undefined ? Infinity : null };
  }

  /** @internal */
  override _isOwn(): boolean {
    return true;
  }

  /** @internal */
  override _isOwnNode(uid: ServerId): boolean {
    return this.hub.presence.has(uid);
  }

  /** @internal */
  override _onLate(): void {
    this.hub.health.counters.late++;
  }

  /** @internal */
  override _settled(): Promise<void> | null {
    return this.channel.settled?.() ?? null;
  }

  /** @internal */
  override _deliversFirst(): boolean {
    return this.channel.persistSession === undefined || !this.nsp.server.opts?.connectionStateRecovery;
  }
}

/**
 * Makes the value of the option `adapter` for a backend.
 * @param makeLink  called for each server that uses it, once all its options were checked
 */
export function linkedAdapter(makeLink: (server: LinkServer) => Link, options: LinkOptions): (nsp: any) => LinkedAdapter {
  const hubs = new WeakMap<object, LinkHub>();
  return (nsp) => {
    const { server } = nsp;
    let hub = hubs.get(server);
    if (hub === undefined) {
      const link = makeLink({ recoveryMs: recoveryMsOf(server) });
      hubs.set(server, (hub = new LinkHub(link, server, options, () => hubs.delete(server))));
    }
    return new LinkedAdapter(nsp, hub, options.requestsTimeout);
  };
}

/** How long a server keeps sessions; null without connection state recovery. */
function recoveryMsOf(server: { opts?: { connectionStateRecovery?: { maxDisconnectionDuration?: number } } }): number | null {
  const recovery = server.opts?.connectionStateRecovery;
  return recovery ? (recovery.maxDisconnectionDuration ?? DEFAULT_MAX_DISCONNECTION_MS) : null;
}
