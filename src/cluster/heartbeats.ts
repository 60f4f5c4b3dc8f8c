// Which other nodes have a namespace, as the original finds out: they send heartbeats, and are gone when they are silent.
import createDebug from "debug";
import { quoted } from "../support/log-text";
import { runInRoot } from "../support/tick";
import { EMITTER, MessageType, type ServerId } from "./messages";

/** Options of the heartbeats between nodes. */
export interface ClusterAdapterOptions {
  /** Time after its last message after which this node sends a heartbeat, in milliseconds. Default 5,000. */
  heartbeatInterval?: number;
  /** Time without a message after which another node is removed, in milliseconds. Default 10,000. */
  heartbeatTimeout?: number;
}

const debug = createDebug("socket.io-adapter");

const { INITIAL_HEARTBEAT, HEARTBEAT, ADAPTER_CLOSE } = MessageType;
const DEFAULT_INTERVAL_MS = 5_000;
const DEFAULT_TIMEOUT_MS = 10_000;
const CLEANUP_INTERVAL_MS = 1_000;
/** Limit of known nodes, above any real cluster: forged messages must not fill the memory. Further nodes are ignored. */
const NODES_MAX = 4_096;

/** A message without `data`: hello, heartbeat, goodbye. */
export type HeartbeatType = typeof INITIAL_HEARTBEAT | typeof HEARTBEAT | typeof ADAPTER_CLOSE;

/** What heartbeats need. */
export interface HeartbeatPort {
  send(type: HeartbeatType): void;
  onNodeRemoved(uid: ServerId): void;
}

/** The heartbeats of one namespace of one node (CLU-20 to CLU-29). */
export class Heartbeats {
  /** Time of the last message of each other node. */
  readonly nodes = new Map<ServerId, number>();
  private readonly port: HeartbeatPort;
  private readonly intervalMs: number;
  private readonly timeoutMs: number;
  private heartbeatTimer: NodeJS.Timeout | null = null;
  private cleanupTimer: NodeJS.Timeout | null = null;
  private isStopped = false;

  constructor(port: HeartbeatPort, options?: ClusterAdapterOptions) {
    this.port = port;
    this.intervalMs = options?.heartbeatInterval ?? DEFAULT_INTERVAL_MS;
    this.timeoutMs = options?.heartbeatTimeout ?? DEFAULT_TIMEOUT_MS;
  }

  /** Announces this node to the others (CLU-21). May be called again (ADP-2). */
  start(): void {
    this.isStopped = false;
    this.port.send(INITIAL_HEARTBEAT);
  }

  /** Tells the other nodes to remove this one (CLU-24). */
  stop(): void {
    this.isStopped = true;
    this.port.send(ADAPTER_CLOSE);
    if (this.heartbeatTimer !== null) clearTimeout(this.heartbeatTimer);
    if (this.cleanupTimer !== null) clearInterval(this.cleanupTimer);
    this.heartbeatTimer = this.cleanupTimer = null;
    this.nodes.clear();
  }

  /** Every message that is sent counts as a heartbeat, so the timer starts again (CLU-22). */
  onSent(): void {
    if (this.isStopped) return;
    if (this.heartbeatTimer !== null) clearTimeout(this.heartbeatTimer);
    runInRoot(() => {
      this.heartbeatTimer = setTimeout(sendHeartbeat, this.intervalMs, this);
      this.heartbeatTimer.unref?.();
    });
  }

  /** Every message shows that its node is alive (CLU-23). */
  onMessage({ uid, type }: { uid: ServerId; type?: number }): void {
    if (type === ADAPTER_CLOSE || uid === EMITTER || this.isStopped) return;
    if (!this.nodes.has(uid)) {
      if (this.nodes.size >= NODES_MAX) return;
      if (debug.enabled) debug("the server %s is there", quoted(uid));
    }
    this.nodes.set(uid, Date.now());
    if (this.cleanupTimer !== null) return;
    runInRoot(() => {
      this.cleanupTimer = setInterval(removeSilentNodes, CLEANUP_INTERVAL_MS, this);
      this.cleanupTimer.unref?.(); // CLU-28
    });
  }

  /** Answers a node that has started, removes one that leaves. */
  onHeartbeat({ uid, type }: { uid: ServerId; type?: number }): void {
    if (type === INITIAL_HEARTBEAT) this.port.send(HEARTBEAT);
    else if (type === ADAPTER_CLOSE) this.remove(uid);
  }

  /** @internal */
  _sendHeartbeat(): void {
    this.port.send(HEARTBEAT);
  }

  /** @internal */
  _removeSilentNodes(): void {
    const aliveSince = Date.now() - this.timeoutMs;
    for (const [uid, lastMessageAt] of this.nodes) if (lastMessageAt < aliveSince) this.remove(uid);
  }

  private remove(uid: ServerId): void {
    if (!this.nodes.delete(uid)) return;
    if (debug.enabled) debug("the server %s is gone", quoted(uid));
    this.port.onNodeRemoved(uid);
  }
}

function sendHeartbeat(heartbeats: Heartbeats): void {
  heartbeats._sendHeartbeat();
}

function removeSilentNodes(heartbeats: Heartbeats): void {
  heartbeats._removeSilentNodes();
}
