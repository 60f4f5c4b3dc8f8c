// The load shapes, as data. Where one load can be repeated, `open(bed)` connects the clients and `turn(bed)` is the load, which
// resolves with `{ units, latencies }`; what `before(bed)` and `after(bed)` do around it isn't counted. All servers live side by side and take
// short turns. Elsewhere `run(bed)` needs a fresh server and gives one measurement (see `Bed.measure`), or `{ parts }` with several:
// measurements, or `{ value, unit, per }`. `for` tells which servers it makes sense for; `options` and `host` change how the server is started.
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

function echo(title, { clients, count, inFlight, bytes, client, ...scenario }) {
  return {
    title,
    unit: "message",
    open: (bed) => bed.open(clients, client),
    turn: (bed) => bed.load.run("echo", { count: bed.scaled(count, inFlight), inFlight, bytes }),
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
 * One measurement out of many short ones. Its latencies are the middle ones of the calm quarter, where the generators themselves sent
 * least late: what else the machine did stays out, what the server did doesn't.
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
  broadcast("broadcast 2 KB to 300, perMessageDeflate", {
    clients: 300,
    times: 20,
    bytes: 2048,
    client: { deflate: true },
    options: { perMessageDeflate: true },
    for: onNodeApi,
  }),
  echo("echo of 2 KB with ack, perMessageDeflate", {
    clients: 20,
    count: 200,
    inFlight: 1,
    bytes: 2040,
    client: { deflate: true },
    options: { perMessageDeflate: true },
    for: onNodeApi,
  }),
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
      const held = ({ heapUsed, external }) => heapUsed + external; // RSS tells more of what the collector did before
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
      bed.useGenerators(2); // they never sleep: a core stays free for everything else
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

/** One turn, and what stands around it; `take` may do more with the turn than let it happen. */
export async function takeTurn(scenario, bed, take = (turn) => turn()) {
  await scenario.before?.(bed);
  const result = await take(() => scenario.turn(bed));
  await scenario.after?.(bed);
  return result;
}

/** All of a scenario on one server, with one measurement. */
export async function runOnce(scenario, bed, given) {
  if (scenario.turn === undefined) return scenario.run(bed, given);
  await scenario.open(bed);
  await bed.warmUp(() => takeTurn(scenario, bed));
  return takeTurn(scenario, bed, (turn) => bed.measure(turn));
}
