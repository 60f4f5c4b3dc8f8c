import { Server, Namespace, Socket as SocketClass } from "socket.io";
import type {
  Socket,
  RemoteSocket,
  BroadcastOperator,
  DefaultEventsMap,
  ExtendedError,
  ServerOptions,
  Event,
  DisconnectReason,
} from "socket.io";

export type Everything = [
  Socket,
  RemoteSocket<DefaultEventsMap, any>,
  BroadcastOperator<DefaultEventsMap, any>,
  ExtendedError,
  ServerOptions,
  Event,
  DisconnectReason,
];

declare module "socket.io" {
  interface Socket {
    userId: string;
  }
}

export const io = new Server();
export const namespace: Namespace = io.of("/x");
io.on("connection", (socket) => {
  socket.userId = "x";
  // @ts-expect-error a text
  socket.userId = 1;
});

export function takes(socket: SocketClass): string {
  return socket.userId;
}

export const names: string[] = Array.from(io._nsps.keys());

io.on("connection", ({ conn }) => {
  conn.transport.on("close", () => {});
  conn.transport.close();
});

export function sizes(): (number | undefined)[] {
  const { sessions, outbox, namespaces } = io.stats();
  return [sessions, outbox.bytes, namespaces["/"]?.adapter["rooms"]];
}
