/**
 * `npm run drop -- --clients 20000 --rounds 100`: all clients connect, join 10 rooms each, and drop at once; again and again.
 * After each round every table of `io.stats()` must be as before the first one; at the end also heap (and RSS, within 64 MiB), compared with the
 * state after the first two rounds, when code and buffers are there. Exits 1 if not.
 */
import { parseArgs } from "node:util";
import { Client, textFrame } from "./load/client.mjs";
import { ServerProcess } from "./lib/server-process.mjs";

const { values: options } = parseArgs({
  options: { clients: { type: "string", default: "20000" }, rounds: { type: "string", default: "100" } },
});
const count = Number(options.clients);
const rounds = Number(options.rounds);
const MIB = 1024 * 1024;
const ROOMS = 10;
/** Connections that are opened at the same time. */
const AT_ONCE = 500;
/** Addresses of this machine, so that one has ports enough. */
const addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"];
const pass = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const server = await ServerProcess.start({ options: { pingInterval: 300_000, perMessageDeflate: false } });
const sizes = () => server.call("sizes", true);
const tables = ({ handles, stats: { counts: _, deadlines: __, ...rest } }) =>
  JSON.stringify({ ...rest, handles: { ...handles, Timeout: undefined, Immediate: undefined } });

async function openAll() {
  const clients = [];
  let next = 0;
  const opener = async () => {
    while (next < count) {
      const client = new Client({ port: server.port, localAddress: addresses[next++ % addresses.length] });
      await client.open();
      clients.push(client);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, opener));
  return clients;
}

async function round() {
  const clients = await openAll();
  const joins = Buffer.concat(Array.from({ length: ROOMS }, (_, i) => textFrame(`42["join","room-${i}"]`)));
  for (const [index, client] of clients.entries()) {
    client.socket.write(Buffer.concat([joins, textFrame(`42["join","own-${index % 1000}"]`)]));
  }
  const all = async () => Object.values((await server.call("sizes", false)).stats.namespaces)[0].adapter.rooms;
  while ((await all()) < count + ROOMS + Math.min(count, 1000)) await pass(20);
  for (const { socket } of clients) {
    socket.removeAllListeners("error").on("error", () => {});
    socket.resetAndDestroy();
  }
  while ((await server.call("sizes", false)).stats.sessions > 0) await pass(20);
}

const before = tables(await sizes());
let warm = null;
let failures = 0;
for (let i = 1; i <= rounds; i++) {
  const from = performance.now();
  await round();
  let after = await sizes();
  for (const until = performance.now() + 35_000; tables(after) !== before && performance.now() < until; after = await sizes())
    await pass(100);
  if (tables(after) !== before) {
    failures++;
    console.log(`round ${i}: tables are not as before\n  before ${before}\n  after  ${tables(after)}`);
  }
  if (i === Math.min(2, rounds)) warm = after;
  if (i % Math.max(1, Math.floor(rounds / 10)) === 0 || i === rounds) {
    const { heapUsed, rss } = after.memory;
    console.log(
      `round ${i}: heap ${(heapUsed / MIB).toFixed(1)} MiB, RSS ${(rss / MIB).toFixed(0)} MiB, ${((performance.now() - from) / 1000).toFixed(1)} s`,
    );
  }
  if (i === rounds) {
    if (after.memory.heapUsed - warm.memory.heapUsed > 4 * MIB) failures += console.log("the heap has grown") ?? 1;
    if (after.memory.rss - warm.memory.rss > 64 * MIB) failures += console.log("RSS has grown") ?? 1;
    for (const error of after.errors) failures += console.log(`the server met ${error}`) ?? 1;
  }
}
console.log(failures === 0 ? `${rounds} times ${count} clients: everything is as before` : `${failures} failures`);
server.stop();
process.exit(failures === 0 ? 0 : 1);
