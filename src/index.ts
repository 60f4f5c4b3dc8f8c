// The main entry of the package. `require` returns a function that makes a server, with the classes as members; `import` the classes.
import "./broadcast-operator"; // tools patch it when the entry loads it
import type { BroadcastOperator, PartialSockets } from "./server/broadcast/broadcast-operator";
import { ClusterError, EncodingError, LimitError, ProtocolError, RoomcastError, UsageError, type ErrorCode } from "./errors";
import { Namespace, type ExtendedError, type ListenerErrorContext } from "./server/namespace";
import type { DisconnectDescription, DisconnectDetails, DisconnectOptions, DisconnectReason } from "./server/socket/disconnect-reason";
import type { HealthHandler, HealthHandlerOptions, HealthOptions, HealthReason, ServerHealth } from "./server/health";
import type { DrainedOptions } from "./server/socket/drained";
import type { DefaultEventsMap } from "./server/events";
import type { DrainOptions, DrainResult } from "./server/http/drain";
import type { ServerOptions } from "./server/options";
import type { AckOptions } from "./server/socket/acks";
import type { SignalOptions } from "./server/signals";
import type { RemoteSocket } from "./server/broadcast/remote-socket";
import { Server } from "./server/server";
import type { NamespaceStats, ServerStats } from "./server/stats";
import type { NodeDescription } from "./server/adapter/contract";
import type { SlowReaderDecision, SlowReaderInfo, SlowReaders } from "./server/client/slow-readers";
import { Socket } from "./socket";
import type { Event } from "./server/socket/socket-middleware";

// Under their own names, so that `declare module` can add members to them.

export { Server, Namespace, Socket };
export { ClusterError, EncodingError, LimitError, ProtocolError, RoomcastError, UsageError };
export type { Channels } from "./metrics/subscriptions";
export type {
  AckOptions,
  BroadcastOperator,
  DefaultEventsMap,
  DisconnectDescription,
  DisconnectDetails,
  DisconnectOptions,
  DisconnectReason,
  DrainedOptions,
  DrainOptions,
  DrainResult,
  ErrorCode,
  Event,
  ExtendedError,
  HealthHandler,
  HealthHandlerOptions,
  HealthOptions,
  HealthReason,
  ListenerErrorContext,
  NamespaceStats,
  NodeDescription,
  PartialSockets,
  RemoteSocket,
  ServerHealth,
  ServerOptions,
  SignalOptions,
  ServerStats,
  SlowReaderDecision,
  SlowReaderInfo,
  SlowReaders,
};

/** Makes a server without `new`; same arguments as the constructor. */
function createServer(...args: ConstructorParameters<typeof Server>): Server {
  return new Server(...args);
}

module.exports = Object.assign(createServer, { Server, Namespace, Socket });
// Not enumerable, because programs that list the members of the function expect the three classes.
const errors = { ClusterError, EncodingError, LimitError, ProtocolError, RoomcastError, UsageError };
for (const [name, value] of Object.entries(errors)) Object.defineProperty(createServer, name, { value, configurable: true });
