/*
 * The entry `roomcast/adapter`: the adapter classes and their types.
 */
export { Adapter } from "../server/adapter/adapter";
export type {
  BroadcastFlags,
  BroadcastOptions,
  PrivateSessionId,
  Room,
  RestorableSession as Session,
  SocketId,
} from "../server/adapter/contract";
export { SessionAwareAdapter } from "../server/adapter/session-aware-adapter";
export { ClusterAdapter } from "../cluster/cluster-adapter";
export { ClusterAdapterWithHeartbeat } from "../cluster/heartbeat-cluster-adapter";
export type { ClusterAdapterOptions } from "../cluster/heartbeats";
export { LinkedAdapter, linkedAdapter } from "../cluster/linked-adapter";
export type { LinkCounters } from "../cluster/health";
export type { Channel, Link, LinkListener, LinkServer, Receipt, Receiver } from "../cluster/link";
export type { LinkOptions } from "../cluster/link-hub";
export { type ClusterMessage, type ClusterResponse, MessageType, type Offset, type ServerId } from "../cluster/messages";
