// The messages between the process that has a connection (the carrier) and the one that has its session (the owner).

/*
 * version (1 byte), type (1), id of the sender (16, ASCII), id of the exchange (4, chosen by the carrier), then by type:
 *   request   length of the head (4), head as JSON, body           carrier to owner
 *   response  length of the head (4), head as JSON, body           owner to carrier
 *   open      JSON                                                 carrier to owner: a WebSocket
 *   text, binary  the message                                      both
 *   taken     bytes in all (8); of a request: nothing              carrier to owner
 *   close     JSON                                                 both
 *   move      MessagePack: options of a drain                      carrier to owner
 *   gone, cut, pause, resume, release                              nothing
 * The highest bit of the type is set in what goes to the carrier.
 */

const VERSION = 1;
const TO_CARRIER = 0x80;
const UID_LENGTH = 16;
const HEAD_LENGTH = 2 + UID_LENGTH + 4;

const TYPES = [
  "request",
  "response",
  "open",
  "text",
  "binary",
  "taken",
  "close",
  "gone",
  "cut",
  "pause",
  "resume",
  "release",
  "move",
] as const;

/**
 * `taken`, to the owner: the peer has taken what was sent, up to here; of a poll: its response was passed on. `close`: a Close frame, to the owner of the peer, to the carrier for the
 * peer. `gone`, to the owner: the connection is closed; to the carrier: there is no such session. `cut`, to the carrier: the connection must be
 * destroyed. `pause`, to the carrier: nothing more is read from the peer, until `resume`. A carrier that is about to end sends `release`, so that a
 * poll is answered now, and `move`, so that the client of a WebSocket is drained.
 */
export type CarryType = (typeof TYPES)[number];

export interface CarryFrame {
  readonly type: CarryType;
  readonly to: "owner" | "carrier";
  readonly sender: string;
  readonly id: number;
  readonly payload: Buffer;
}

/** @param head  for `request` and `response` */
export function encodeCarryFrame(
  { type, to, sender, id }: Omit<CarryFrame, "payload">,
  payload: string | Buffer | null = null,
  head?: object,
): Buffer {
  const headText = head === undefined ? null : Buffer.from(JSON.stringify(head));
  const body = payload === null ? EMPTY : typeof payload === "string" ? Buffer.from(payload) : payload;
  const frame = Buffer.allocUnsafe(HEAD_LENGTH + (headText === null ? 0 : 4 + headText.length) + body.length);
  frame[0] = VERSION;
  frame[1] = (TYPES.indexOf(type) + 1) | (to === "carrier" ? TO_CARRIER : 0);
  frame.write(sender, 2, UID_LENGTH, "latin1");
  let at = frame.writeUInt32BE(id, 2 + UID_LENGTH);
  if (headText !== null) {
    at = frame.writeUInt32BE(headText.length, at);
    at += headText.copy(frame, at);
  }
  body.copy(frame, at);
  return frame;
}

/** Reads a frame of another process; null for anything that isn't one. */
export function decodeCarryFrame(bytes: Buffer): CarryFrame | null {
  if (bytes.length < HEAD_LENGTH || bytes[0] !== VERSION) return null;
  const type = TYPES[(bytes[1] & ~TO_CARRIER) - 1] as CarryType | undefined;
  if (type === undefined) return null;
  return {
    type,
    to: (bytes[1] & TO_CARRIER) === 0 ? "owner" : "carrier",
    sender: bytes.toString("latin1", 2, 2 + UID_LENGTH),
    id: bytes.readUInt32BE(2 + UID_LENGTH),
    payload: bytes.subarray(HEAD_LENGTH),
  };
}

/** Splits the payload of a `request` or `response`. @returns null if the head is no JSON object */
export function splitHead(payload: Buffer): { head: Record<string, unknown>; body: Buffer } | null {
  if (payload.length < 4) return null;
  const end = 4 + payload.readUInt32BE(0);
  if (end > payload.length) return null;
  const head = readJson(payload.subarray(4, end));
  return head === null ? null : { head, body: payload.subarray(end) };
}

/** @returns null for anything but an object */
export function readJson(payload: Buffer): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(payload.toString());
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

const EMPTY = Buffer.alloc(0);
