/** The parser module that belongs to the package under test: `roomcast/parser`, or the one that the original resolves. */
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { isReference } from "../../support/target.js";

const origin = isReference ? join(resolve(process.env.TEST_TARGET), "package.json") : import.meta.url;

export const { Encoder, Decoder, isPacketValid, PacketType, protocol } = createRequire(origin)(
  isReference ? "socket.io-parser" : "roomcast/parser",
);
