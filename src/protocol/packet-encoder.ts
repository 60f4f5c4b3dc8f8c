// Step of the walk "an emit out": a packet becomes the messages that carry it.
import { hasBinary, takeOut } from "./attachments";
import { toBuffer } from "./engine-packet";
import { PacketType, type Packet } from "./packet";

type Replacer = (this: any, key: string, value: any) => any;

/** Header of a packet without attachments: type, namespace, id. */
function headerOf(type: number, nsp: string, id: number | undefined): string {
  let header = String(type);
  if (nsp !== "/") header += nsp + ",";
  return id === undefined || id === null ? header : header + id;
}

/**
 * Encodes a packet without binary values. Hot: once per emit and once per broadcast.
 * @throws TypeError when the payload can't be serialised (BigInt)
 */
export function encodeText(packet: Packet, replacer?: Replacer): string {
  const { data } = packet;
  const header = headerOf(packet.type, packet.nsp, packet.id);
  return data === undefined || data === null ? header : header + JSON.stringify(data, replacer);
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
   * @throws TypeError, RangeError when the payload can't be serialised (BigInt, Blob, cyclic); nothing has been sent then
   */
  encode(packet: Packet): (string | Buffer)[] {
    const { type } = packet;
    if ((type === PacketType.EVENT || type === PacketType.ACK) && hasBinary(packet.data)) return this.encodeBinary(packet);
    return [encodeText(packet, this.replacer)];
  }

  private encodeBinary(packet: Packet): (string | Buffer)[] {
    const buffers: (ArrayBuffer | ArrayBufferView)[] = [];
    const data = takeOut(packet.data, buffers);
    const type = packet.type === PacketType.EVENT ? PacketType.BINARY_EVENT : PacketType.BINARY_ACK;
    const header = `${type}${buffers.length}-${headerOf(0, packet.nsp, packet.id).slice(1)}`;
    return [header + JSON.stringify(data, this.replacer), ...buffers.map(toBuffer)];
  }
}
