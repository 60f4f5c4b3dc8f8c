import "./broadcast-operator"; // tools that patch it wait for the entry to load it
import type { BroadcastOperator } from "./server/broadcast";
import { Namespace, type ExtendedError } from "./server/namespace";
import type { DisconnectReason } from "./server/disconnect-reason";
import type { DefaultEventsMap } from "./server/events";
import type { ListenerErrorContext } from "./server/listener-errors";
import type { ServerOptions } from "./server/options";
import type { RemoteSocket } from "./server/remote-socket";
import { Server } from "./server/server";
import { Socket } from "./socket";
import type { Event } from "./server/socket-middleware";

/*
 * The public door. `require` gives a function that makes a server, with the classes as members; `import` the classes.
 * The classes are re-exported under their own names, so that `declare module` can add members to them.
 */

export { Server, Namespace, Socket };
export type {
  BroadcastOperator,
  DefaultEventsMap,
  DisconnectReason,
  Event,
  ExtendedError,
  ListenerErrorContext,
  RemoteSocket,
  ServerOptions,
};

/** Makes a server; takes what the constructor takes, and needs no `new`. */
function createServer(...args: ConstructorParameters<typeof Server>): Server {
  return new Server(...args);
}

module.exports = Object.assign(createServer, { Server, Namespace, Socket });
