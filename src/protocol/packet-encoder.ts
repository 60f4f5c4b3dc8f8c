// Step of the walk "an emit out": a packet becomes the messages that carry it, which `engine/prepared.ts` takes.
import { type BinaryValue, hasBinary, takeOut } from "./attachments";
import { toBuffer } from "./engine-packet";
import { PacketType, type Packet, type Payload } from "./packet";

const SPACE = 0x20;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const TILDE = 0x7e;

type Replacer = (this: Payload, key: string, value: Payload) => Payload;

/**
 * Encodes a packet without binary values as one text. Hot: once per emit and once per broadcast.
 * @throws TypeError when the payload cannot be serialised (BigInt, cyclic)
 */
export function encodeText(packet: Packet, replacer?: Replacer): string {
  const { data } = packet;
  const header = packet.type + addressOf(packet);
  if (data === undefined || data === null) return header;
  return header + ((replacer === undefined ? plainTexts(data) : null) ?? JSON.stringify(data, replacer));
}

const PLAIN_TEXTS_MAX = 4;
const PLAIN_LENGTH_MAX = 20; // longer ones V8 writes as fast, from Node.js 22 on

/**
 * What `JSON.stringify` gives for a few short texts that need no escapes, as many events are; else null.
 * It takes 60 % of its time on Node.js 20, 80 to 90 % on later ones.
 */
function plainTexts(data: unknown): string | null {
  if (!Array.isArray(data) || data.length === 0 || data.length > PLAIN_TEXTS_MAX) return null;
  if (typeof data[data.length - 1] !== "string") return null; // so that others pay little
  let json = "";
  for (let index = 0; index < data.length; index++) {
    const text: unknown = data[index];
    if (typeof text !== "string" || !isPlain(text)) return null;
    json += (index === 0 ? '["' : '","') + text;
  }
  return json + '"]';
}

function isPlain(text: string): boolean {
  if (text.length > PLAIN_LENGTH_MAX) return false;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code < SPACE || code > TILDE || code === QUOTE || code === BACKSLASH) return false;
  }
  return true;
}

/** Namespace and id as they follow the type, and the number of attachments. */
function addressOf({ nsp, id }: Packet): string {
  const namespace = nsp === "/" || !nsp ? "" : nsp + ",";
  return id === undefined || id === null ? namespace : namespace + id;
}

/** Turns packets into messages: one text, followed by the binary attachments if there are any. */
export class Encoder {
  private readonly replacer: Replacer | undefined;

  /** @param replacer  passed to `JSON.stringify` */
  constructor(replacer?: Replacer) {
    this.replacer = replacer;
  }

  /**
   * Encodes one packet, which stays as it is.
   * @throws TypeError, RangeError when the payload cannot be serialised (BigInt, Blob, cyclic)
   */
  encode(packet: Packet): (string | Buffer)[] {
    const { type } = packet;
    const mayHaveBinary = type === PacketType.EVENT || type === PacketType.ACK;
    return mayHaveBinary && hasBinary(packet.data) ? this.encodeBinary(packet) : [encodeText(packet, this.replacer)];
  }

  private encodeBinary(packet: Packet): (string | Buffer)[] {
    const attachments: BinaryValue[] = [];
    const data = takeOut(packet.data, attachments);
    const type = packet.type === PacketType.EVENT ? PacketType.BINARY_EVENT : PacketType.BINARY_ACK;
    const header = `${type}${attachments.length}-${addressOf(packet)}`;
    return [header + JSON.stringify(data, this.replacer), ...attachments.map(toBuffer)];
  }
}
