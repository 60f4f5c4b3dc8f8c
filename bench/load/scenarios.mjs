// The scenarios. If a load can be repeated, `open(bed)` connects the clients and `turn(bed)` is the load, which resolves with
// `{ units, latencies }`; `before(bed)` and `after(bed)` run around it and are not measured. All servers run at the same time and take short
// turns. Otherwise `run(bed)` needs a new server and returns one measurement (see `Bed.measure`), or `{ parts }` with several:
// measurements, or `{ value, unit, per }`. `for` selects the servers, `beside` adds some; `options` and `host` change how a server is started.
import { median } from "../lib/stats.mjs";
import { coldStart, installSize } from "./standalone.mjs";

const onApi = ({ kind }) => kind === "api";
const onNodeApi = ({ kind, host }) => kind === "api" && host === "node";

function connect(title, transport, { count = 3000, client, ...scenario } = {}) {
  return {
    title,
    unit: "connection",
    open: () => {},
    turn: (bed) => bed.open(bed.scaled(count), { transport, ...client }),
    async after(bed) {
      await bed.close();
      await bed.server.command("connected", 0);
    },
    ...scenario,
  };
}

function echo(title, { clients, count, inFlight, client, ...scenario }) {
  return {
    title,
    unit: "message",
    open: (bed) => bed.open(clients, client),
    turn: (bed) => bed.load.run("echo", { count: bed.scaled(count, inFlight), inFlight }),
    ...scenario,
  };
}

function broadcast(title, { clients = 1000, times, perTick = 1, bytes = 64, binary = false, rooms = 0, gapMs = 1, client, ...scenario }) {
  return {
    title,
    unit: "recipient",
    async open(bed) {
      await bed.open(clients, client);
      if (rooms > 0) await bed.server.command("assign", rooms);
    },
    async turn(bed) {
      const rounds = bed.scaled(times, 2);
      await bed.load.run("count");
      const [{ latencies }] = await Promise.all([
        bed.load.run("arrived", { frames: rounds * perTick * (binary ? 2 : 1) }),
        bed.server.command("broadcast", { times: rounds, perTick, bytes, binary, rooms, gapMs }),
      ]);
      return { units: rounds * perTick * clients, latencies };
    },
    ...scenario,
  };
}

const deflatingClient = { deflate: true, checks: true };
const deflating = { options: { perMessageDeflate: true }, for: onNodeApi, beside: ["roomcast-uncompressed"] };

/** Documents to 1,000 clients that negotiated compression; some of them inflate and compare all that they get. */
function broadcastDeflated(title, { times, bytes, gapMs = 1 }) {
  const clients = 1000;
  const rounds = (bed) => bed.scaled(times, 2);
  return {
    title,
    unit: "recipient",
    ...deflating,
    open: (bed) => bed.open(clients, deflatingClient),
    async turn(bed) {
      await bed.load.run("count");
      await Promise.all([
        bed.load.run("arrived", { frames: rounds(bed) }),
        bed.server.command("broadcastDocuments", { times: rounds(bed), bytes, gapMs }),
      ]);
      return { units: rounds(bed) * clients };
    },
    after: (bed) => bed.load.run("verify", { bytes, least: rounds(bed) }),
  };
}

const roomsEach = (count) => `${count} room${count === 1 ? "" : "s"}`;

function joinAndLeave(perSocket) {
  return {
    title: `join and leave ${roomsEach(perSocket)}`,
    unit: "operation",
    for: onApi,
    async run(bed) {
      await bed.open(bed.scaled(1000));
      const churn = () => bed.server.command("churn", { perSocket, times: Math.max(2, Math.round(bed.scaled(200) / perSocket)) });
      await bed.warmUp(churn);
      const { join, leave, operations } = await churn();
      return { parts: { join: { value: join / operations, unit: "µs" }, leave: { value: leave / operations, unit: "µs" } } };
    },
  };
}

function disconnect(perSocket) {
  const count = (bed) => bed.scaled(4000);
  return {
    title: `disconnect with ${roomsEach(perSocket)}`,
    unit: "client",
    for: onApi,
    open: () => {},
    async before(bed) {
      await bed.open(count(bed));
      await bed.server.command("joinMany", { perSocket });
    },
    async turn(bed) {
      await bed.close();
      await bed.server.command("connected", 0);
      return { units: count(bed) };
    },
  };
}

/**
 * Combines many short measurements. The latencies are the medians of that quarter of them in which the generators sent with the least
 * delay: this excludes other activity of the machine, but not that of the server.
 */
function calmWindows(windows) {
  const total = (key) => windows.reduce((sum, window) => sum + window[key], 0);
  const calm = windows.toSorted((a, b) => a.lag - b.lag).slice(0, Math.ceil(windows.length / 4));
  const middle = (key) => median(calm.map((window) => window[key]));
  return {
    units: total("units"),
    user: total("user"),
    system: total("system"),
    wallUs: total("wallUs"),
    loadBusy: middle("loadBusy"),
    p50: middle("p50"),
    p99: middle("p99"),
    lag: middle("lag"),
  };
}

const connectRecovery = { options: { connectionStateRecovery: {} }, for: onApi };

export const scenarios = [
  connect("connect, websocket only", "websocket"),
  connect("connect, polling then upgrade", "upgrade", { count: 1500 }),
  echo("echo with ack, 1 in flight", { clients: 100, count: 500, inFlight: 1 }),
  echo("echo with ack, 8 in flight", { clients: 50, count: 2000, inFlight: 8 }),
  {
    title: "ingest, 20 per chunk",
    unit: "message",
    open: (bed) => bed.open(50),
    turn: (bed) => bed.load.run("ingest", { chunks: bed.scaled(300), perChunk: 20 }),
  },
  {
    title: "burst of 20 to one client",
    unit: "message",
    open: (bed) => bed.open(50),
    turn: (bed) => bed.load.run("burst", { bursts: bed.scaled(150), size: 20 }),
  },
  broadcast("broadcast 64 B to 1000", { times: 60 }),
  broadcast("broadcast 64 B to 1000, 5 per tick", { times: 30, perTick: 5 }),
  broadcast("broadcast 1 KB to 1000", { times: 60, bytes: 1024 }),
  broadcast("broadcast 1 KB to 1000, 5 per tick", { times: 30, perTick: 5, bytes: 1024 }),
  broadcast("broadcast 16 KB to 1000", { times: 30, bytes: 16384, gapMs: 5 }),
  broadcast("broadcast 1 KB binary to 1000", { times: 40, bytes: 1024, binary: true }),
  broadcast("broadcast 1 KB binary to 1000, 5 per tick", { times: 20, perTick: 5, bytes: 1024, binary: true }),
  broadcast("200 rooms of 5", { times: 60, rooms: 200 }),
  {
    title: "socket.to(room), 200 rooms of 5",
    unit: "recipient",
    async open(bed) {
      await bed.open(1000);
      await bed.server.command("assign", 200);
    },
    async turn(bed) {
      await bed.load.run("count");
      return bed.load.run("say", { times: bed.scaled(20), perRoom: 5 });
    },
  },
  {
    title: "broadcast with ack to 200",
    unit: "recipient",
    async open(bed) {
      await bed.open(200);
      await bed.load.run("answer");
    },
    async turn(bed) {
      const times = bed.scaled(100);
      const { answers } = await bed.server.command("broadcastWithAck", { times });
      if (answers !== times * 200) throw new Error(`${answers} of ${times * 200} answers`);
      return { units: answers };
    },
  },
  {
    title: "long-polling echo",
    unit: "cycle",
    open: (bed) => bed.open(20, { transport: "polling" }),
    turn: (bed) => bed.load.run("pollingEcho", { cycles: bed.scaled(400) }),
  },
  ...[1, 10, 100].map(joinAndLeave),
  ...[1, 10, 100].map(disconnect),
  {
    title: "fetchSockets over 10,000",
    unit: "socket",
    for: onApi,
    open: (bed) => bed.open(bed.scaled(10_000)),
    async turn(bed) {
      const { found } = await bed.server.command("fetchSockets", { times: bed.scaled(20) });
      return { units: found };
    },
  },
  ...[false, true].map((areHere) => ({
    title: `cluster message for a room ${areHere ? "of 5 here" : "elsewhere"}`,
    unit: "message",
    for: onNodeApi,
    isNode: true,
    async open(bed) {
      await bed.open(500);
      await bed.server.command("assign", 100);
    },
    turn: (bed) => bed.server.command("relay", { times: bed.scaled(areHere ? 4000 : 100_000), rooms: 100, areHere }),
  })),
  connect("connect, recovery on", "websocket", connectRecovery),
  echo("echo with ack, 8 in flight, recovery on", { clients: 50, count: 2000, inFlight: 8, ...connectRecovery }),
  broadcast("broadcast 64 B to 1000, recovery on", { times: 60, ...connectRecovery }),
  broadcastDeflated("broadcast 2 KB of JSON to 1000, perMessageDeflate", { times: 40, bytes: 2048 }),
  broadcastDeflated("broadcast 16 KB of JSON to 1000, perMessageDeflate", { times: 24, bytes: 16384, gapMs: 5 }),
  {
    title: "echo of 2 KB of JSON with ack, perMessageDeflate",
    unit: "message",
    ...deflating,
    open: (bed) => bed.open(20, deflatingClient),
    async turn(bed) {
      const count = bed.scaled(400);
      const result = await bed.load.run("echo", { count, inFlight: 1, json: 2048 });
      bed.wanted = count;
      return result;
    },
    after: (bed) => bed.load.run("verify", { bytes: 2048, least: bed.wanted }),
  },
  {
    title: "bytes of a broadcast on the wire, perMessageDeflate",
    unit: "recipient",
    ...deflating,
    async run(bed) {
      await bed.open(20, deflatingClient);
      const parts = {};
      for (const kilobytes of [1, 4, 16]) {
        const bytes = kilobytes * 1024;
        const { units: before } = await bed.load.run("received");
        await bed.load.run("count");
        await Promise.all([bed.load.run("arrived", { frames: 50 }), bed.server.command("broadcastDocuments", { times: 50, bytes })]);
        const { units: after } = await bed.load.run("received");
        await bed.load.run("verify", { bytes, least: 50 });
        parts[`JSON of ${kilobytes} KB`] = { value: (after - before) / 50 / 20, unit: "B" };
      }
      return { parts };
    },
  },
  {
    title: "memory after compressed messages, 10,000 clients",
    unit: "connection",
    ...deflating,
    beside: [],
    async run(bed) {
      const counts = { plain: bed.scaled(5000), compressed: bed.scaled(10_000) }; // together below the usual limit of open files
      const exchange = (times) => bed.load.run("echo", { count: times, inFlight: 1, json: 2048 });
      const open = async (count, client) => {
        for (let left = count; left > 0; left -= 1000) await bed.open(Math.min(1000, left), client); // each of them has a time limit
        await exchange(2);
        return (await bed.server.command("settle")).memory;
      };
      await bed.open(bed.scaled(500));
      await bed.open(bed.scaled(500), { deflate: true });
      await exchange(20); // the memory that messages need while they pass is there now
      const { memory: before } = await bed.server.command("settle");
      const plain = await open(counts.plain);
      const compressed = await open(counts.compressed, { deflate: true });
      const held = ({ heapUsed, external }) => heapUsed + external;
      const rss = ({ rss }) => rss;
      const ofCompressed = (of) => (of(compressed) - of(plain)) / counts.compressed;
      const ofPlain = (of) => (of(plain) - of(before)) / counts.plain;
      const each = (of) => ({ value: ofCompressed(of), unit: "B" });
      const more = (of) => ({ value: ofCompressed(of) - ofPlain(of), unit: "", per: "" });
      return {
        parts: {
          RSS: each(rss),
          "heap and buffers": each(held),
          "B of RSS over uncompressed": more(rss),
          "B of heap and buffers over uncompressed": more(held),
        },
      };
    },
  },
  connect("connect, TLS", "websocket", { count: 500, host: "tls", for: onNodeApi }),
  echo("echo with ack, 8 in flight, TLS", { clients: 50, count: 1000, inFlight: 8, host: "tls", for: onNodeApi }),
  broadcast("broadcast 64 B to 300, TLS", { clients: 300, times: 60, host: "tls", for: onNodeApi }),
  {
    title: "16 KB to 100 readers, 10 more don't read",
    unit: "message read",
    for: onApi,
    async run(bed) {
      await bed.open(110);
      const send = (times) => async () => {
        await bed.load.run("count");
        await bed.server.command("feed", { times, bytes: 16384 });
        await bed.load.run("arrived", { frames: times });
        return { units: times * 100 };
      };
      await bed.warmUp(send(20));
      await bed.load.run("stall", { count: 10 }, ["count"]);
      const held = ({ heapUsed, external }) => heapUsed + external; // RSS depends more on earlier garbage collections
      const before = held((await bed.server.command("settle")).memory);
      const times = bed.scaled(600);
      const figures = await bed.measure(send(times));
      const { memory, connected } = await bed.server.command("settle");
      const late = await bed.load.run("catchUp");
      return {
        parts: {
          CPU: figures,
          "MiB of heap and buffers more": { value: (held(memory) - before) / 1024 / 1024, unit: "", per: "" },
          "still there of the 10": { value: connected - 100, unit: "", per: "" },
          "% that the 10 got when they read again": { value: (100 * late.units) / (10 * times), unit: "", per: "" },
        },
      };
    },
  },
  {
    title: "idle memory, 10,000 clients",
    unit: "connection",
    async run(bed) {
      await bed.open(bed.scaled(1000));
      const before = (await bed.server.command("settle")).memory;
      const count = bed.scaled(10_000);
      await bed.open(count);
      const alone = (await bed.server.command("settle")).memory;
      await bed.server.command("assign", Math.round(count / 10));
      const joined = (await bed.server.command("settle")).memory;
      const each = (after, key) => ({ value: (after[key] - before[key]) / count, unit: "B" });
      return {
        parts: {
          RSS: each(alone, "rss"),
          heap: each(alone, "heapUsed"),
          "RSS, in a room of 11": each(joined, "rss"),
          "heap, in a room of 11": each(joined, "heapUsed"),
        },
      };
    },
  },
  {
    title: "latency of echo at half of socket.io's full load",
    unit: "message",
    latency: true,
    async calibrate(bed) {
      bed.useGenerators(2);
      await bed.open(100);
      const echoes = () => bed.load.run("echo", { count: bed.scaled(300), inFlight: 1 });
      await bed.warmUp(echoes);
      const costs = [];
      for (let i = 0; i < 3; i++) costs.push(await bed.measure(echoes));
      return Math.round(1e6 / median(costs.map(({ units, user, system }) => (user + system) / units)) / 2);
    },
    async run(bed, perSecond) {
      bed.useGenerators(2); // generators never sleep: one core stays free for other processes
      await bed.open(100);
      const halfSecond = () => bed.load.run("paced", { perSecond, durationMs: 500 }, ["perSecond"]);
      await bed.warmUp(halfSecond);
      const windows = [];
      for (let i = 0; i < bed.scaled(16, 4); i++) windows.push(await bed.measure(halfSecond));
      return calmWindows(windows);
    },
  },
  { title: "cold start", standalone: coldStart, unit: "start", for: onNodeApi },
  { title: "installation", standalone: installSize, once: true, unit: "", for: onNodeApi },
];

/** One turn with `before` and `after`; `take` runs the turn and may measure it. */
export async function takeTurn(scenario, bed, take = (turn) => turn()) {
  await scenario.before?.(bed);
  const result = await take(() => scenario.turn(bed));
  await scenario.after?.(bed);
  return result;
}

/** Runs a whole scenario on one server, with one measurement. */
export async function runOnce(scenario, bed, given) {
  if (scenario.turn === undefined) return scenario.run(bed, given);
  await scenario.open(bed);
  await bed.warmUp(() => takeTurn(scenario, bed));
  return takeTurn(scenario, bed, (turn) => bed.measure(turn));
}
