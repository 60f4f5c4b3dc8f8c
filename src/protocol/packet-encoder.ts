// Step of the walk "an emit out": a packet becomes the messages that carry it, which `engine/prepared.ts` takes.
import { type BinaryValue, hasBinary, takeOut } from "./attachments";
import { toBuffer } from "./engine-packet";
import { PacketType, type Packet, type Payload } from "./packet";

type Replacer = (this: Payload, key: string, value: Payload) => Payload;

/**
 * Encodes a packet without binary values as one text. Hot: once per emit and once per broadcast.
 * @throws TypeError when the payload cannot be serialised (BigInt, cyclic)
 */
export function encodeText(packet: Packet, replacer?: Replacer): string {
  const { data } = packet;
  const header = packet.type + addressOf(packet);
  return data === undefined || data === null ? header : header + JSON.stringify(data, replacer);
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
