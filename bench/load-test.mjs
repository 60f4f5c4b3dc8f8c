/**
 * `npm run load-test -- --clients 19000 --minutes 5 [--in 400] [--factor 1]`: 400 messages per second in and 19,000 deliveries per second out.
 * The clients are in rooms of 48 (`--out` / `--in` rounded): each message goes to the members of one room, and has a number and the time of its
 * sending. A generator in this process, the server in another one. The model is open: messages are sent at their time, whatever became of the
 * earlier ones, so that a server that is late shows it. Besides, a volatile event goes to a room once per second and room in turn.
 * If the clients' process is late itself (near 100 % of a core, or a busy machine), the latencies say nothing about the server.
 * Prints per step (`--factor 1`, then 2 with `--factor 1,2`): messages in and out per second, latency p50, p90, p99, p99.9, max, CPU of the server;
 * messages lost, out of order, clients cut, volatile events dropped. Exits 1 if a message was lost or out of order, or a client was cut.
 */
import { createHistogram } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { Client, textFrame } from "./load/client.mjs";
import { ServerProcess } from "./lib/server-process.mjs";

const { values: options } = parseArgs({
  options: {
    clients: { type: "string", default: "19000" },
    minutes: { type: "string", default: "5" },
    in: { type: "string", default: "400" },
    out: { type: "string", default: "19000" },
    factor: { type: "string", default: "1,2" },
  },
});
const count = Number(options.clients);
const perSecond = Number(options.in);
const roomSize = Math.round(Number(options.out) / perSecond);
const roomCount = Math.floor(count / roomSize);
const addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"];
const pass = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
/** What is late after the end of a step arrives within this time, or is lost. */
const DRAIN_MS = 30_000;
const PADDING = "x".repeat(60);

const server = await ServerProcess.start(
  { options: { pingInterval: 60_000, pingTimeout: 60_000, perMessageDeflate: false } },
  { execArgv: ["--expose-gc"] },
);
let cut = 0;
let measured = null;
let number = 0;
let isOver = false;
const clients = await openAll();
console.log(
  `${clients.length} clients in ${roomCount} rooms of ${roomSize}; ${perSecond} messages per second in, ${perSecond * roomSize} out`,
);
const cost = await server.call("sizes", false);
const from = performance.now();
await server.call("sizes", false);
console.log(
  `RSS ${(cost.memory.rss / 1024 / 1024).toFixed(0)} MiB; a call of stats() with its way over IPC: ${(performance.now() - from).toFixed(1)} ms`,
);

const senders = Array.from({ length: roomCount }, (_, room) => clients.find((client) => client.room === room));
let failed = false;
for (const factor of options.factor.split(",").map(Number)) if (!(await step(factor))) failed = true;
isOver = true;
for (const client of clients) client.close();
server.stop();
process.exit(failed ? 1 : 0);

async function openAll() {
  const opened = [];
  let next = 0;
  const opener = async () => {
    while (next < count) {
      const index = next++;
      const client = new Client({ port: server.port, localAddress: addresses[index % addresses.length] });
      await client.open();
      client.room = index % roomCount;
      client.last = 0;
      client.onFrame = onFrame;
      client.socket.on("close", () => {
        if (!isOver) cut++;
      });
      client.socket.write(textFrame(`42["join","room-${client.room}"]`));
      opened.push(client);
    }
  };
  await Promise.all(Array.from({ length: 200 }, opener));
  return opened;
}

function onFrame(client, data, start, end) {
  const text = data.latin1Slice(start, end);
  if (text === "2") return client.socket.write(textFrame("3"));
  if (text.startsWith('42["position"')) return measured.volatile++;
  // 42["published","<number> <time> <padding>"]
  const at = text.indexOf('","') + 3;
  const space = text.indexOf(" ", at);
  const number = Number(text.slice(at, space));
  const sentAt = Number(text.slice(space + 1, text.indexOf(" ", space + 1)));
  measured.received++;
  if (number <= client.last) measured.disordered++;
  client.last = number;
  measured.latency.record(Math.max(1, Math.round((performance.now() - sentAt) * 1000)));
  return undefined;
}

async function step(factor) {
  measured = { received: 0, expected: 0, disordered: 0, volatile: 0, volatileExpected: 0, sent: 0, latency: createHistogram() };
  const sizes = Array.from({ length: roomCount }, () => 0);
  for (const { room } of clients) sizes[room]++;
  const rate = perSecond * factor;
  const before = await server.call("sizes", false);
  const ownBefore = process.cpuUsage();
  const begun = performance.now();
  const endAt = begun + Number(options.minutes) * 60_000;
  let volatileSent = 0;
  for (let now = begun; now < endAt; now = performance.now()) {
    for (const due = Math.floor(((now - begun) / 1000) * rate); measured.sent < due; measured.sent++) {
      const sender = senders[measured.sent % roomCount]; // one per room: the order of several senders is nobody's
      number++;
      const dueAt = begun + (measured.sent / rate) * 1000;
      sender.socket.write(textFrame(`42["publish","room-${sender.room}","${number} ${dueAt.toFixed(2)} ${PADDING}"]`));
      measured.expected += sizes[sender.room];
    }
    if (Math.floor((now - begun) / 100) > volatileSent) {
      const sender = senders[(volatileSent++ * 7) % roomCount];
      sender.socket.write(textFrame(`42["publish volatile","room-${sender.room}","${PADDING}"]`));
      measured.volatileExpected += sizes[sender.room];
    }
    await pass(2);
  }
  const seconds = (performance.now() - begun) / 1000;
  const after = await server.call("sizes", false);
  for (const until = performance.now() + DRAIN_MS; measured.received < measured.expected && performance.now() < until;) await pass(20);
  const { latency, sent, received, expected, disordered, volatile, volatileExpected } = measured;
  const ms = (value) => `${(value / 1000).toFixed(1)}`;
  const used = process.cpuUsage(ownBefore);
  const own = (used.user + used.system) / 1e6 / seconds;
  const cpu = (after.cpu.user + after.cpu.system - before.cpu.user - before.cpu.system) / 1e6 / seconds;
  console.log(
    `× ${factor}: ${(sent / seconds).toFixed(0)} in/s, ${(received / seconds).toFixed(0)} out/s for ${seconds.toFixed(0)} s, server ${(cpu * 100).toFixed(0)} %, clients ${(own * 100).toFixed(0)} % of a core\n` +
      `   latency in ms: p50 ${ms(latency.percentile(50))}, p90 ${ms(latency.percentile(90))}, p99 ${ms(latency.percentile(99))}, p99.9 ${ms(latency.percentile(99.9))}, max ${ms(latency.max)}\n` +
      `   lost ${expected - received} of ${expected}, out of order ${disordered}, clients cut ${cut}, volatile dropped ${volatileExpected - volatile} of ${volatileExpected}`,
  );
  for (const error of after.errors) console.log(`the server met ${error}`);
  return received === expected && disordered === 0 && cut === 0 && after.errors.length === 0;
}
