// The base class of adapters for several nodes. The walk "a cluster message in" starts here, at `onMessage`.
import createDebug from "debug";
import { ignore } from "../support/ignore";
import { quoted } from "../support/log-text";
import { Adapter } from "../server/adapter/adapter";
import type { BroadcastOptions, Room } from "../server/adapter/contract";
import { adapterPublish } from "../server/channels";
import { ClusterNode } from "./cluster-node";
import {
  type ClusterMessage,
  type ClusterResponse,
  nameOfType,
  type Offset,
  randomId,
  type ServerId,
  type UnsignedMessage,
  type UnsignedResponse,
} from "./messages";
import type { ExpectedResponders, PendingRequest } from "./pending-request";
import { DEFAULT_TIMEOUT_MS } from "./requests";

/*
 * A thin face: what messages mean stands in `cluster-node.ts`. A subclass only transports them: `doPublish` to all nodes,
 * `doPublishResponse` to one; it passes what it receives to `onMessage` and `onResponse`. The receivers of a broadcast are selected on the
 * node that they are connected to, by the in-memory adapter that this class extends.
 */

const debug = createDebug("socket.io-adapter");

/** An adapter for any transport that reaches all nodes. Subclasses must override `serverCount()` (CLU-18). */
export abstract class ClusterAdapter extends Adapter {
  protected readonly uid: ServerId;
  /** @internal */ readonly _node: ClusterNode;
  /** @internal Pending requests, by request id. Named as in the original, where subclasses read them (ROB-560). */ readonly requests: ReadonlyMap<
    string,
    unknown
  >;
  /** @internal */ readonly ackRequests: ClusterNode["ackRequests"];

  /** @param timeoutMs  time after which a request to the other nodes ends */
  protected constructor(nsp: any, uid: ServerId = randomId(), timeoutMs = DEFAULT_TIMEOUT_MS) {
    super(nsp);
    this.uid = uid;
    this._node = new ClusterNode({
      adapter: this,
      uid,
      timeoutMs,
      here: {
        broadcastWithAck: (packet, opts, onCount, ack) => super.broadcastWithAck(packet, opts, onCount, ack),
        addSockets: (opts, rooms) => super.addSockets(opts, rooms),
        delSockets: (opts, rooms) => super.delSockets(opts, rooms),
        disconnectSockets: (opts, close) => super.disconnectSockets(opts, close),
      },
      accepts: (message) => this._accepts(message),
      onHeartbeat: (message) => this._onHeartbeat(message),
      publish: (message) => this.publishAndReturnOffset(message),
      ask: (message, request) => this._ask(message, request),
      respond: (requester, response) => this._respond(requester, response),
      expectedResponders: (kind) => this._expectedResponders(kind),
      onLate: () => this._onLate(),
      settled: () => this._settled(),
      isOwnNode: (uid) => this._isOwnNode(uid),
      deliversFirst: () => this._deliversFirst(),
    });
    this.requests = this._node.requests.pending;
    this.ackRequests = this._node.ackRequests;
  }

  /**
   * Sends a message to all nodes. The transport may also deliver it to this node, which ignores it (CLU-4).
   * @returns its offset in the log of the transport; `""` if the transport keeps no log
   */
  protected abstract doPublish(message: ClusterMessage): Promise<Offset>;

  /** Sends a response at least to the node `requesterUid`. */
  protected abstract doPublishResponse(requesterUid: ServerId, response: ClusterResponse): Promise<void>;

  override tableSizes(): Record<string, number> {
    const { requests, ackRequests } = this;
    return {
      ...super.tableSizes?.(),
      requests: requests.size,
      ackRequests: ackRequests.size,
      pendingBroadcasts: this._node.pendingBroadcasts,
    };
  }

  // Messages of other nodes

  /**
   * Receives a message of another node. The subclass has to call this method; it may also call it for responses (CLU-2).
   * @param message  any value: it is checked
   * @param offset   its offset in the log of the transport
   */
  protected onMessage(message: ClusterMessage, offset?: Offset): void {
    this._node.onMessage(message, offset);
  }

  /** Receives a response of another node. The subclass has to call this method. */
  protected onResponse(response: ClusterResponse): void {
    this._node.onResponse(response);
  }

  /** CLU-4. @internal */
  _accepts(message: { uid: ServerId; nsp: string }): boolean {
    return message.uid !== this.uid && message.nsp === this.nsp.name;
  }

  /** Only the subclass with heartbeats uses them. @internal */
  _onHeartbeat(_message: ClusterMessage): void {}

  /** @internal */
  _onLate(): void {}

  /** @internal */
  _settled(): Promise<void> | null {
    return null;
  }

  /** Whether a broadcast reaches the sockets of this node at once, without waiting for its offset. @internal */
  _deliversFirst(): boolean {
    return false;
  }

  // Messages to other nodes

  override broadcast(packet: any, opts: BroadcastOptions): Promise<void> {
    return this._node.broadcast(packet, opts);
  }

  override broadcastWithAck(
    packet: any,
    opts: BroadcastOptions,
    clientCountCallback: (clientCount: number) => void,
    ack: (...args: any[]) => void,
  ): void {
    this._node.broadcastWithAck(packet, opts, clientCountCallback, ack);
  }

  override _onAcksEnd(packet: object): ServerId[] {
    return this._node.onAcksEnd(packet);
  }

  override addSockets(opts: BroadcastOptions, rooms: Room[]): Promise<void> {
    return this._node.addSockets(opts, rooms, this._isOwn());
  }

  override delSockets(opts: BroadcastOptions, rooms: Room[]): Promise<void> {
    return this._node.delSockets(opts, rooms, this._isOwn());
  }

  override disconnectSockets(opts: BroadcastOptions, close: boolean): Promise<void> {
    return this._node.disconnectSockets(opts, close, this._isOwn());
  }

  override async fetchSockets(opts: BroadcastOptions): Promise<any[]> {
    return this._node.fetchSockets(opts, await super.fetchSockets(opts));
  }

  override serverSideEmit(packet: any[]): Promise<unknown> {
    return this._node.serverSideEmit(packet);
  }

  /** Whether other nodes run this software, and answer what the original would not. @internal */
  _isOwn(): boolean {
    return false;
  }

  /** Whether that node does. @internal */
  _isOwnNode(_uid: ServerId): boolean {
    return false;
  }

  /** The other nodes. @internal */
  _expectedResponders(_kind: "any" | "own"): ExpectedResponders | Promise<ExpectedResponders> {
    return Promise.resolve(this.serverCount()).then((count) => ({ nodes: NO_NODES, count: Math.max(0, count - 1) }));
  }

  // Publishing, also for subclasses (CLU-3). Messages get `uid` and `nsp`.

  /** Sends a message to all nodes, without waiting for the result. Transports report their own failures. */
  protected publish(message: UnsignedMessage): void {
    this._node.send(message);
  }

  /** Sends a message to all nodes. @returns its offset in the log of the transport, or `""` */
  protected async publishAndReturnOffset(message: UnsignedMessage): Promise<Offset> {
    if (debug.enabled) debug("publishing %s in %s", nameOfType(message.type), quoted(this.nsp.name));
    return this.doPublish(this._stamp(message));
  }

  /** Sends a response to one node. After a failure that node runs into its time-out. */
  protected publishResponse(requesterUid: ServerId, response: UnsignedResponse): void {
    this._respond(requesterUid, response).catch(ignore);
  }

  /** @internal */
  _ask(message: UnsignedMessage, _request: PendingRequest): Promise<unknown> {
    return this.publishAndReturnOffset(message);
  }

  /** @internal */
  async _respond(requesterUid: ServerId, response: UnsignedResponse): Promise<unknown> {
    if (debug.enabled) debug("answering %s with %s", quoted(requesterUid), nameOfType(response.type));
    return this.doPublishResponse(requesterUid, this._stamp(response));
  }

  /** @internal */
  _stamp<T extends { type: number }>(message: T): T & { uid: ServerId; nsp: string } {
    if (adapterPublish.hasSubscribers) adapterPublish.publish({ namespace: this.nsp, type: nameOfType(message.type) });
    return Object.assign(message, { uid: this.uid, nsp: this.nsp.name as string });
  }
}

const NO_NODES: ReadonlySet<ServerId> = new Set();
