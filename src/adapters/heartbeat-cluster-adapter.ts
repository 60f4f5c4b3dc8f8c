import { runInRoot } from "../support/tick";
import { ClusterAdapter } from "./cluster-adapter";
import { type ClusterMessage, type ClusterResponse, MessageType, type Offset, type ServerId, type UnsignedMessage } from "./messages";
import type { Expected } from "./pending-request";

/*
 * A cluster adapter for transports that don't know who is there: nodes announce themselves, and whoever has been
 * silent for too long is gone.
 */

/** How nodes notice that another one is gone. */
export interface ClusterAdapterOptions {
  /** Longest silence of this node, in milliseconds. Default 5,000. */
  heartbeatInterval?: number;
  /** Silence after which another node is taken for dead, in milliseconds. Default 10,000. */
  heartbeatTimeout?: number;
}

const DEFAULT_INTERVAL_MS = 5_000;
const DEFAULT_TIMEOUT_MS = 10_000;
const CLEANUP_INTERVAL_MS = 1_000;
/** More nodes than anybody runs: a bus full of invented ones must not fill the memory. */
const NODES_MAX = 4_096;
/** The id under which processes without sockets publish. */
const EMITTER_UID = "emitter";

/** An adapter for any transport that reaches all nodes; it finds out itself who they are. */
export abstract class ClusterAdapterWithHeartbeat extends ClusterAdapter {
  /** @internal */ readonly _intervalMs: number;
  /** @internal */ readonly _timeoutMs: number;
  /** @internal When each node was last heard of. */ readonly _nodes: Map<ServerId, number>;
  /** @internal */ _heartbeatTimer: NodeJS.Timeout | null;
  /** @internal */ _cleanupTimer: NodeJS.Timeout | null;
  /** @internal */ _isClosed: boolean;

  protected constructor(nsp: any, opts?: ClusterAdapterOptions) {
    super(nsp);
    this._intervalMs = opts?.heartbeatInterval ?? DEFAULT_INTERVAL_MS;
    this._timeoutMs = opts?.heartbeatTimeout ?? DEFAULT_TIMEOUT_MS;
    this._nodes = new Map();
    this._heartbeatTimer = null;
    this._cleanupTimer = null;
    this._isClosed = false;
  }

  /** Announces this node. May be called again. */
  override init(): Promise<void> | void {
    this._isClosed = false;
    this.publish({ type: MessageType.INITIAL_HEARTBEAT });
  }

  /** Says good-bye and stops the timers. */
  override close(): Promise<void> | void {
    this._isClosed = true;
    this.publish({ type: MessageType.ADAPTER_CLOSE });
    if (this._heartbeatTimer !== null) clearTimeout(this._heartbeatTimer);
    if (this._cleanupTimer !== null) clearInterval(this._cleanupTimer);
    this._heartbeatTimer = this._cleanupTimer = null;
    this._nodes.clear();
    this._ackRequests.clear();
  }

  /** This node and those heard of lately. */
  override serverCount(): Promise<number> {
    return Promise.resolve(1 + this._nodes.size);
  }

  /** @internal */
  override _expected(): Expected {
    return new Set(this._nodes.keys());
  }

  // Public here, as adapters know it
  override onMessage(message: ClusterMessage, offset?: Offset): void {
    super.onMessage(message, offset);
  }

  override onResponse(response: ClusterResponse): void {
    super.onResponse(response);
  }

  override publish(message: UnsignedMessage): void {
    super.publish(message);
  }

  protected override publishAndReturnOffset(message: UnsignedMessage): Promise<Offset> {
    this._restartHeartbeat();
    return super.publishAndReturnOffset(message);
  }

  /** Every message is a sign of life. @internal */
  override _accepts(message: { uid: ServerId; nsp: string; type?: number }): boolean {
    if (!super._accepts(message)) return false;
    if (message.type !== MessageType.ADAPTER_CLOSE) this._markAlive(message.uid);
    return true;
  }

  /** @internal */
  override _onChecked(message: ClusterMessage, offset: Offset | undefined): void {
    if (message.type === MessageType.INITIAL_HEARTBEAT) this.publish({ type: MessageType.HEARTBEAT });
    else if (message.type === MessageType.ADAPTER_CLOSE) this._removeNode(message.uid);
    else super._onChecked(message, offset);
  }

  private _markAlive(uid: ServerId): void {
    if (uid === EMITTER_UID || this._isClosed) return;
    if (!this._nodes.has(uid) && this._nodes.size >= NODES_MAX) return;
    this._nodes.set(uid, Date.now());
    if (this._cleanupTimer !== null) return;
    runInRoot(() => {
      this._cleanupTimer = setInterval(removeSilentNodes, CLEANUP_INTERVAL_MS, this);
      this._cleanupTimer.unref?.();
    });
  }

  /** @internal */
  _removeSilentNodes(): void {
    const heardSince = Date.now() - this._timeoutMs;
    for (const [uid, heardAt] of this._nodes) if (heardAt < heardSince) this._removeNode(uid);
  }

  private _removeNode(uid: ServerId): void {
    if (!this._nodes.delete(uid)) return;
    for (const request of [...this._requests.values()]) request.onNodeGone(uid);
  }

  /** Whatever is published to all counts as a sign of life; the heartbeat comes only after silence. */
  private _restartHeartbeat(): void {
    if (this._isClosed) return;
    if (this._heartbeatTimer !== null) clearTimeout(this._heartbeatTimer);
    runInRoot(() => {
      this._heartbeatTimer = setTimeout(sendHeartbeat, this._intervalMs, this);
      this._heartbeatTimer.unref?.();
    });
  }

  /** @internal */
  _sendHeartbeat(): void {
    this.publish({ type: MessageType.HEARTBEAT });
  }
}

function sendHeartbeat(adapter: ClusterAdapterWithHeartbeat): void {
  adapter._sendHeartbeat();
}

function removeSilentNodes(adapter: ClusterAdapterWithHeartbeat): void {
  adapter._removeSilentNodes();
}
