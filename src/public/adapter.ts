export {
  Adapter,
  type BroadcastFlags,
  type BroadcastOptions,
  type PrivateSessionId,
  type Room,
  type Session,
  type SocketId,
} from "../server/adapter";
export { SessionAwareAdapter } from "../server/session-aware-adapter";
export { ClusterAdapter } from "../adapters/cluster-adapter";
export { type ClusterAdapterOptions, ClusterAdapterWithHeartbeat } from "../adapters/heartbeat-cluster-adapter";
export { type ClusterMessage, type ClusterResponse, MessageType, type Offset, type ServerId } from "../adapters/messages";
