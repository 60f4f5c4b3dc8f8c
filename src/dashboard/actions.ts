// What the page does to sockets, on all servers of the cluster.
import type { Server } from "../server/server";
import { countIn } from "./cluster-search";
import { TEXT_MAX } from "./listing";
import { ACTIONS, type DashboardAction } from "./options";

type AnyServer = Server<any, any, any, any>;

/** An action as a page asks for it. */
export interface ActionRequest {
  readonly action: DashboardAction;
  readonly namespace: string;
  /** Id of a socket, or a room. */
  readonly target: string;
  /** Of `join` and `leave`. */
  readonly room?: string;
  /** Of `send`. */
  readonly event?: string;
  readonly args?: readonly unknown[];
}

/** Why a request is none, in words for the page. */
export class ActionError extends Error {}

/** @throws ActionError */
export function parseAction(body: unknown): ActionRequest {
  const { action, namespace, target, room, event, args = [] } = (body ?? {}) as Record<string, unknown>;
  if (!ACTIONS.includes(action as DashboardAction)) throw new ActionError(`expected an action, one of ${ACTIONS.join(", ")}`);
  const request = { action: action as DashboardAction, namespace: text("namespace", namespace), target: text("target", target) };
  switch (request.action) {
    case "join":
    case "leave":
      return { ...request, room: text("room", room) };
    case "send":
      if (!Array.isArray(args)) throw new ActionError("expected args to be a list");
      return { ...request, event: text("event", event), args };
    case "disconnect":
      return request;
  }
}

function text(name: string, value: unknown): string {
  if (typeof value === "string" && value !== "" && value.length <= TEXT_MAX) return value;
  throw new ActionError(`expected ${name} to be a text of 1 to ${TEXT_MAX} characters`);
}

/**
 * Does it.
 * @returns the number of sockets that the target had
 * @throws ActionError if nothing was done
 */
export async function perform(io: AnyServer, { action, namespace, target, room, event, args }: ActionRequest): Promise<number> {
  const nsp = io._nsps.get(namespace);
  if (nsp === undefined) throw new ActionError("there is no such namespace");
  const { count, silent } = await countIn(nsp, target);
  if (count === 0) throw new ActionError(silent === 0 ? "there is no such socket or room any more" : "no server that answered has it");
  const sockets = nsp.in(target);
  switch (action) {
    case "disconnect":
      await sockets.disconnectSockets();
      break;
    case "join":
      await sockets.socketsJoin(room!);
      break;
    case "leave":
      await sockets.socketsLeave(room!);
      break;
    case "send":
      send(() => sockets.emit(event!, ...args!));
  }
  return count;
}

/** A reserved name of an event is a mistake of the visitor. */
function send(emit: () => unknown): void {
  try {
    emit();
  } catch (error) {
    throw new ActionError((error as Error).message);
  }
}
