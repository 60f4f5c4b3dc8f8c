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
  void send(port, sockets, (descriptions) => ({ type: MessageType.FETCH_SOCKETS_RESPONSE, data: { requestId, sockets: descriptions } }));
}

/** Whether so many sockets are sent in parts, to nodes that understand these. */
export function needsParts(sockets: readonly unknown[]): boolean {
  return sockets.length > PART_SOCKETS;
}

/**
 * Answers in several messages, each when the link has taken the one before, and in a turn of the event loop of its own. Sockets that leave meanwhile are
 * left out. Ends with the first part that can't be sent: that node runs into its time-out.
 */
export async function answerInParts(
  port: SocketsAnswerPort,
  requestId: string,
  sockets: readonly { connected?: boolean }[],
): Promise<void> {
  const parts = Math.ceil(sockets.length / PART_SOCKETS);
  for (let part = 0; part < parts; part++) {
    const some = sockets.slice(part * PART_SOCKETS, (part + 1) * PART_SOCKETS).filter(({ connected }) => connected !== false);
    const isSent = await send(port, some, (descriptions) => ({
      type: ANSWER,
      data: { requestId, value: { part, parts, sockets: descriptions } },
    }));
    if (!isSent) return;
    await nextTurn();
  }
}

/** If `data` of a socket cannot be encoded, `{}` is sent instead (ROB-422). @returns whether it was sent */
async function send(
  port: SocketsAnswerPort,
  sockets: readonly unknown[],
  responseOf: (descriptions: RemoteDescription[]) => UnsignedResponse,
): Promise<boolean> {
  const descriptions = sockets.map(describeSocket);
  try {
    await port.respond(responseOf(descriptions));
    return true;
  } catch {
    return (
      replaceUnencodable(port, descriptions) &&
      port.respond(responseOf(descriptions)).then(
        () => true,
        () => false,
      )
    );
  }
}

/** @returns whether something was replaced */
function replaceUnencodable(port: SocketsAnswerPort, descriptions: RemoteDescription[]): boolean {
  let hasReplaced = false;
  for (const description of descriptions) {
    const reason = unencodableIn([description.data]);
    if (reason === null) continue;
    hasReplaced = true;
    description.data = {};
    port.warn(`socket.data of ${quoted(description.id)} was left out for another server`, reason);
  }
  return hasReplaced;
}

/** The path of a value that cannot be encoded; null if all can be. */
export function unencodableIn(values: unknown[]): string | null {
  return findUnencodable({ type: PacketType.ACK, nsp: "/", data: values });
}
