import { Client } from "socket.io/dist/client";
import { Namespace, type ExtendedError } from "socket.io/dist/namespace";
import { ParentNamespace } from "socket.io/dist/parent-namespace";
import type { DisconnectReason, Handshake, SocketReservedEventsMap } from "socket.io/dist/socket-types";
import type { Server } from "socket.io";

export function deep_paths_give_the_same_types(io: Server, error: ExtendedError, reason: DisconnectReason, handshake: Handshake) {
  const namespace: Namespace = io.of("/");
  const parent = io.of(/x/) as ParentNamespace;
  const children: Set<Namespace> = parent.children;
  const listener: SocketReservedEventsMap["disconnect"] = () => {};
  return [namespace, children, Client, error, reason, handshake, listener];
}
