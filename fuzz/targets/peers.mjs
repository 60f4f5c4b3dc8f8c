// Beside the packages of the original: the same packets, errors and answers, but for the differences that docs/spec names.
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { isDeepStrictEqual } from "node:util";
import { WireSocket } from "../../test/support/wire-client.js";
import { messagesOf, packetSeeds, packetWords } from "./codecs.mjs";

const require = createRequire(import.meta.url);
const { PacketDecoder } = require("../../dist/protocol/packet-decoder.js");
const { decodePacket } = require("../../dist/protocol/engine-packet.js");
const { decodePayload } = require("../../dist/protocol/polling-payload.js");

/** Messages that are taken differently on purpose: a pattern of the text, and the rule. */
const KNOWN_MESSAGES = [
  [/^(\s|$)/, "SIO-22: an empty text, or one that begins with white space, is no CONNECT"],
  [/^[0-6](\/[^,]*,?)?\d*\s/, "SIO-24: white space is no part of an id"],
  [/^[56]\d*-?(\/[^,]*,?)?\d*\s/, "SIO-24"],
  [/^[56]\d+-(\/[^,]*,?)?\d{16,}/, "SIO-24: ids have at most 15 digits"],
  [/^[0-6](\/[^,]*,?)?\d{16,}/, "SIO-24"],
  [/^[2356](\d+-)?(\/[^,]*(,|$))?\d*$/, "SIO-26: an event or acknowledgement needs a payload"],
  [/^[56](?![1-9]\d*-)/, "SIO-27: the number of attachments consists of digits"],
  [/"num"\s*:\s*-?\d*[.eE]/, "SIO-30: the number of an attachment is an integer"],
];

/** More values in an event make it invalid (ROB-111). */
const VALUES_MAX = 10_000;

function isKnown(message) {
  return (
    typeof message === "string" && (message.split(",").length > VALUES_MAX || KNOWN_MESSAGES.some(([pattern]) => pattern.test(message)))
  );
}

const shown = (packet) =>
  packet === null
    ? null
    : JSON.parse(
        JSON.stringify(packet, (key, value) => (value?.type === "Buffer" ? { bytes: Buffer.from(value.data).toString("hex") } : value)),
      );

export const targets = {
  "peer-socketio"() {
    const { Decoder } = require("socket.io-parser");
    return {
      seeds: packetSeeds,
      dictionary: packetWords,
      isTimed: false,
      run(input) {
        const ours = new PacketDecoder();
        const theirs = new Decoder();
        const emitted = [];
        theirs.on("decoded", (packet) => emitted.push(packet));
        for (const message of messagesOf(input)) {
          if (isKnown(message)) return;
          emitted.length = 0;
          const theirError = errorOf(() => theirs.add(message));
          let packet = null;
          const ourError = errorOf(() => (packet = ours.decode(message)));
          assert.equal(ourError === null, theirError === null, `of ${JSON.stringify(message)}: ours ${ourError}, theirs ${theirError}`);
          if (ourError !== null) return;
          assert.deepEqual(shown(packet), shown(normal(emitted[0] ?? null)), JSON.stringify(message));
        }
      },
    };
  },
  "peer-engine"() {
    const parser = require("engine.io-parser");
    return {
      seeds: ["0{}", "1", "2probe", "4hello", "bAQID", "4a\x1e4b", "4a\x1ebAQID\x1e2", "7", "", "4\xe2\x82\xac"],
      dictionary: [..."0123456789b=+/\x1e".split(""), "4hello", "bAAAA", "\xff", "\xe2\x82\xac"],
      isTimed: false,
      run(input) {
        const text = input.toString("utf8");
        assert.deepEqual(plain(decodePacket(text)), plain(parser.decodePacket(text, "nodebuffer")));
        assert.deepEqual(decodePayload(text).map(plain), parser.decodePayload(text, "nodebuffer").map(plain));
      },
    };
  },
  "peer-server": () => serverPair(),
};

function errorOf(run) {
  try {
    run();
    return null;
  } catch (error) {
    return error;
  }
}

/** Their packet in our form: BINARY_EVENT as EVENT, without the count of attachments. */
function normal(packet) {
  if (packet === null) return null;
  const { type, nsp, id, data } = packet;
  return { type: type === 5 ? 2 : type === 6 ? 3 : type, nsp, id, data };
}

/** An engine packet without the text of its error. */
function plain({ type, data }) {
  return type === "error" ? { type } : { type, data: Buffer.isBuffer(data) ? data.toString("hex") : data };
}

// -- whole servers

const peers = ["bench", "test/peers/twins"].map((path) => new URL(`../../${path}/node_modules/socket.io/package.json`, import.meta.url));

function listen(io) {
  io.of(/^\/dyn-\w{1,3}$/);
  io.use((socket, next) => next(socket.handshake.auth.refuse ? new Error("refused") : undefined));
  for (const nsp of [io.of("/"), io.of("/a")]) {
    nsp.on("connection", (socket) => {
      socket.on("error", () => {});
      socket.on("disconnect", (reason) => io.seen.push(`disconnect ${reason}`));
      socket.onAny((...args) => {
        const answer = typeof args.at(-1) === "function" ? args.pop() : null;
        socket.emit("seen", ...args);
        answer?.("answer", ...args);
      });
    });
  }
}

async function serverPair() {
  const file = peers.find((each) => existsSync(each));
  if (file === undefined) throw new Error("socket.io is not installed: npm ci --prefix bench");
  const servers = [];
  for (const { Server } of [require("../../dist/index.js"), createRequire(file)("socket.io")]) {
    const httpServer = createServer();
    const io = new Server(httpServer, { serveClient: false, transports: ["websocket"] });
    io.seen = [];
    listen(io);
    httpServer.listen(0, "127.0.0.1");
    await once(httpServer, "listening");
    servers.push({ io, port: httpServer.address().port });
  }
  return {
    seeds: packetSeeds.filter((seed) => seed.length < 120),
    dictionary: [...packetWords, "40/a,", "40/dyn-1,", '42["x",1]', '421["x"]', "41", '40{"refuse":1}'],
    isTimed: false,
    batch: 64,
    async run(input) {
      const messages = messagesOf(input).map((each) => (typeof each === "string" ? `4${each}` : each));
      // SIO-58: what follows a DISCONNECT in the same chunk reaches their catch-all listeners.
      if (messages.some((each) => typeof each === "string" && (isKnown(each.slice(1)) || each.startsWith("41")))) return;
      // The answer to a CONNECT comes later from the original than that to an event of another namespace: then the order isn't compared.
      const hasConnect = messages.some((each) => typeof each === "string" && each.startsWith("40"));
      const both = () => Promise.all(servers.map((server) => converse(server, messages, hasConnect)));
      let [ours, theirs] = await both();
      if (!isDeepStrictEqual(ours, theirs)) [ours, theirs] = await both(); // the machine may be too busy for an answer in time
      assert.deepEqual(ours, theirs);
    },
    end: () => Promise.all(servers.map(({ io }) => io.close())),
  };
}

/** Sends the messages after joining, and gives all that comes back until the fence or the end, without ids. */
async function converse({ io, port }, messages, hasConnect) {
  io.seen.length = 0;
  const ws = await WireSocket.open(port, "/socket.io/?EIO=4&transport=websocket");
  ws.socket.on("error", () => {});
  await ws.next();
  ws.send("40");
  await ws.next();
  ws.send(...messages, '42["the fence"]');
  const received = [];
  const untilFence = async (fence) => {
    for (let next = await ws.next(); next !== `42["seen","${fence}"]`; next = await ws.next()) {
      received.push(Buffer.isBuffer(next) ? next.toString("hex") : next.replace(/"(sid|pid)":"[^"]+"/g, '"$1":""'));
    }
  };
  try {
    await untilFence("the fence");
    if (hasConnect) {
      ws.send('42["a later fence"]');
      await untilFence("a later fence");
      received.sort();
    }
  } catch (error) {
    if (/waited/.test(error.message)) received.push("no answer");
    else received.push(`closed ${(await ws.end).code}`);
  }
  ws.abort();
  return { received };
}
