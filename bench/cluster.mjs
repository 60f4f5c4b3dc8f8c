// Measures what messages between servers cost each of them: roomcast's adapter beside the official one on socket.io, with a real broker. Both
// sets of servers run at the same time, each on a broker of its own, and take turns. CPU time (user + system) of each process per message, in microseconds; `ratio` is the
// official one's by ours. One message per burst would measure how long it takes to wake a process, so the load comes in bursts: 20 every
// 10 ms, and 200 every 20 ms.
//   node bench/cluster.mjs [--backends redis,sharded,postgres,cluster] [--only text] [--rounds 3] [--nodes 2,8,16] [--sockets 10] [--write]
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { starters } from "../test/peers/cluster/backends.js";
import { startProcesses } from "../test/peers/cluster/processes.js";
import { closeAll } from "../test/peers/cluster/services.js";
import { startChild } from "./lib/child.mjs";
import { describeMachine, RESULTS } from "./lib/report.mjs";
import { median } from "./lib/stats.mjs";

const OFFICIAL = "@socket.io";
const PUBLISHER = "publisher, without the local emit";
const ELSEWHERE = "room elsewhere";
const HERE = "room of 5 here";
const FETCH = "fetchSockets, all processes";
const COUNT = "count() beside fetchSockets().length";
/** Per backend: what it runs on, the names of the two adapters in test/peers/cluster/adapters.cjs, and ratios that must be reached. */
const BACKENDS = {
  redis: {
    service: "redis",
    ours: "roomcast/redis with redis",
    official: `${OFFICIAL}/redis-adapter with redis`,
    musts: { [PUBLISHER]: 1.5, [ELSEWHERE]: 4, [HERE]: 2, [FETCH]: 2, [COUNT]: 20 },
  },
  sharded: {
    service: "redis",
    ours: "roomcast/redis, sharded, with redis",
    official: `${OFFICIAL}/redis-adapter, sharded, with redis`,
    musts: { [PUBLISHER]: 1.5, [HERE]: 2, [FETCH]: 2, [COUNT]: 20 },
  },
  postgres: {
    service: "postgres",
    ours: "roomcast/postgres",
    official: `${OFFICIAL}/postgres-adapter`,
    musts: { [PUBLISHER]: 1.5, [ELSEWHERE]: 1.3, [HERE]: 1.5, [FETCH]: 2, [COUNT]: 20 },
  },
  nats: { service: "nats", ours: "roomcast/nats", musts: {} },
  cluster: {
    service: "node:cluster",
    ours: "roomcast/cluster",
    official: `${OFFICIAL}/cluster-adapter`,
    musts: { [PUBLISHER]: 1.5, [ELSEWHERE]: 4, [HERE]: 2, [FETCH]: 2, [COUNT]: 20 },
  },
};
const SHAPES = [
  { burst: 20, everyMs: 10 },
  { burst: 200, everyMs: 20 },
];
const POUR_MS = 2000;
/** `42["event","x…",100000000]` in one unmasked frame. */
const FRAME_BYTES = 2 + '42["event","",100000000]'.length + 64;
const ROOM = "room";
/** So many that the code for them is compiled. */
const QUESTIONS = 200;
const CLIENTS = new URL("load/cluster-clients.mjs", import.meta.url).pathname;
const WAIT_MS = 60_000;

const { values } = parseArgs({
  options: {
    backends: { type: "string", default: Object.keys(BACKENDS).join(",") },
    only: { type: "string", default: "" },
    rounds: { type: "string", default: "3" },
    nodes: { type: "string", default: "2,8,16" },
    clients: { type: "string", default: "2000" },
    sockets: { type: "string", default: "10" },
    write: { type: "boolean", default: false },
  },
});
const rounds = Number(values.rounds);
const socketsPerNode = Number(values.sockets);
const rows = [];
/** What `startProcesses` and a set's clients register here ends with the set. */
let closers = [];
const scope = { after: (close) => closers.push(close) };

const parts = { messages, "broadcast to all": broadcasts, requests };
const { kind, date } = describeMachine({ version: process.version, serverCore: "", loadCores: [] });
const machine = {
  version: process.version,
  summary: `Node.js ${process.version}; ${kind}; processes not pinned to cores; loopback; ${date}`,
};
console.log(machine.summary);
try {
  for (const name of values.backends.split(",")) {
    const backend = BACKENDS[name];
    if (backend === undefined) throw new Error(`no backend "${name}"; there are: ${Object.keys(BACKENDS).join(", ")}`);
    // A service for each set: on one they would be one cluster, and answer each other's questions.
    const connections = {};
    for (const kind of ["ours", "official"])
      if (backend[kind] !== undefined) connections[kind] = (await starters[backend.service]()).connection;
    console.log(`\n## ${name}`);
    for (const [title, part] of Object.entries(parts)) {
      if (!title.includes(values.only)) continue;
      await part(name, connections);
      await endSets();
    }
  }
  if (values.write) writeReport();
} finally {
  await endSets();
  await closeAll();
}
process.exit();

/** The servers of one adapter, and their clients, which are in processes of their own. */
async function startSet(kind, name, connection, count) {
  const adapter = BACKENDS[name][kind];
  const node = kind === "ours" ? { server: "roomcast", base: "ours", adapter } : { server: "socket.io", base: "own", adapter };
  const options = { pingInterval: 3_600_000 }; // the clients answer no pings
  const nodes = await startProcesses(scope, { connection }, Array(count).fill(node), { options, isReused: false });
  const clients = await startChild({ script: CLIENTS });
  closers.push(() => clients.stop());
  const set = { kind, nodes, clients };
  await Promise.all(nodes.map((node) => whole(node, count)));
  return set;
}

/** Waits until a node knows all others. */
async function whole(node, count) {
  const deadline = Date.now() + WAIT_MS;
  while ((await node.run(({ io }) => io.of("/").adapter.serverCount())) < count) {
    if (Date.now() > deadline) throw new Error(`waited ${WAIT_MS} ms for a node to know ${count}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function endSets() {
  for (const close of closers.reverse()) await close();
  closers = [];
}

/** One set of ours and one of the official adapter, where there is one. */
async function startSets(name, connections, count) {
  const sets = [];
  for (const [kind, connection] of Object.entries(connections)) sets.push(await startSet(kind, name, connection, count));
  return sets;
}

async function openClients({ nodes, clients }, index, count, room) {
  const node = nodes[index];
  await node.run(({ io, kept }, room) => {
    io.off("connection", kept.onConnection ?? (() => {}));
    kept.onConnection = (socket) => room !== null && socket.join(room);
    io.on("connection", kept.onConnection);
  }, room ?? null);
  await clients.command("open", { port: Number(new URL(node.url).port), count });
}

/** CPU time of each node and of this process, the primary of node:cluster, in microseconds. */
async function cpuOf(nodes) {
  const own = process.cpuUsage();
  const times = await Promise.all(nodes.map((node) => node.run(() => process.cpuUsage())));
  return [...times, own].map(({ user, system }) => user + system);
}

/** What `work` costs each node, and the primary. */
async function costs({ nodes }, work) {
  const before = await cpuOf(nodes);
  await work();
  return (await cpuOf(nodes)).map((time, index) => time - before[index]);
}

/** Emits bursts of events of 84 bytes to a room, or to all; `isAlone` emits on a server without an adapter, in the same process. */
async function pour(node, { burst, everyMs, room, isAlone = false }) {
  const count = burst * Math.round(POUR_MS / everyMs);
  await node.run(
    ({ io, kept }, { burst, everyMs, count, room, isAlone }) => {
      const alone = isAlone ? (kept.alone ??= new io.constructor()) : io;
      const text = "x".repeat(64);
      let number = 0;
      return new Promise((resolve) => {
        const timer = setInterval(() => {
          for (let i = 0; i < burst; i++) (room === null ? alone : alone.to(room)).emit("event", text, 100_000_000 + number++);
          if (number < count) return;
          clearInterval(timer);
          resolve();
        }, everyMs);
      });
    },
    { burst, everyMs, count, room: room ?? null, isAlone },
  );
  return count;
}

/** Pours, and waits until the clients of the set have got everything. */
async function pourAndReceive(set, receivers, settings) {
  const before = await set.clients.command("bytes");
  const count = await pour(set.nodes[0], settings);
  const total = before + count * receivers * FRAME_BYTES;
  await set.clients.command("until", { total, ms: WAIT_MS });
  return count;
}

/** Rows of ours and the official one, whose turns alternate. */
async function takeTurns(sets, measure) {
  const all = sets.map(() => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [index, set] of sets.entries()) {
      const values = await measure(set);
      if (round > 0) all[index].push(values); // the first is the warm-up
    }
  }
  return Object.keys(all[0][0]).map((key) => {
    const [ours, official] = all.map((list) => list.map((values) => values[key]));
    return {
      key,
      ours: median(ours),
      official: official && median(official),
      ratio: official && median(official.map((value, i) => value / ours[i])),
    };
  });
}

function report(backend, title, unit, results) {
  for (const { key, ours, official, ratio } of results) {
    const must = BACKENDS[backend].musts[key];
    const row = { scenario: `${backend}, ${title}: ${key}`, unit, ours, official, ratio, must };
    rows.push(row);
    const beside = official === undefined ? "" : `, official ${show(official)}, ratio ${ratio.toFixed(2)}`;
    console.log(`${row.scenario} [${unit}]: ours ${show(ours)}${beside}${must === undefined ? "" : `, must ${must}`}`);
  }
}

function show(value) {
  return Math.abs(value) < 10 ? value.toFixed(2) : value.toFixed(0);
}

/** Three nodes: one emits, one has no client in the room, one has five. */
async function messages(name, connections) {
  const sets = await startSets(name, connections, 3);
  for (const set of sets) await openClients(set, 2, 5, ROOM);
  for (const shape of SHAPES) {
    const results = await takeTurns(sets, async (set) => {
      let count;
      const [alone] = await costs(set, async () => (count = await pour(set.nodes[0], { ...shape, room: ROOM, isAlone: true })));
      const [publisher, elsewhere, here, primary] = await costs(set, () => pourAndReceive(set, 5, { ...shape, room: ROOM }));
      const figures = { [PUBLISHER]: publisher - alone, [ELSEWHERE]: elsewhere, [HERE]: here };
      if (name === "cluster") figures["the primary"] = primary;
      return Object.fromEntries(Object.entries(figures).map(([key, time]) => [key, time / count]));
    });
    report(name, `${shape.burst} per ${shape.everyMs} ms`, "µs per message", results);
  }
}

/** A broadcast to all clients of three nodes. */
async function broadcasts(name, connections) {
  const sets = await startSets(name, connections, 3);
  const perNode = Number(values.clients);
  for (const set of sets) for (let index = 0; index < 3; index++) await openClients(set, index, perNode);
  const results = await takeTurns(sets, async (set) => {
    let count;
    const [publisher, ...others] = await costs(
      set,
      async () => (count = await pourAndReceive(set, 3 * perNode, { burst: 2, everyMs: 100 })),
    );
    return { "all three nodes": (publisher + others[0] + others[1]) / count };
  });
  report(name, `broadcast to 3 × ${perNode} clients`, "µs per broadcast", results);
}

/** Requests to all nodes, and messages for rooms that live on one node, as the number of nodes grows. */
async function requests(name, connections) {
  for (const size of values.nodes.split(",").map(Number)) {
    const sets = await startSets(name, connections, size);
    for (const set of sets) for (let index = 0; index < size; index++) await openClients(set, index, socketsPerNode, `room-${index}`);
    const results = await takeTurns(sets, async (set) => {
      const all = async (work) => (await costs(set, work)).reduce((sum, time) => sum + time, 0) / 1000;
      const fetch = (await all(() => askOften(set.nodes[0], "fetchSockets"))) / QUESTIONS;
      // The official adapters have no way to count but to fetch.
      const count = set.kind === "ours" ? (await all(() => askOften(set.nodes[0], "count"))) / QUESTIONS : fetch;
      return { [FETCH]: fetch, [COUNT]: count };
    });
    report(name, `${size} nodes with ${socketsPerNode} sockets each`, "ms per call", results);
    const flat = await takeTurns(sets, async (set) => {
      let count = 0;
      const spent = await costs(set, async () => {
        for (const [index, node] of [...set.nodes.entries()].slice(0, 2)) {
          count += await pour(node, { ...SHAPES[1], room: `room-${(index + 1) % size}` });
        }
      });
      return { "message for a room that lives on one node, all processes": spent.reduce((sum, time) => sum + time, 0) / count };
    });
    report(name, `${size} nodes`, "µs per message", flat);
    await endSets();
  }
}

function askOften(node, method) {
  return node.run(
    async ({ io }, method, times) => {
      for (let i = 0; i < times; i++) await io[method]();
    },
    method,
    QUESTIONS,
  );
}

function writeReport() {
  const lines = ["| what | unit | roomcast | official adapter on socket.io | ratio |", "|---|---|--:|--:|--:|"];
  for (const { scenario, unit, ours, official, ratio } of rows) {
    lines.push(`| ${scenario} | ${unit} | ${show(ours)} | ${official === undefined ? "" : show(official)} | ${ratio?.toFixed(2) ?? ""} |`);
  }
  writeFileSync(join(RESULTS, "cluster.json"), `${JSON.stringify({ machine, cluster: rows }, null, 1)}\n`);
  writeFileSync(join(RESULTS, "cluster.md"), `# Messages between servers\n\n${machine.summary}.\n\n${lines.join("\n")}\n`);
}
