// Answers the question of another node for its sockets: many of them in parts, so that neither node is busy for long.
import { setImmediate as nextTurn } from "node:timers/promises";
import { PacketType } from "../protocol/packet";
import { findUnencodable } from "../protocol/encoding-failure";
import { quoted } from "../support/log-text";
import { ANSWER, describeSocket, MessageType, type RemoteDescription, type UnsignedResponse } from "./messages";

/** Sockets in one message: to encode or to decode them takes some milliseconds. */
const PART_SOCKETS = 500;

/** Ways to the node that has asked. */
export interface SocketsAnswerPort {
  respond(response: UnsignedResponse): Promise<unknown>;
  /** What was left out, and why. */
  warn(what: string, reason: string): void;
}

/** Answers in one message, which every node understands. */
export function answerWithSockets(port: SocketsAnswerPort, requestId: string, sockets: readonly unknown[]): void {
  send(port, sockets, (descriptions) => ({ type: MessageType.FETCH_SOCKETS_RESPONSE, data: { requestId, sockets: descriptions } }));
}

/** Whether so many sockets are sent in parts, to nodes that understand these. */
export function needsParts(sockets: readonly unknown[]): boolean {
  return sockets.length > PART_SOCKETS;
}

/** Answers in several messages, one per turn of the event loop. Sockets that leave meanwhile are left out. */
export async function answerInParts(
  port: SocketsAnswerPort,
  requestId: string,
  sockets: readonly { connected?: boolean }[],
): Promise<void> {
  const parts = Math.ceil(sockets.length / PART_SOCKETS);
  for (let part = 0; part < parts; part++) {
    if (part > 0) await nextTurn();
    const some = sockets.slice(part * PART_SOCKETS, (part + 1) * PART_SOCKETS).filter(({ connected }) => connected !== false);
    send(port, some, (descriptions) => ({ type: ANSWER, data: { requestId, value: { parts, sockets: descriptions } } }));
  }
}

/** If `data` of a socket cannot be encoded, `{}` is sent instead (ROB-422). */
function send(
  port: SocketsAnswerPort,
  sockets: readonly unknown[],
  responseOf: (descriptions: RemoteDescription[]) => UnsignedResponse,
): void {
  const descriptions = sockets.map(describeSocket);
  port.respond(responseOf(descriptions)).catch(() => {
    let hasReplaced = false;
    for (const description of descriptions) {
      const reason = unencodableIn([description.data]);
      if (reason === null) continue;
      hasReplaced = true;
      description.data = {};
      port.warn(`socket.data of ${quoted(description.id)} was left out for another server`, reason);
    }
    if (hasReplaced) port.respond(responseOf(descriptions)).catch(() => {}); // that node runs into its time-out
  });
}

/** The path of a value that cannot be encoded; null if all can be. */
export function unencodableIn(values: unknown[]): string | null {
  return findUnencodable({ type: PacketType.ACK, nsp: "/", data: values });
}
