// What the nodes of a cluster tell and ask each other, whatever carries it. The walk "a cluster message in" goes on here, at `onMessage`.
import { AsyncResource } from "node:async_hooks";
import createDebug from "debug";
import { EncodingError } from "../errors";
import { encodingError } from "../protocol/encoding-failure";
import { PacketType } from "../protocol/packet";
import { ignore } from "../support/ignore";
import { quoted } from "../support/log-text";
import type { Adapter } from "../server/adapter/adapter";
import type { BroadcastOptions, Room } from "../server/adapter/contract";
import { describeFound } from "../server/broadcast/finding";
import { adapterReceive } from "../server/channels";
import { type AckCallback, forgetAcksLater, withLeave } from "../server/socket/acks";
import { AckRequest } from "./ack-request";
import { encodeForAll } from "./encode-for-all";
import {
  ANSWER,
  BROADCAST_LEAVE,
  type ClusterMessage,
  decodeOptions,
  encodeOptions,
  isResponse,
  MessageType,
  nameOfType,
  type Offset,
  QUESTION,
  type Question,
  randomId,
  readMessage,
  readResponse,
  readSocketsPart,
  type ServerId,
  type UnsignedMessage,
  type UnsignedResponse,
} from "./messages";
import { type OnAnswers, type RequestMessage, type RequestPort, Requests } from "./requests";
import { answerInParts, answerWithSockets, needsParts, type SocketsAnswerPort, unencodableIn } from "./sockets-answer";

const debug = createDebug("socket.io-adapter");

const { EVENT } = PacketType;
/** Events that only the server itself may emit. Messages of other nodes with such a name are ignored. */
const RESERVED_SERVER_EVENTS = new Set(["connect", "connection", "new_namespace", "newListener", "removeListener"]);

/** What the node needs: the sockets of this process, and ways to the other nodes. Implemented by `cluster-adapter.ts`. */
export interface NodePort extends RequestPort {
  readonly adapter: Adapter;
  readonly uid: ServerId;
  /** The operations of the in-memory adapter, on the sockets of this node. */
  readonly here: Pick<Adapter, "broadcastWithAck" | "addSockets" | "delSockets" | "disconnectSockets">;
  /** Whether a message comes from another node, of the same namespace. */
  accepts(message: { uid: ServerId; nsp: string }): boolean;
  /** A heartbeat, or the goodbye of a node. */
  onHeartbeat(message: ClusterMessage): void;
  /** Sends a message to all nodes. @returns its offset in the log of the backend, or `""` */
  publish(message: UnsignedMessage): Promise<Offset>;
  respond(requester: ServerId, response: UnsignedResponse): Promise<unknown>;
  /** Whether a node runs this software. */
  isOwnNode(uid: ServerId): boolean;
  /** Resolves when what other nodes send to the rooms of this node arrives; null if it does already. */
  settled(): Promise<void> | null;
  /** Whether a broadcast reaches the sockets of this node before it is published: no offset is needed for recovery. */
  deliversFirst(): boolean;
}

/** One namespace of one node. Sends and answers requests, with time-outs; the receivers of a broadcast are selected where they are connected. */
export class ClusterNode {
  /** Pending requests to the other nodes. */
  readonly requests: Requests;
  /** Broadcasts whose acknowledgements may still arrive, by request id. */
  readonly ackRequests = new Map<string, AckRequest>();
  /** Broadcasts whose publish hasn't settled. */
  pendingBroadcasts = 0;
  private lastBroadcast: Promise<void> | null = null;
  private readonly port: NodePort;
  private readonly adapter: Adapter;
  private readonly ackRequestIds = new WeakMap<object, string>();

  constructor(port: NodePort) {
    this.port = port;
    this.adapter = port.adapter;
    this.requests = new Requests(port, (message, cause) =>
      message.type === MessageType.SERVER_SIDE_EMIT ? this.encodingErrorOf(message.data.packet, cause) : null,
    );
  }

  // Messages of other nodes

  /** @param message  any value: it is checked here */
  onMessage(message: unknown, offset: Offset | undefined): void {
    if (isResponse(message)) return this.onResponse(message);
    const checked = readMessage(message);
    if (checked === null && debug.enabled) debug("a message of another server is ignored: it is malformed");
    if (checked === null || !this.port.accepts(checked)) return;
    this.report(checked);
    this.act(checked, offset);
  }

  /** @param response  any value: it is checked here */
  onResponse(response: unknown): void {
    const checked = readResponse(response);
    if (checked === null || !this.port.accepts(checked)) return;
    const { uid, data } = checked;
    this.report(checked, data.requestId);
    switch (checked.type) {
      case MessageType.FETCH_SOCKETS_RESPONSE:
        return this.requests.onAnswer(checked, checked.data.sockets);
      case MessageType.SERVER_SIDE_EMIT_RESPONSE:
        return this.requests.onAnswer(checked, [checked.data.packet]);
      case ANSWER: {
        const part = readSocketsPart(checked.data.value);
        if (part !== null) return this.requests.onPart(checked, part);
        return this.requests.onAnswer(checked, [checked.data.value]);
      }
      case MessageType.BROADCAST_CLIENT_COUNT:
        return this.ackRequests.get(data.requestId)?.onClientCount(uid, checked.data.clientCount);
      case MessageType.BROADCAST_ACK:
        return this.ackRequests.get(data.requestId)?.onAck(uid, checked.data.packet);
      case BROADCAST_LEAVE:
        return this.ackRequests.get(data.requestId)?.onLeave(uid);
    }
  }

  private report({ type, uid }: { type: number; uid: ServerId }, requestId?: string): void {
    if (debug.enabled && requestId === undefined) debug("%s from %s", nameOfType(type), quoted(uid));
    else if (debug.enabled) debug("%s from %s for the request %s", nameOfType(type), quoted(uid), quoted(requestId));
    if (adapterReceive.hasSubscribers) adapterReceive.publish({ namespace: this.adapter.nsp, type: nameOfType(type), node: uid });
  }

  private act(message: ClusterMessage, offset: Offset | undefined): void {
    const { uid } = message;
    const { here } = this.port;
    switch (message.type) {
      case MessageType.BROADCAST:
        // Most rooms have no sockets on this node. Hot: bench scenario "cluster message for a room elsewhere".
        if (message.data.requestId === undefined && !this.adapter._index.hasAny(message.data.opts.rooms)) return;
        return this.deliver(message.data, uid, offset);
      case MessageType.SOCKETS_JOIN:
        void here.addSockets(decodeOptions(message.data.opts), message.data.rooms);
        return this.answerWhenSettled(uid, message.data.requestId);
      case MessageType.SOCKETS_LEAVE:
        void here.delSockets(decodeOptions(message.data.opts), message.data.rooms);
        return this.answer(uid, message.data.requestId, null);
      case MessageType.DISCONNECT_SOCKETS:
        void here.disconnectSockets(decodeOptions(message.data.opts), message.data.close === true);
        return this.answer(uid, message.data.requestId, null);
      case MessageType.FETCH_SOCKETS:
        return this.describeSockets(uid, message.data.requestId, this.adapter._select(decodeOptions(message.data.opts)));
      case MessageType.SERVER_SIDE_EMIT:
        return this.emitHere(uid, message.data.packet, message.data.requestId);
      case QUESTION:
        return this.answer(uid, message.data.requestId, this.answerHere(message.data.question, decodeOptions(message.data.opts)));
      default:
        return this.port.onHeartbeat(message);
    }
  }

  /** Sends a broadcast of another node to the sockets of this one. */
  private deliver(
    { opts: encoded, packet, requestId }: { opts: Parameters<typeof decodeOptions>[0]; packet: any; requestId?: string },
    requester: ServerId,
    offset: Offset | undefined,
  ): void {
    const opts = decodeOptions(encoded);
    try {
      if (requestId === undefined) this.sendWithOffset(packet, null, opts, offset);
      else this.broadcastForRequester(requester, requestId, packet, opts);
    } catch (error) {
      if (!(error instanceof EncodingError)) throw error;
      this.warnOfEncoding("a broadcast of another server was dropped", error); // ROB-422
    }
  }

  private broadcastForRequester(requester: ServerId, requestId: string, packet: any, opts: BroadcastOptions): void {
    const timeoutMs = opts.flags?.timeout;
    // Entries of clients that never acknowledge are removed: after the time-out the requester ignores acknowledgements.
    if (timeoutMs !== undefined) forgetAcksLater(this.adapter._select(opts), packet, timeoutMs);
    this.port.here.broadcastWithAck(
      packet,
      opts,
      (clientCount) => this.respond(requester, { type: MessageType.BROADCAST_CLIENT_COUNT, data: { requestId, clientCount } }),
      withLeave(
        (value) => this.respond(requester, { type: MessageType.BROADCAST_ACK, data: { requestId, packet: value } }),
        () => this.respond(requester, { type: BROADCAST_LEAVE, data: { requestId } }),
      ),
    );
  }

  private describeSockets(requester: ServerId, requestId: string, sockets: readonly any[]): void {
    const port: SocketsAnswerPort = {
      respond: (response) => this.port.respond(requester, response),
      warn: (what, reason) => this.warnOfEncoding(what, reason),
    };
    if (needsParts(sockets) && this.port.isOwnNode(requester)) void answerInParts(port, requestId, sockets);
    else answerWithSockets(port, requestId, sockets);
  }

  private emitHere(requester: ServerId, packet: any[], requestId: string | undefined): void {
    const [event] = packet;
    if (RESERVED_SERVER_EVENTS.has(event)) return;
    if (event === "error" && this.adapter.nsp.listenerCount?.("error") === 0) return; // without a listener `emit` would throw
    if (requestId === undefined) return this.adapter.nsp._onServerSideEmit(packet);
    let hasAnswered = false;
    this.adapter.nsp._onServerSideEmit([
      ...packet,
      (value: unknown) => {
        if (hasAnswered) return; // CLU-16, SSE-5
        hasAnswered = true;
        const response = { type: MessageType.SERVER_SIDE_EMIT_RESPONSE, data: { requestId, packet: value } };
        this.respond(requester, response, () => {
          const reason = unencodableIn([value]);
          if (reason === null) return;
          hasAnswered = false; // ROB-422: the next answer is sent
          this.warnOfEncoding(`the answer to ${quoted(event)} of another server was not sent`, reason);
        });
      },
    ]);
  }

  /** Answers a request of this software; without `requestId` no answer is expected. */
  private answer(requester: ServerId, requestId: string | undefined, value: unknown): void {
    if (requestId !== undefined) this.respond(requester, { type: ANSWER, data: { requestId, value } });
  }

  private answerWhenSettled(requester: ServerId, requestId: string | undefined): void {
    const settled = requestId === undefined ? null : this.port.settled();
    if (settled === null) this.answer(requester, requestId, null);
    else void settled.then(() => this.answer(requester, requestId, null));
  }

  private answerHere(question: Question, opts: BroadcastOptions): unknown {
    switch (question.about) {
      case "count":
        return this.adapter._select(opts).length;
      case "has":
        return this.adapter._select(opts).some(({ id }) => id === question.id);
      case "rooms":
        return this.adapter._index.sharedRooms();
      case "find":
        return describeFound(this.adapter.nsp, question.text);
    }
  }

  // Messages to other nodes

  broadcast(packet: any, opts: BroadcastOptions): Promise<void> {
    if (opts.flags?.local) {
      this.sendWithOffset(packet, null, opts, undefined);
      return Promise.resolve();
    }
    // ROB-422: `emit` throws if the packet cannot be encoded, even if no socket of this node matches.
    const frames = this.encodeForAll(packet);
    if (!this.port.deliversFirst()) return (this.lastBroadcast = this.broadcastToAll(packet, frames, opts));
    // The message is made first: what is delivered gets a `nsp`, and listeners may change the data.
    const published = this.tryPublish({ type: MessageType.BROADCAST, data: { opts: encodeOptions(opts), packet: { ...packet } } });
    this.adapter._sendLocally(packet, frames, opts, packet);
    return published.then(ignore);
  }

  private encodeForAll(packet: any): readonly unknown[] {
    return encodeForAll(this.adapter.encoder, packet, this.adapter.nsp.name);
  }

  private async broadcastToAll(packet: any, frames: readonly unknown[], opts: BroadcastOptions): Promise<void> {
    this.pendingBroadcasts++;
    const offset = await this.tryPublish({ type: MessageType.BROADCAST, data: { opts: encodeOptions(opts), packet } });
    this.pendingBroadcasts--;
    this.sendWithOffset(packet, frames, opts, offset); // CLU-10
  }

  /**
   * Sends a packet to the sockets of this node. An event that can be recovered gets the offset, if there is one (CLU-11, CLU-12).
   * @param frames  the encoded packet, without an offset; null: it is encoded here
   */
  private sendWithOffset(packet: any, frames: readonly unknown[] | null, opts: BroadcastOptions, offset: Offset | undefined): void {
    const isRecoverable =
      Boolean(offset) &&
      Boolean(this.adapter.nsp.server.opts?.connectionStateRecovery) &&
      packet.type === EVENT &&
      packet.id === undefined &&
      !opts.flags?.volatile;
    if (!isRecoverable) return this.adapter._sendLocally(packet, frames, opts, packet);
    // A copy, since the transport may still hold the packet, and `onAnyOutgoing` listeners must not get the offset (ANY-5).
    this.adapter._sendLocally({ ...packet, data: [...packet.data, offset] }, null, opts, packet);
  }

  broadcastWithAck(packet: any, opts: BroadcastOptions, clientCountCallback: (clientCount: number) => void, ack: AckCallback): void {
    if (!opts.flags?.local) {
      this.encodeForAll(packet); // throws here if the packet cannot be encoded (ROB-422)
      const requestId = randomId();
      const expected = this.port.expectedResponders("any");
      this.ackRequests.set(requestId, new AckRequest(clientCountCallback, ack, expected instanceof Promise ? [] : expected.nodes));
      this.ackRequestIds.set(packet, requestId);
      void this.tryPublish({ type: MessageType.BROADCAST, data: { opts: encodeOptions(opts), packet: { ...packet }, requestId } });
      const timeoutMs = opts.flags?.timeout;
      if (timeoutMs !== undefined) setTimeout(() => this.ackRequests.delete(requestId), timeoutMs).unref?.();
    }
    this.port.here.broadcastWithAck(packet, opts, clientCountCallback, ack);
  }

  /** The acknowledgements of a broadcast are complete, or have failed. @returns ids of the nodes that have not told their number of clients */
  onAcksEnd(packet: object): ServerId[] {
    const requestId = this.ackRequestIds.get(packet) ?? "";
    const silent = this.ackRequests.get(requestId)?.silentNodes() ?? [];
    this.ackRequests.delete(requestId);
    return silent;
  }

  addSockets(opts: BroadcastOptions, rooms: Room[], isAnswered: boolean): Promise<void> {
    const data = { opts: encodeOptions(opts), rooms };
    return this.applyOnAllNodes(
      { type: MessageType.SOCKETS_JOIN, data },
      opts,
      isAnswered,
      () => void this.port.here.addSockets(opts, rooms),
    );
  }

  delSockets(opts: BroadcastOptions, rooms: Room[], isAnswered: boolean): Promise<void> {
    const data = { opts: encodeOptions(opts), rooms };
    return this.applyOnAllNodes(
      { type: MessageType.SOCKETS_LEAVE, data },
      opts,
      isAnswered,
      () => void this.port.here.delSockets(opts, rooms),
    );
  }

  disconnectSockets(opts: BroadcastOptions, close: boolean, isAnswered: boolean): Promise<void> {
    const data = { opts: encodeOptions(opts), close };
    const applyHere = (): void => void this.port.here.disconnectSockets(opts, close);
    return this.applyOnAllNodes({ type: MessageType.DISCONNECT_SOCKETS, data }, opts, isAnswered, applyHere);
  }

  /**
   * Publishes an operation on sockets and applies it to the sockets of this node: at once, or after earlier broadcasts that are still
   * pending, so that the order is kept (CLU-14, ROB-561).
   * @param isAnswered  whether the other nodes tell when they have done it
   */
  private applyOnAllNodes(
    message: UnsignedMessage & { data: { requestId?: string } },
    opts: BroadcastOptions,
    isAnswered: boolean,
    applyHere: () => void,
  ): Promise<void> {
    if (opts.flags?.local) {
      applyHere();
      return Promise.resolve();
    }
    // Without nodes that answer it is published all the same: others may hear it.
    const isAsked = isAnswered && this.knowsOwnNodes();
    const told: Promise<unknown> = isAsked ? this.requests.ask(message, "own", opts.flags?.timeout) : this.tryPublish(message);
    if (this.pendingBroadcasts > 0) return Promise.all([told, this.lastBroadcast!.then(applyHere)]).then(ignore);
    applyHere();
    return Promise.all([told, this.port.settled()]).then(ignore);
  }

  private knowsOwnNodes(): boolean {
    const others = this.port.expectedResponders("own");
    return others instanceof Promise || others.nodes.size > 0;
  }

  async fetchSockets(opts: BroadcastOptions, localSockets: any[]): Promise<any[]> {
    if (opts.flags?.local) return localSockets;
    const message: RequestMessage = { type: MessageType.FETCH_SOCKETS, data: { opts: encodeOptions(opts), requestId: "" } };
    return this.askOthers(localSockets, message, "any", opts.flags?.timeout);
  }

  /** Asks the other nodes. @returns their answers, that of this node first; rejects as `fetchSockets` does */
  async question(question: Question, opts: BroadcastOptions): Promise<unknown[]> {
    const own = [this.answerHere(question, opts)];
    if (opts.flags?.local) return own;
    return this.askOthers(
      own,
      { type: QUESTION, data: { opts: encodeOptions(opts), question, requestId: "" } },
      "own",
      opts.flags?.timeout,
    );
  }

  /** @returns what this node has, then the answers; an error has what arrived until then as `responses`, in the same order */
  private async askOthers(own: unknown[], message: RequestMessage, kind: "any" | "own", timeoutMs?: number): Promise<unknown[]> {
    try {
      return [...own, ...(await this.requests.ask(message, kind, timeoutMs))];
    } catch (error) {
      const { responses } = error as { responses?: unknown[] };
      if (responses !== undefined) (error as { responses: unknown[] }).responses = [...own, ...responses];
      throw error;
    }
  }

  async serverSideEmit(packet: any[]): Promise<void> {
    const ack = packet[packet.length - 1];
    if (typeof ack !== "function") return this.send({ type: MessageType.SERVER_SIDE_EMIT, data: { packet } });
    const others = this.port.expectedResponders("any");
    const expected = others instanceof Promise ? await others : others; // CLU-16: without `await` the order of calls is kept
    const message = { type: MessageType.SERVER_SIDE_EMIT, data: { packet: packet.slice(0, -1), requestId: "" } };
    this.requests.send(message, expected, AsyncResource.bind(ack) as OnAnswers); // EVT-34
  }

  /** Sends a message without waiting for the result. Failures are told by the backend. */
  send(message: UnsignedMessage): void {
    this.port.publish(message).catch((cause: unknown) => {
      const error = message.type === MessageType.SERVER_SIDE_EMIT ? this.encodingErrorOf(message.data.packet, cause) : null;
      if (error !== null) this.warnOfEncoding("an event was not sent to the other servers", error);
    });
  }

  /** The error if an event for other servers cannot be encoded; null if that was not the reason. */
  private encodingErrorOf(packet: any[], cause: unknown): EncodingError | null {
    if (unencodableIn(packet.slice(1)) === null) return null;
    return encodingError({ type: EVENT, nsp: this.adapter.nsp.name, data: packet }, cause);
  }

  /**
   * Sends a response to one node. After a failure that node runs into its time-out.
   * @param onFailure  called with the error that the backend threw or rejected with
   */
  private respond(requester: ServerId, response: UnsignedResponse, onFailure: (error: unknown) => void = ignore): void {
    this.port.respond(requester, response).catch(onFailure);
  }

  private warnOfEncoding(what: string, reason: unknown): void {
    this.adapter.nsp.server._warnings?.warn("ROOMCAST_CLUSTER_ENCODING", `namespace ${quoted(this.adapter.nsp.name)}: ${what}`, reason);
  }

  /** Sends a message to all nodes and waits for the result. Never rejects: the sockets of this node must be served all the same (CLU-10). */
  private async tryPublish(message: UnsignedMessage): Promise<Offset | undefined> {
    try {
      return await this.port.publish(message);
    } catch (error) {
      if (debug.enabled) debug("%s was not published: %s", nameOfType(message.type), quoted(error));
      return undefined; // no offset: clients cannot recover from this packet
    }
  }

  // Nodes

  /** A node has left or died: nothing waits for it any more (CLU-25). */
  onNodeRemoved(uid: ServerId): void {
    this.requests.onNodeRemoved(uid);
    for (const request of [...this.ackRequests.values()]) request.onNodeRemoved(uid);
  }
}
