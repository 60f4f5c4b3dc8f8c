/**
 * `npm run soak -- --minutes N [--rate N] [--plot file.svg] [--seed n] [--only webSocket,polling]`: clients of every kind come and go, then everything must be as before.
 * A server in its own process; `--rate` lives of clients per second (default 50): over polling, WebSocket, upgrades, simulated WebTransport;
 * with rooms, acknowledgements, namespaces (also of patterns), recoveries, floods that they read slowly or not at all, volatile events,
 * disconnections by either side, connections that are cut in the middle of a frame, body or handshake, and connections that stay silent.
 * After a warm-up, and again at the end, all clients leave: heap, handles and every table of `io.stats()` must be the same. RSS is printed, and
 * must not grow by more than 96 MiB: the young generation alone may take 48 of them. Exits 1 if something has grown, or if the server met an error.
 */
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { parseArgs } from "node:util";
import { randomFrom } from "../fuzz/random.mjs";
import { frame, http, messageFrame, PollingSession, requestBytes, upgradeBytes, WireSocket } from "../test/support/wire-client.js";
import { ServerProcess } from "./lib/server-process.mjs";
import { lineCharts } from "./lib/svg.mjs";

const { values: options } = parseArgs({
  options: {
    minutes: { type: "string", default: "2" },
    rate: { type: "string", default: "50" },
    plot: { type: "string" },
    seed: { type: "string" },
    only: { type: "string" },
  },
});
const minutes = Number(options.minutes);
const rate = Number(options.rate);
const seed = options.seed === undefined ? 1 + Math.floor(Math.random() * 2 ** 30) : Number(options.seed);
const below = randomFrom(seed);
const MIB = 1024 * 1024;
/** The heap may differ by so much: V8 keeps more or less of what it has compiled. What grows with each client shows more after thousands of them. */
const HEAP_SLACK_BYTES = 8 * MIB;
/** The young generation, at most three times `--max-semi-space-size`, and the holes that malloc keeps. */
const RSS_SLACK_BYTES = 96 * MIB;
/** The longest deadline of the server: a connection that is being closed. */
const REST_MS = 45_000;
/** `maxDisconnectionDuration`, and the time in which a silent client is noticed. */
const PACKETS_MS = 2000 + 3000 + 100;
const PATH = "/socket.io/";
const WEBSOCKET = `${PATH}?EIO=4&transport=websocket`;

const settings = {
  options: {
    transports: ["polling", "websocket", "webtransport"],
    allowEIO3: true,
    pingInterval: 1000,
    pingTimeout: 1000,
    connectTimeout: 1000,
    upgradeTimeout: 1000,
    httpRequestBodyTimeout: 1000,
    cleanupEmptyChildNamespaces: true,
    connectionStateRecovery: { maxDisconnectionDuration: 2000 },
    perMessageDeflate: true,
    limits: { stalledAfterMs: 5000, stalledBytes: 256 * 1024 },
  },
  http: { connectionsCheckingInterval: 1000, headersTimeout: 2000, requestTimeout: 4000, keepAliveTimeout: 1000 },
};
const server = await ServerProcess.start(settings, { execArgv: ["--expose-gc", "--max-semi-space-size=16"] });
const { port } = server;
const pass = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const started = performance.now();

// -- lives of clients

async function join(ws, nsp = "") {
  ws.send(`40${nsp}`);
  const answer = await ws.until((message) => String(message).startsWith(`40${nsp}{`));
  return JSON.parse(answer.slice(2 + nsp.length));
}

async function open(query = "", headers = {}) {
  const ws = await WireSocket.open(port, WEBSOCKET + query, headers);
  ws.socket.on("error", () => {});
  return ws;
}

function leave(ws) {
  const how = below(6);
  if (how === 0) ws.close(1000);
  else if (how === 1) ws.send("41", "1");
  else if (how === 2) ws.write(messageFrame('42["echo","cut in the middle"]').subarray(0, 1 + below(20)));
  else if (how === 3) ws.abort({ reset: true });
  return pass(below(20)).then(() => ws.abort());
}

const lives = {
  async webSocket() {
    const ws = await open();
    await join(ws);
    const room = `room-${below(10)}`;
    ws.send(`42["join","${room}"]`, '420["echo",1]', `42["say","${room}","hello"]`, '42["ask",200]', '42["ask without time-out"]');
    ws.send(`42["ask all","${room}"]`, '42["volatile",20]', '451-["binary",{"_placeholder":true,"num":0}]', Buffer.alloc(100));
    await ws.until((message) => Buffer.isBuffer(message));
    if (below(2) === 0) ws.send(`42["leave","${room}"]`);
    await leave(ws);
  },
  async compressed() {
    const ws = await open("", { "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits" });
    ws.send("40");
    await pass(50);
    ws.send('42["flood",3,5000]');
    await pass(50);
    await leave(ws);
  },
  async polling() {
    const session = await PollingSession.open(port, "", { path: PATH });
    await session.post("40");
    await session.poll();
    await session.post('420["echo",1]\x1e42["join","room-1"]');
    await session.poll();
    const how = below(5);
    if (how === 0) await session.post("1");
    else if (how === 1) await pass(5).then(() => Promise.race([session.get(), pass(20)]).catch(() => {}));
    else if (how === 2)
      await cut(requestBytes(port, { method: "POST", path: session.url(), body: "4".repeat(5000) }).subarray(0, -below(5000)));
    else if (how === 3) await session.post('42["bye",true]').then(() => session.get().catch(() => {}));
  },
  async upgrade() {
    const session = await PollingSession.open(port, "", { path: PATH });
    await session.post("40");
    await session.poll();
    if (below(3) === 0) {
      const candidate = await session.candidate();
      if (below(2) === 0) candidate.send("2probe");
      await pass(below(20));
      return candidate.abort();
    }
    const ws = await session.upgrade();
    ws.socket.on("error", () => {});
    ws.send('420["echo",1]');
    await ws.until((message) => message === "430[1]");
    return leave(ws);
  },
  async namespaces() {
    const ws = await open();
    await join(ws);
    for (const nsp of ["/a,", `/dyn-${below(50)},`]) {
      await join(ws, nsp);
      ws.send(`42${nsp}1["echo",1]`, `42${nsp}["ask",100]`);
    }
    ws.send("40/unknown,", '40/a-second,{"refuse":true}');
    if (below(2) === 0) ws.send("41/a,");
    await leave(ws);
  },
  async recovery() {
    const ws = await open();
    const { sid, pid } = await join(ws);
    ws.send('42["join","room-1"]', '42["say","room-1","before"]');
    const said = await ws.until((message) => String(message).startsWith('42["said"'));
    const offset = JSON.parse(said.slice(2))[2];
    ws.abort();
    await pass(20);
    const again = await open();
    again.send(`40${JSON.stringify({ pid, offset })}`);
    const answer = await again.until((message) => String(message).startsWith("40{"));
    if (JSON.parse(answer.slice(2)).sid !== sid) count("recoveries that failed");
    await leave(again);
  },
  async slowReader() {
    const ws = await open();
    await join(ws);
    ws.pause();
    ws.send('42["flood",200,10000]', '42["volatile",100]');
    await pass(200 + below(1500));
    if (below(2) === 0) return ws.abort();
    ws.resume();
    await pass(300);
    return leave(ws);
  },
  async serverDisconnects() {
    const ws = await open();
    await join(ws);
    ws.send(`42["bye",${below(2) === 0}]`);
    await pass(30);
    ws.abort();
  },
  async silent() {
    const ws = await open(below(2) === 0 ? "" : "&EIO=3");
    if (below(2) === 0) ws.send("40"); // and no pong
    await pass(below(4000));
    ws.abort();
  },
  async halfOpen() {
    const request = upgradeBytes(port, WEBSOCKET);
    await cut(request.subarray(0, below(request.length + 1)), below(2500));
  },
  async garbage() {
    const ws = await open();
    await join(ws);
    ws.write(frame(below(16), Buffer.alloc(below(200), below(256)), { rsv: below(8), fin: below(2) === 0 }));
    await pass(20);
    ws.abort();
  },
  async refused() {
    for (const path of [`${PATH}?EIO=4&transport=foo`, `${PATH}?EIO=4&transport=polling&sid=unknown`]) await http(port, { path });
    const ws = await open();
    ws.send('40{"refuse":true}');
    await ws.until((message) => String(message).startsWith("44"));
    ws.abort();
  },
  webTransport: () => server.call("webtransport", below(3)),
};

/** Sends bytes on a new connection and destroys it, a little later. */
function cut(bytes, ms = below(30)) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
    socket.on("error", () => {});
    setTimeout(() => {
      socket.destroy();
      resolve();
    }, ms);
  });
}

// -- the run

const counters = {};
const count = (name) => (counters[name] = (counters[name] ?? 0) + 1);
const samples = [];
const names = Object.keys(lives).filter((name) => options.only === undefined || options.only.split(",").includes(name));
const running = new Set();

async function live(name) {
  try {
    await lives[name]();
    count(name);
  } catch (error) {
    count(`${name}: ${String(error.message).slice(0, 40)}`);
  }
}

/** Starts lives at the rate for so many milliseconds, and waits until all are over. */
async function churn(ms, onSecond) {
  const from = performance.now();
  for (let begun = 0, second = 0; performance.now() - from < ms; await pass(10)) {
    const due = ((performance.now() - from) / 1000) * rate;
    for (; begun < due && running.size < 500; begun++) {
      const life = live(names[below(names.length)]).finally(() => running.delete(life));
      running.add(life);
    }
    if (begun < due) begun = due; // the machine is too slow for the rate: what is late is left out
    if (Math.floor((performance.now() - from) / 1000) > second) await onSecond?.((second += 1));
  }
  await Promise.all(running);
}

/** All that has to be the same; counters that only grow, and the deadlines of the whole process, aside. */
function tablesOf({ handles, stats }) {
  const { counts: _, deadlines, ...tables } = stats;
  const { process: __, ...own } = deadlines;
  const namespaces = Object.entries(stats.namespaces).map(([name, { adapter, ...others }]) => {
    return [name, { ...others, adapter: { ...adapter, recoveryBytes: undefined } }]; // of the last packet, which has more or fewer digits
  });
  return JSON.stringify({ ...tables, namespaces, deadlines: own, handles: { ...handles, Immediate: undefined, Timeout: undefined } });
}

/** Waits until nothing is left of the clients. */
async function rest(expected) {
  const until = performance.now() + REST_MS;
  let sizes = await server.call("sizes", true);
  const isResting = () =>
    expected === null
      ? sizes.stats.sessions === 0 && sizes.stats.closingConnections === 0 && (sizes.handles.TCPSocketWrap ?? 0) === 0 && isForgotten(sizes)
      : tablesOf(sizes) === expected;
  while (!isResting() && performance.now() < until) {
    await pass(500);
    sizes = await server.call("sizes", true);
  }
  return sizes;
}

/** Packets for recovery stay for their time, and until the next one is kept; the heap counts them. */
async function forgetPackets() {
  await pass(PACKETS_MS);
  await server.call("emit");
}

const isForgotten = ({ stats }) =>
  stats.timedAcks === 0 && Object.values(stats.namespaces).every(({ adapter }) => adapter.recoverySessions === 0);

const warmUpMs = Math.max(15_000, Math.min(60_000, minutes * 6000));
console.log(`seed ${seed}; warm-up of ${warmUpMs / 1000} s, then ${minutes} minutes at ${rate} lives per second`);
await churn(warmUpMs);
await rest(null);
await forgetPackets();
const before = await rest(null);
const expected = tablesOf(before);
await churn(minutes * 60_000, async (second) => {
  if (second % Math.max(1, Math.round(minutes)) !== 0) return;
  const { memory, stats } = await server.call("sizes", false);
  samples.push({
    second,
    heap: memory.heapUsed / MIB,
    rss: memory.rss / MIB,
    sessions: stats.sessions,
    rooms: stats.namespaces["/"].adapter.rooms,
  });
});
await rest(null);
await forgetPackets();
const after = await rest(expected);

const grown = [];
const compare = (what, from, to, slack) => {
  const text = `${what.padEnd(8)} ${(from / MIB).toFixed(1)} -> ${(to / MIB).toFixed(1)} MiB`;
  console.log(text);
  if (to - from > slack) grown.push(text);
};
const cpuSeconds = (after.cpu.user + after.cpu.system) / 1e6;
console.log(`processor time: server ${cpuSeconds.toFixed(0)} s, clients ${(process.cpuUsage().user / 1e6).toFixed(0)} s`);
console.log(
  Object.entries(counters)
    .sort(([, a], [, b]) => b - a)
    .map(([name, times]) => `${String(times).padStart(8)}  ${name}`)
    .join("\n"),
);
compare("heap", before.memory.heapUsed, after.memory.heapUsed, HEAP_SLACK_BYTES);
compare("RSS", before.memory.rss, after.memory.rss, RSS_SLACK_BYTES);
compare("buffers", before.memory.arrayBuffers, after.memory.arrayBuffers, HEAP_SLACK_BYTES);
if (tablesOf(after) !== expected) grown.push(`tables and handles:\n  before ${expected}\n  after  ${tablesOf(after)}`);
else console.log("handles and all tables of io.stats(): as before");
for (const error of after.errors) grown.push(`the server met ${error}`);
if (options.plot !== undefined) plot(options.plot);
server.stop();
console.log(
  grown.length === 0 ? `nothing has grown, ${((performance.now() - started) / 1000).toFixed(0)} s` : `\nGROWN:\n${grown.join("\n")}`,
);
process.exit(grown.length === 0 ? 0 : 1);

function plot(file) {
  const line = (key, title) => ({
    name: "roomcast",
    title: "roomcast",
    points: samples.map((sample) => [sample.second / 60, sample[key]]),
    of: title,
  });
  const panel = (key, title, unit) => ({ title, unit, xTitle: "minutes", isLinear: true, lines: [line(key, title)] });
  const panels = [panel("heap", "heap, before collection", "MiB"), panel("rss", "RSS", "MiB"), panel("sessions", "sessions", "count")];
  writeFileSync(file, lineCharts({ title: `Soak: ${minutes} minutes, ${rate} clients per second come and go`, panels }));
  console.log(`plot: ${file}`);
}
