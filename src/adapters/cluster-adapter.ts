import { AsyncResource } from "node:async_hooks";
import type { BroadcastOptions, Room } from "../server/adapter";
import { MemoryAdapter } from "../server/memory-adapter";
import {
  type ClusterMessage,
  type ClusterResponse,
  decodeOptions,
  encodeOptions,
  isResponse,
  MessageType,
  type Offset,
  randomId,
  readMessage,
  readResponse,
  type ServerId,
  type UnsignedMessage,
  type UnsignedResponse,
} from "./messages";
import { type Expected, PendingRequest } from "./pending-request";

/*
 * Many processes behaving as one: what nodes ask each other, what they answer, how long they wait.
 *
 * A concrete adapter moves messages, nothing else: `doPublish` to all nodes, `doPublishResponse` to one, and what it
 * receives goes to `onMessage` and `onResponse`. Receivers of a broadcast are always chosen on the node that holds
 * them, by the in-memory adapter this class extends.
 */

const DEFAULT_TIMEOUT_MS = 5_000;
const EVENT = 2;
/** Events that only the server itself may raise; a peer that names one is lying. */
const RESERVED_SERVER_EVENTS = new Set(["connect", "connection", "new_namespace", "newListener", "removeListener"]);

/** A broadcast whose clients answer: where to put the answers, and how many each node may give. */
interface AckRequest {
  readonly onClientCount: (count: number) => void;
  readonly onAck: (...values: any[]) => void;
  readonly byNode: Map<ServerId, { announced: number | null; answers: number }>;
}

/** An adapter for any transport that reaches all nodes. It trusts `serverCount()` to know how many there are. */
export abstract class ClusterAdapter extends MemoryAdapter {
  protected readonly uid: ServerId;
  /** @internal */ readonly _requests: Map<string, PendingRequest>;
  /** @internal */ readonly _ackRequests: Map<string, AckRequest>;

  protected constructor(nsp: any) {
    super(nsp);
    this.uid = randomId();
    this._requests = new Map();
    this._ackRequests = new Map();
  }

  /**
   * Sends a message to all nodes; whether it also comes back to this one doesn't matter.
   * @returns  where it stands in the transport's log, or `""`
   */
  protected abstract doPublish(message: ClusterMessage): Promise<Offset>;

  /** Sends a response to the node that asked, at least. */
  protected abstract doPublishResponse(requesterUid: ServerId, response: ClusterResponse): Promise<void>;

  // From other nodes

  /**
   * To be called with what other nodes published; responses may come here too.
   * @param message  judged here: whatever the bus delivered
   * @param offset   where it stands in the transport's log
   */
  protected onMessage(message: ClusterMessage, offset?: Offset): void {
    if (isResponse(message)) return this.onResponse(message as unknown as ClusterResponse);
    const checked = readMessage(message);
    if (checked === null || !this._accepts(checked)) return;
    this._onChecked(checked, offset);
  }

  /** To be called with the responses of other nodes. */
  protected onResponse(response: ClusterResponse): void {
    const checked = readResponse(response);
    if (checked === null || !this._accepts(checked)) return;
    const { uid, data } = checked;
    switch (checked.type) {
      case MessageType.FETCH_SOCKETS_RESPONSE:
        this._requests.get(data.requestId)?.onAnswer(uid, checked.data.sockets);
        break;
      case MessageType.SERVER_SIDE_EMIT_RESPONSE:
        this._requests.get(data.requestId)?.onAnswer(uid, [checked.data.packet]);
        break;
      case MessageType.BROADCAST_CLIENT_COUNT:
        this._onClientCount(uid, data.requestId, checked.data.clientCount);
        break;
      case MessageType.BROADCAST_ACK:
        this._onAck(uid, data.requestId, checked.data.packet);
        break;
    }
  }

  /** @internal */
  _accepts(message: { uid: ServerId; nsp: string }): boolean {
    return message.uid !== this.uid && message.nsp === this.nsp.name;
  }

  /** @internal */
  _onChecked(message: ClusterMessage, offset: Offset | undefined): void {
    switch (message.type) {
      case MessageType.BROADCAST: {
        const { packet, requestId } = message.data;
        // Most rooms of a cluster live elsewhere. Hot: bench scenario "cluster message for a room elsewhere".
        if (requestId === undefined && !this._index.hasAny(message.data.opts.rooms)) break;
        const opts = decodeOptions(message.data.opts);
        if (requestId !== undefined) this._broadcastForOther(message.uid, requestId, packet, opts);
        else this._deliver(packet, opts, offset);
        break;
      }
      case MessageType.SOCKETS_JOIN:
        void super.addSockets(decodeOptions(message.data.opts), message.data.rooms);
        break;
      case MessageType.SOCKETS_LEAVE:
        void super.delSockets(decodeOptions(message.data.opts), message.data.rooms);
        break;
      case MessageType.DISCONNECT_SOCKETS:
        void super.disconnectSockets(decodeOptions(message.data.opts), message.data.close === true);
        break;
      case MessageType.FETCH_SOCKETS:
        this.publishResponse(message.uid, {
          type: MessageType.FETCH_SOCKETS_RESPONSE,
          data: {
            requestId: message.data.requestId,
            sockets: this._select(decodeOptions(message.data.opts)).map(describe),
          },
        });
        break;
      case MessageType.SERVER_SIDE_EMIT:
        this._onServerSideEmit(message.uid, message.data.packet, message.data.requestId);
        break;
      default: // heartbeats: of no interest here
    }
  }

  private _broadcastForOther(requester: ServerId, requestId: string, packet: any, opts: BroadcastOptions): void {
    const timeoutMs = opts.flags?.timeout;
    // Clients that never answer must not leave their entries behind: the requester takes no answer after its time-out.
    if (timeoutMs !== undefined) forgetAcksLater(this._select(opts), packet, timeoutMs);
    super.broadcastWithAck(
      packet,
      opts,
      (clientCount) => this.publishResponse(requester, { type: MessageType.BROADCAST_CLIENT_COUNT, data: { requestId, clientCount } }),
      (value) => this.publishResponse(requester, { type: MessageType.BROADCAST_ACK, data: { requestId, packet: value } }),
    );
  }

  private _onServerSideEmit(requester: ServerId, packet: any[], requestId: string | undefined): void {
    const [event] = packet;
    if (RESERVED_SERVER_EVENTS.has(event)) return;
    if (event === "error" && this.nsp.listenerCount?.("error") === 0) return; // would throw: not a peer's decision
    if (requestId === undefined) return this.nsp._onServerSideEmit(packet);
    let hasAnswered = false;
    this.nsp._onServerSideEmit([
      ...packet,
      (value: unknown) => {
        if (hasAnswered) return;
        hasAnswered = true;
        this.publishResponse(requester, {
          type: MessageType.SERVER_SIDE_EMIT_RESPONSE,
          data: { requestId, packet: value },
        });
      },
    ]);
  }

  /** Every node reports its number of clients once; a second report is ignored. */
  private _onClientCount(uid: ServerId, requestId: string, clientCount: number): void {
    const request = this._ackRequests.get(requestId);
    if (request === undefined) return;
    const node = nodeOf(request, uid);
    if (node.announced !== null) return;
    node.announced = Math.max(clientCount, node.answers);
    request.onClientCount(node.announced);
  }

  /** A node may give as many answers as it has announced clients. */
  private _onAck(uid: ServerId, requestId: string, value: unknown): void {
    const request = this._ackRequests.get(requestId);
    if (request === undefined) return;
    const node = nodeOf(request, uid);
    if (node.announced !== null && node.answers >= node.announced) return;
    node.answers++;
    request.onAck(value);
  }

  // To other nodes, then here

  override async broadcast(packet: any, opts: BroadcastOptions): Promise<void> {
    let offset: Offset | undefined;
    if (!opts.flags?.local) {
      offset = await this._publishFirst({ type: MessageType.BROADCAST, data: { opts: encodeOptions(opts), packet } });
    }
    this._deliver(packet, opts, offset);
  }

  /** Delivers to the sockets of this node; an event that can be recovered gets its offset, if there is one. */
  private _deliver(packet: any, opts: BroadcastOptions, offset: Offset | undefined): void {
    const isRecoverable =
      Boolean(offset) &&
      Boolean(this.nsp.server.opts?.connectionStateRecovery) &&
      packet.type === EVENT &&
      packet.id === undefined &&
      !opts.flags?.volatile;
    if (!isRecoverable) return this._broadcastLocally(packet, opts, packet);
    // The transport may still hold the packet, and `onAnyOutgoing` listeners don't see the offset: a packet of its own.
    this._broadcastLocally({ ...packet, data: [...packet.data, offset] }, opts, packet);
  }

  override broadcastWithAck(
    packet: any,
    opts: BroadcastOptions,
    clientCountCallback: (clientCount: number) => void,
    ack: (...args: any[]) => void,
  ): void {
    if (!opts.flags?.local) {
      const requestId = randomId();
      this._ackRequests.set(requestId, { onClientCount: clientCountCallback, onAck: ack, byNode: new Map() });
      this.publish({ type: MessageType.BROADCAST, data: { opts: encodeOptions(opts), packet: { ...packet }, requestId } });
      const timeoutMs = opts.flags?.timeout;
      if (timeoutMs !== undefined) setTimeout(() => this._ackRequests.delete(requestId), timeoutMs).unref?.();
    }
    super.broadcastWithAck(packet, opts, clientCountCallback, ack);
  }

  override async addSockets(opts: BroadcastOptions, rooms: Room[]): Promise<void> {
    if (!opts.flags?.local) {
      await this._publishFirst({ type: MessageType.SOCKETS_JOIN, data: { opts: encodeOptions(opts), rooms } });
    }
    void super.addSockets(opts, rooms);
  }

  override async delSockets(opts: BroadcastOptions, rooms: Room[]): Promise<void> {
    if (!opts.flags?.local) {
      await this._publishFirst({ type: MessageType.SOCKETS_LEAVE, data: { opts: encodeOptions(opts), rooms } });
    }
    void super.delSockets(opts, rooms);
  }

  override async disconnectSockets(opts: BroadcastOptions, close: boolean): Promise<void> {
    if (!opts.flags?.local) {
      await this._publishFirst({ type: MessageType.DISCONNECT_SOCKETS, data: { opts: encodeOptions(opts), close } });
    }
    void super.disconnectSockets(opts, close);
  }

  override async fetchSockets(opts: BroadcastOptions): Promise<any[]> {
    const localSockets = await super.fetchSockets(opts);
    if (opts.flags?.local) return localSockets;
    const expected = await this._expected();
    if (sizeOf(expected) === 0) return localSockets;
    return new Promise((resolve, reject) => {
      const requestId = this._ask(expected, opts.flags?.timeout ?? DEFAULT_TIMEOUT_MS, (error, remoteSockets) => {
        if (error !== null) reject(error);
        else resolve([...localSockets, ...remoteSockets]);
      });
      this.publish({ type: MessageType.FETCH_SOCKETS, data: { opts: encodeOptions(opts), requestId } });
    });
  }

  override async serverSideEmit(packet: any[]): Promise<unknown> {
    const ack = packet[packet.length - 1];
    if (typeof ack !== "function") return this.publish({ type: MessageType.SERVER_SIDE_EMIT, data: { packet } });
    const others = this._expected();
    const expected = others instanceof Promise ? await others : others; // known at once: asked at once, in the order of the calls
    if (sizeOf(expected) === 0) return ack(null, []);
    const requestId = this._ask(expected, DEFAULT_TIMEOUT_MS, AsyncResource.bind(ack)); // answers come in their own context
    return this.publish({ type: MessageType.SERVER_SIDE_EMIT, data: { packet: packet.slice(0, -1), requestId } });
  }

  /**
   * The other nodes, as many or as well as they are known.
   * @internal
   */
  _expected(): Expected | Promise<Expected> {
    return Promise.resolve(this.serverCount()).then((count) => Math.max(0, count - 1));
  }

  private _ask(expected: Expected, timeoutMs: number, onDone: (error: Error | null, answers: unknown[]) => void): string {
    const requestId = randomId();
    const request = new PendingRequest(expected, timeoutMs, (error, answers) => {
      this._requests.delete(requestId);
      onDone(error, answers);
    });
    this._requests.set(requestId, request);
    return requestId;
  }

  // Sending, for this class and for subclasses

  /** Signs and sends a message to all nodes; nobody waits, and a failure is the transport's own affair. */
  protected publish(message: UnsignedMessage): void {
    this.publishAndReturnOffset(message).catch(ignore);
  }

  /** Signs and sends a message to all nodes. */
  protected async publishAndReturnOffset(message: UnsignedMessage): Promise<Offset> {
    return this.doPublish(this._sign(message));
  }

  /** Signs and sends a response to one node; a failure shows there, as a missing answer. */
  protected publishResponse(requesterUid: ServerId, response: UnsignedResponse): void {
    const send = async (): Promise<void> => this.doPublishResponse(requesterUid, this._sign(response));
    send().catch(ignore);
  }

  /** Sends and waits until that has succeeded or failed: a broken transport must not keep this node's own clients waiting. */
  private async _publishFirst(message: UnsignedMessage): Promise<Offset | undefined> {
    try {
      return await this.publishAndReturnOffset(message);
    } catch {
      return undefined; // delivered on this node all the same
    }
  }

  private _sign<T extends object>(message: T): T & { uid: ServerId; nsp: string } {
    return Object.assign(message, { uid: this.uid, nsp: this.nsp.name as string });
  }
}

/** A transport's failure after fire-and-forget: transports report their own errors, and requests have time-outs. */
function ignore(): void {}

function sizeOf(expected: Expected): number {
  return typeof expected === "number" ? expected : expected.size;
}

function nodeOf(request: AckRequest, uid: ServerId): { announced: number | null; answers: number } {
  let node = request.byNode.get(uid);
  if (node === undefined) request.byNode.set(uid, (node = { announced: null, answers: 0 }));
  return node;
}

/** A socket as other nodes get to see it. `sessionStore` is left out: sessions of Express put it there, and it is circular. */
function describe(socket: any): unknown {
  const { sessionStore: _, ...handshake } = socket.handshake ?? {};
  return { id: socket.id, handshake, rooms: [...(socket.rooms ?? [])], data: socket.data };
}

function forgetAcksLater(sockets: readonly any[], packet: any, timeoutMs: number): void {
  setTimeout(() => {
    for (const socket of sockets) socket.acks.delete?.(packet.id);
  }, timeoutMs).unref?.();
}
