// What compression of WebSocket messages costs and saves: bytes on the wire, CPU time and memory, for three kinds of traffic, at levels 1 to 6,
// with a context (one window per connection, kept between messages) and without one. Works on zlib alone, without servers and sockets, so
// that nothing but compression is in the figures; `npm run bench -- --only "perMessageDeflate"` measures servers.
//   node --expose-gc bench/compression.mjs [--messages 300] [--rounds 5] [--connections 300]
import { createDeflateRaw, createInflateRaw, constants, deflateRawSync } from "node:zlib";
import { parseArgs } from "node:util";
import { documents } from "./lib/traffic.mjs";
import { median } from "./lib/stats.mjs";

const { values } = parseArgs({
  options: {
    messages: { type: "string", default: "300" },
    rounds: { type: "string", default: "5" },
    connections: { type: "string", default: "300" },
  },
});
const count = Number(values.messages);
const rounds = Number(values.rounds);
const connections = Number(values.connections);
/** Bytes that end each message of `Z_SYNC_FLUSH`, and that permessage-deflate leaves out (RFC 7692, 7.2.1). */
const TAIL_BYTES = 4;
const LEVELS = [1, 2, 3, 4, 5, 6];

/** The packets of an event, as they travel. */
const packets = (event, payloads) => payloads.map((payload) => Buffer.from(`42${JSON.stringify([event, payload])}`));

function chat() {
  const texts = documents(1024, count).flatMap(({ entries }) => entries);
  return texts.slice(0, count).map(({ id, author, text, at }, number) => ({ room: "general", number, id, author, text, at }));
}

/** The positions of 30 vehicles, which move a little between messages. */
function positions() {
  const [{ entries }] = documents(16 * 1024, 1);
  const vehicles = entries.slice(0, 30).map(({ id, position }) => ({ id: id.slice(0, 8), position, speed: 50 }));
  return Array.from({ length: count }, (_, n) =>
    vehicles.map((vehicle, i) => {
      const shift = (at) => Number((vehicle.position[at] + Math.sin(i + at + n / 7) / 1000).toFixed(6));
      return { ...vehicle, position: [shift(0), shift(1)], speed: 40 + ((i * 7 + n) % 30) };
    }),
  );
}

const traffic = [
  ["chat messages", packets("message", chat())],
  ["positions of 30 vehicles", packets("positions", positions())],
  ["documents of 4 KB, all different", packets("document", documents(4096, count))],
  ["documents of 16 KB, all different", packets("document", documents(16384, count))],
];

const cpuNow = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

/** Compresses each message by itself. */
function withoutContext(messages, level) {
  let bytes = 0;
  const start = cpuNow();
  for (const message of messages) bytes += deflateRawSync(message, { level, finishFlush: constants.Z_SYNC_FLUSH }).length - TAIL_BYTES;
  return { bytes, cpu: cpuNow() - start };
}

/** Compresses all messages in one window, as for one connection. */
async function withContext(messages, level) {
  const deflate = createDeflateRaw({ level });
  let bytes = 0;
  deflate.on("data", (chunk) => (bytes += chunk.length));
  const start = cpuNow();
  for (const message of messages) {
    deflate.write(message);
    await new Promise((resolve) => deflate.flush(constants.Z_SYNC_FLUSH, resolve));
    bytes -= TAIL_BYTES;
  }
  const cpu = cpuNow() - start;
  deflate.close();
  return { bytes, cpu };
}

/** KiB of the process for each connection that keeps a compressor and a decompressor, after a message each way. */
async function memoryOfContexts(level) {
  const message = documents(4096, 1).map((document) => Buffer.from(JSON.stringify(document)))[0];
  const rss = () => {
    for (let i = 0; i < 4; i++) globalThis.gc?.();
    return process.memoryUsage.rss();
  };
  const compressed = deflateRawSync(message, { finishFlush: constants.Z_SYNC_FLUSH });
  const before = rss();
  const kept = [];
  for (let i = 0; i < connections; i++) {
    for (const [stream, data] of [
      [createDeflateRaw({ level }), message],
      [createInflateRaw(), compressed],
    ]) {
      stream.resume();
      stream.write(data);
      await new Promise((resolve) => stream.flush(constants.Z_SYNC_FLUSH, resolve));
      kept.push(stream);
    }
  }
  const each = (rss() - before) / connections / 1024;
  for (const stream of kept) stream.close();
  return each;
}

const fixed = (value, digits = 0) => value.toFixed(digits);
const middle = (results, key) => median(results.map((result) => result[key]));

console.log(
  `Node.js ${process.version}, ${count} messages of each kind, medians of ${rounds} rounds. Bytes and µs of CPU time per message.\n`,
);
for (const [title, messages] of traffic) {
  const plain = messages.reduce((sum, message) => sum + message.length, 0) / count;
  console.log(`${title}: ${fixed(plain)} B`);
  console.log("| level | bytes, no context | bytes, context | µs, no context | µs, context |\n|---|---|---|---|---|");
  const results = new Map(LEVELS.map((level) => [level, { without: [], with: [] }]));
  for (let round = 0; round <= rounds; round++) {
    for (const level of LEVELS) {
      const found = { without: withoutContext(messages, level), with: await withContext(messages, level) };
      if (round > 0) for (const kind of ["without", "with"]) results.get(level)[kind].push(found[kind]); // the first round warms up
    }
  }
  for (const [level, found] of results) {
    const cells = ["bytes", "cpu"].flatMap((key) => [found.without, found.with].map((each) => fixed(middle(each, key) / count)));
    console.log(`| ${[level, ...cells].join(" | ")} |`);
  }
  console.log("");
}

console.log("JSON of one document\n| | plain | level 1 | level 3 | level 6 |\n|---|---|---|---|---|");
for (const kilobytes of [1, 4, 16]) {
  const messages = packets("document", documents(kilobytes * 1024, 50));
  const mean = (list) => fixed(list.reduce((sum, each) => sum + each, 0) / list.length);
  const sizes = [1, 3, 6].map((level) => fixed(withoutContext(messages, level).bytes / messages.length));
  console.log(`| ${[`${kilobytes} KB`, mean(messages.map(({ length }) => length)), ...sizes].join(" | ")} |`);
}

console.log(
  "\nMemory of one compressor and one decompressor, which a connection with a context on both sides keeps\n| level | KiB |\n|---|---|",
);
for (const level of [1, 3, 6]) console.log(`| ${level} | ${fixed(await memoryOfContexts(level))} |`);
