// Encodes Socket.IO packets as engine messages: a step of the walk "an emit out", before `engine/prepared.ts`.
import { type BinaryValue, hasBinary, takeOut } from "./attachments";
import { encodingError } from "./encoding-failure";
import { exceedsClients, warnOfAttachments, watchCollections, type CollectionWatch } from "./encoding-hints";
import { PacketType, type Packet, type Payload } from "./packet";

const SPACE = 0x20;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const TILDE = 0x7e;

type Replacer = (this: Payload, key: string, value: Payload) => Payload;

/**
 * Encodes a packet without binary values as one text (SIO-10). Hot: once per emit and once per broadcast.
 * @throws TypeError if the payload cannot be serialised (BigInt, cyclic)
 */
export function encodeText(packet: Packet, replacer?: Replacer): string {
  const { data } = packet;
  const header = packet.type + addressOf(packet);
  if (data === undefined || data === null) return header;
  return header + ((replacer === undefined ? plainTexts(data) : null) ?? JSON.stringify(data, replacer));
}

const PLAIN_TEXTS_MAX = 4;
const PLAIN_LENGTH_MAX = 20; // from Node.js 22 on, `JSON.stringify` is as fast for longer texts

/**
 * The same result as `JSON.stringify` for a few short texts without escapes, which many events are; otherwise null.
 * Takes 60 % of its time on Node.js 20, 80 to 90 % on later versions.
 */
function plainTexts(data: unknown): string | null {
  if (!Array.isArray(data) || data.length === 0 || data.length > PLAIN_TEXTS_MAX) return null;
  if (typeof data[data.length - 1] !== "string") return null; // a cheap test that excludes most other events
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

/** The namespace and id of a packet, as they are written after its type. */
function addressOf({ nsp, id }: Packet): string {
  const namespace = nsp === "/" || !nsp ? "" : nsp + ",";
  return id === undefined || id === null ? namespace : namespace + id;
}

/** Encodes packets as messages: one text, followed by the binary attachments (SIO-36). */
export class Encoder {
  private readonly replacer: Replacer | undefined;
  private watch: CollectionWatch | null;
  private hasWarnedOfAttachments: boolean;

  /** @param replacer  passed to `JSON.stringify` */
  constructor(replacer?: Replacer) {
    this.replacer = replacer;
    this.watch = replacer === undefined ? watchCollections() : null; // a replacer may convert Maps and Sets
    this.hasWarnedOfAttachments = false;
  }

  /**
   * Encodes one packet without changing it. Binary values are not copied. A Blob stays a Blob, since its bytes are read asynchronously.
   * @throws EncodingError RC_ERR_ENCODING if the payload cannot be serialised (BigInt, circular, `toJSON` that throws)
   */
  encode(packet: Packet): (string | BinaryValue)[] {
    const { type } = packet;
    const mayHaveBinary = type === PacketType.EVENT || type === PacketType.ACK; // SIO-15
    try {
      const hasAttachments = mayHaveBinary && hasBinary(packet.data, this.watch);
      const messages = hasAttachments ? this.encodeBinary(packet) : [encodeText(packet, this.replacer)];
      if (this.watch !== null && this.watch.met !== null) this.warnOfCollection(packet, this.watch);
      return messages;
    } catch (error) {
      throw encodingError(packet, error);
    }
  }

  private encodeBinary(packet: Packet): (string | BinaryValue)[] {
    const attachments: BinaryValue[] = [];
    const data = takeOut(packet.data, attachments, this.watch);
    if (!this.hasWarnedOfAttachments && exceedsClients(attachments.length)) {
      this.hasWarnedOfAttachments = true;
      warnOfAttachments(packet, attachments.length);
    }
    const type = packet.type === PacketType.EVENT ? PacketType.BINARY_EVENT : PacketType.BINARY_ACK;
    const header = `${type}${attachments.length}-${addressOf(packet)}`;
    return [header + JSON.stringify(data, this.replacer), ...attachments];
  }

  private warnOfCollection(packet: Packet, watch: CollectionWatch): void {
    this.watch = null; // once
    watch.warn(packet);
  }
}
