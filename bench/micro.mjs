// Micro benchmarks, in nanoseconds per operation: codecs, frames, rooms, the send queue. Where a package does the same job, it is measured
// in turns with roomcast. Medians of many short runs in this process.
//   node bench/micro.mjs [--only text] [--rounds 15] [--ms 20] [--write]
import { EventEmitter } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { textFrame } from "./load/client.mjs";
import { describeMachine, RESULTS } from "./lib/report.mjs";
import { installRivals } from "./lib/servers.mjs";
import { summary } from "./lib/stats.mjs";

const { values } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    rounds: { type: "string", default: "15" },
    ms: { type: "string", default: "20" },
    write: { type: "boolean", default: false },
  },
});
installRivals({ uws: false });
const ours = createRequire(new URL("../dist/index.js", import.meta.url));
const theirs = createRequire(new URL("./node_modules/socket.io/package.json", import.meta.url));
const { encodeText, Encoder } = ours("./protocol/packet-encoder.js");
const { PacketDecoder } = ours("./protocol/packet-decoder.js");
const { encodePayload, decodePayload } = ours("./protocol/polling-payload.js");
const { readFrames } = ours("./engine/hosts/node/frame-reader.js");
const { Prepared, prepare } = ours("./engine/prepared.js");
const { Outbox } = ours("./engine/outbox.js");
const { RoomIndex } = ours("./server/adapter/room-index.js");
const socketIoParser = theirs("socket.io-parser");
const engineIoParser = theirs("engine.io-parser");
const { Adapter } = theirs("socket.io-adapter");
const { Receiver } = theirs("ws");

/** Results are stored here, so that the compiler cannot remove the work. */
let sink = 0;

const event = (bytes) => ({ type: 2, nsp: "/", data: ["message", { user: "mary", text: "x".repeat(bytes) }] });
const withAck = { type: 2, nsp: "/", id: 7, data: ["echo", "hello world"] };
const binary = { type: 2, nsp: "/", data: ["file", Buffer.alloc(1024, 1)] };
const textOf = (packet) => encodeText(packet);

function encodeCase(title, packet) {
  const encoder = new socketIoParser.Encoder();
  const own = new Encoder();
  const isBinary = packet === binary;
  return {
    title: `encode ${title}`,
    roomcast: isBinary ? () => (sink += own.encode(packet).length) : () => (sink += encodeText(packet).length),
    rival: () => (sink += encoder.encode({ ...packet }).length),
    rivalName: "socket.io-parser",
  };
}

function decodeCase(title, pieces) {
  const own = new PacketDecoder();
  const decoder = new socketIoParser.Decoder();
  decoder.on("decoded", (packet) => (sink += packet.type));
  return {
    title: `decode ${title}`,
    roomcast() {
      for (const piece of pieces) sink += own.decode(piece)?.type ?? 0;
    },
    rival() {
      for (const piece of pieces) decoder.add(piece);
    },
    rivalName: "socket.io-parser",
  };
}

function payloadCases() {
  const packets = Array.from({ length: 5 }, () => new Prepared("message", '2["message","hello world"]'));
  const plain = packets.map(({ type, data }) => ({ type, data }));
  const body = encodePayload(packets);
  return [
    {
      title: "polling payload of 5, encode",
      roomcast: () => (sink += encodePayload(packets).length),
      rival: () => engineIoParser.encodePayload(plain, (text) => (sink += text.length)),
      rivalName: "engine.io-parser",
    },
    {
      title: "polling payload of 5, decode",
      roomcast: () => (sink += decodePayload(body).length),
      rival: () => (sink += engineIoParser.decodePayload(body, "nodebuffer").length),
      rivalName: "engine.io-parser",
    },
  ];
}

/** A client frame with a non-zero mask, as browsers send them. */
function maskedFrame(text) {
  const frame = textFrame(text);
  const start = frame.length - Buffer.byteLength(text);
  const mask = [0x12, 0x34, 0x56, 0x78];
  for (let i = 0; i < 4; i++) frame[start - 4 + i] = mask[i];
  for (let i = start; i < frame.length; i++) frame[i] ^= mask[(i - start) & 3];
  return frame;
}

function frameCase(title, text, perChunk = 1) {
  const chunk = Buffer.concat(Array.from({ length: perChunk }, () => maskedFrame(text)));
  const copy = Buffer.from(chunk); // both readers unmask in place
  const frames = {
    isReading: true,
    onText: (message) => (sink += message.length),
    onBinary() {},
    onPing() {},
    onCloseFrame() {},
    onFlaw(flaw) {
      throw flaw;
    },
    onUnread() {},
  };
  const receiver = new Receiver({ isServer: true, allowSynchronousEvents: true });
  receiver.on("message", (message) => (sink += message.toString().length));
  receiver.on("error", (error) => {
    throw error;
  });
  return {
    title: `read ${title}`,
    per: perChunk,
    roomcast() {
      chunk.copy(copy);
      readFrames(copy, copy.length, false, null, 0, frames);
    },
    rival() {
      chunk.copy(copy);
      receiver.write(copy);
    },
    rivalName: "Receiver of ws",
  };
}

const shared = (bytes) => encodeText(event(bytes));

function frameWriteCase(bytes) {
  const text = shared(bytes);
  return { title: `prepare and frame a text of ${text.length} B`, roomcast: () => (sink += prepare(text).toFrame().length) };
}

function queueCase() {
  const packet = prepare("hello");
  const transport = {
    name: "websocket",
    writable: true,
    writesAtOnce: false,
    flow: "free",
    write: (first, more) => (sink += more.length),
    onTaken: () => (transport.writable = true),
  };
  const server = { limits: { watchedBytes: Infinity }, total: { bytes: 0, isOver: false } };
  const outbox = new Outbox({ transport, server, isFlushObserved: false, onOutboxEmpty() {} });
  return {
    title: "outbox: 20 packets of one tick, per packet",
    per: 20,
    roomcast() {
      outbox.isDeferred = true; // no tick passes here
      for (let i = 0; i < 20; i++) outbox.push(packet);
      outbox.flush();
    },
  };
}

function roomCases() {
  const count = 1000;
  const ids = Array.from({ length: count }, (_, i) => `socket-number-${String(i).padStart(6, "0")}`);
  const names = Array.from({ length: 200 }, (_, i) => `room${i}`);
  const index = new RoomIndex(new EventEmitter(), () => false);
  const adapter = new Adapter({ server: { encoder: null }, sockets: new Map(ids.map((id) => [id, { id }])) });
  const sets = names.map((name) => new Set([name]));
  for (const [i, id] of ids.entries()) {
    index.add(id, [id, names[i % 200]]);
    adapter.addAll(id, new Set([id, names[i % 200]]));
  }
  const everybody = new Set();
  const except = new Set([names[0]]);
  const choose = (member) => (sink += member.id.length);
  return [
    {
      title: "room: join and leave, 200 rooms of 5",
      roomcast: eachOf(count, (i) => {
        index.add(ids[i], sets[(i + 1) % 200]);
        index.remove(ids[i], names[(i + 1) % 200]);
      }),
      rival: eachOf(count, (i) => {
        adapter.addAll(ids[i], sets[(i + 1) % 200]);
        adapter.del(ids[i], names[(i + 1) % 200]);
      }),
      rivalName: "socket.io-adapter",
    },
    {
      title: "select everybody, per socket",
      per: count,
      roomcast: () => index.select(everybody, undefined, choose),
    },
    {
      title: "select everybody but a room, per socket",
      per: count - 5,
      roomcast: () => index.select(everybody, except, choose),
    },
    {
      title: "select a room of 5, per socket",
      per: 5,
      roomcast: eachOf(200, (i) => index.select(sets[i], undefined, choose)),
    },
  ];
}

/** Returns 0 … count-1, one per call, repeatedly. */
function eachOf(count, work) {
  let at = 0;
  return () => work((at = at + 1 === count ? 0 : at + 1));
}

const cases = [
  encodeCase("an event of 60 B", event(30)),
  encodeCase("an event with ack id", withAck),
  encodeCase("an event of 5 KB", event(5000)),
  encodeCase("an event with 1 KB binary", binary),
  decodeCase("an event of 60 B", [textOf(event(30))]),
  decodeCase("an event with ack id", [textOf(withAck)]),
  decodeCase("an event of 5 KB", [textOf(event(5000))]),
  decodeCase("an event with 1 KB binary", new Encoder().encode(binary)),
  ...payloadCases(),
  frameCase("a frame of 20 B", "x".repeat(20)),
  frameCase("a frame of 70 B", "x".repeat(70)),
  frameCase("10 frames of 70 B in a chunk, per frame", "x".repeat(70), 10),
  frameCase("a frame of 1 KB", "x".repeat(1024)),
  frameCase("a frame of 16 KB", "x".repeat(16384)),
  frameCase("a frame of 1 KB, not ASCII", "ä".repeat(512)),
  frameWriteCase(30),
  frameWriteCase(1000),
  frameWriteCase(16000),
  queueCase(),
  ...roomCases(),
];

function nanosecondsPer(work, iterations, per) {
  const start = process.hrtime.bigint();
  for (let i = 0; i < iterations; i++) work();
  return Number(process.hrtime.bigint() - start) / iterations / per;
}

/** The number of iterations with which a run takes about `ms`; warms up meanwhile. */
function iterationsFor(work, ms) {
  let iterations = 10;
  for (;;) {
    const spent = (nanosecondsPer(work, iterations, 1) * iterations) / 1e6;
    if (spent >= ms / 2) return Math.max(1, Math.round((iterations * ms) / spent));
    iterations *= 4;
  }
}

async function measure({ title, per = 1, roomcast, rival, rivalName = "" }) {
  const ms = Number(values.ms);
  const turns = [roomcast, rival]
    .filter((work) => work !== undefined)
    .map((work) => ({ work, iterations: iterationsFor(work, ms), costs: [] }));
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const turn of turns) {
      turn.costs.push(nanosecondsPer(turn.work, turn.iterations, per));
      await new Promise((resolve) => setImmediate(resolve)); // promises and streams finish outside the measured time
    }
  }
  const [own, other] = turns.map(({ costs }) => summary(costs));
  return { title, rivalName, own, other };
}

const digits = (value) => (value >= 100 ? Math.round(value).toString() : value.toPrecision(3));
const rows = [];
const machine = describeMachine({ version: process.version, serverCore: "-", loadCores: ["-"] });
console.log(`Node.js ${process.version}; ${machine.kind}; ns per operation, medians (least – most)`);
for (const entry of cases) {
  if (!entry.title.includes(values.only)) continue;
  const row = await measure(entry);
  const { title, own, other, rivalName } = row;
  const beside = other === undefined ? "" : `${rivalName}: ${digits(other.median)}  ${(other.median / own.median).toFixed(2)}x`;
  console.log(`${title.padEnd(46)} ${digits(own.median).padStart(7)} (${digits(own.min)} – ${digits(own.max)})`.padEnd(80), beside);
  rows.push(row);
}
if (values.write) {
  mkdirSync(RESULTS, { recursive: true });
  const name = `micro-node-${process.version.slice(1).split(".")[0]}.md`;
  const lines = [
    `# Parts by themselves on Node.js ${process.version}`,
    "",
    `${machine.kind}; ${machine.date}. Nanoseconds per operation, medians of ${values.rounds} runs in turns, least and most behind them.`,
    "",
    "| operation | roomcast | package | |",
    "|---|--:|--:|--:|",
    ...rows.map(({ title, own, other, rivalName }) => {
      const beside = other === undefined ? " | " : `${rivalName}: ${digits(other.median)} | ${(other.median / own.median).toFixed(2)}×`;
      return `| ${title} | ${digits(own.median)} (${digits(own.min)} – ${digits(own.max)}) | ${beside} |`;
    }),
  ];
  writeFileSync(join(RESULTS, name), lines.join("\n") + "\n");
  console.log(`written: bench/results/${name}`);
}
if (sink === 0) console.log("nothing was done");
