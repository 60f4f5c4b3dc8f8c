/** Packets in the default form, as the clients here write and read them, to and from the form of `socket.io-msgpack-parser`. */
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const plain = require("socket.io-parser");
const parser = require("socket.io-msgpack-parser");

/** @param messages  an engine message with a packet, followed by its attachments; nothing comes of one that is none */
export function encode([text, ...attachments]) {
  const packets = [];
  const decoder = new plain.Decoder();
  decoder.on("decoded", (packet) => packets.push(packet));
  try {
    for (const message of [text.slice(1), ...attachments]) decoder.add(message);
  } catch {
    return [];
  }
  return packets.flatMap((packet) => new parser.Encoder().encode(packet));
}

/** @returns  engine messages */
export function decode(bytes) {
  const forms = [];
  const decoder = new parser.Decoder();
  decoder.on("decoded", (packet) => {
    const [text, ...attachments] = new plain.Encoder().encode(packet);
    forms.push(`4${text}`, ...attachments);
  });
  decoder.add(bytes);
  return forms;
}
