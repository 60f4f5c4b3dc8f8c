/** The parser module that belongs to the package under test: `roomcast/parser`, or the one that the original resolves. */
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { isReference } from "../../../support/target.js";

const root = fileURLToPath(new URL("../../../..", import.meta.url));
const manifest = join(isReference ? resolve(process.env.TEST_TARGET) : root, "package.json");

export const { Encoder, Decoder, isPacketValid, PacketType, protocol } = createRequire(manifest)(
  isReference ? "socket.io-parser" : "roomcast/parser",
);
