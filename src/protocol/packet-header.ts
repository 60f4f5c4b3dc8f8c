// Reads what stands before the payload of a Socket.IO packet, without decoding the payload.

/** The header of an event. */
export interface EventHeader {
  /** How many binary messages belong to the event and follow it. */
  readonly attachments: number;
  /** The text between the type (with the number of attachments) and the payload, e.g. `/admin,12`: namespace and acknowledgement id. */
  readonly target: string;
  /** Whether the client expects an acknowledgement. */
  readonly wantsAck: boolean;
}

const EVENT = 50; // "2"
const BINARY_EVENT = 53; // "5"
const HEADER = /^(?:2|5(\d{1,15})-)((?:\/[^,[]*,)?(\d*))\[/;
/** Header characters that are examined: the name of a namespace that is longer is not an event's of any well-behaved client. */
const MAX_HEADER_LENGTH = 1024;

/** @returns null for anything but an event: a packet of another type, an invalid one, a binary message */
export function eventHeaderOf(message: string | Buffer | undefined): EventHeader | null {
  if (typeof message !== "string") return null;
  const type = message.charCodeAt(0);
  if (type !== EVENT && type !== BINARY_EVENT) return null;
  const match = HEADER.exec(message.slice(0, MAX_HEADER_LENGTH));
  return match === null ? null : { attachments: Number(match[1] ?? 0), target: match[2], wantsAck: match[3] !== "" };
}
