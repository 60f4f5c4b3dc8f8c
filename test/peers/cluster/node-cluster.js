/** Workers of node:cluster, run by fixtures/node-cluster.cjs, and the way to them. */
import { fork } from "node:child_process";
import { EventEmitter, once as onceEvent } from "node:events";
import { connect as connectTcp, createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { connect } from "../../support/client.js";
import { within } from "../../support/wait.js";
import { waitUntil } from "./cluster.js";

const program = fileURLToPath(new URL("fixtures/node-cluster.cjs", import.meta.url));

/**
 * Starts a primary and its workers.
 * @param kinds     for each worker `roomcast`, or `socket.io` for the original
 * @param bases     for each worker the base class of its adapter: `own` or `ours`
 * @param adapterOptions  options of @socket.io/cluster-adapter
 * @param method    how @socket.io/sticky balances load
 * @param isSticky  false: no sticky sessions, all workers listen on one port
 * @returns         `{ port, url, news, sessions, call }`: `port` is the primary's, `url` leads through a gate (see below);
 *                  `sessions` is what the primary has heard of (worker by sid); `news` emits `sticky:connection`,
 *                  `sticky:disconnection` and `exit` (of a worker)
 */
export async function startWorkers(
  t,
  { kinds, bases = kinds.map(() => "own"), adapterOptions = {}, method = "round-robin", isSticky = true },
) {
  const primary = fork(program, [JSON.stringify({ kinds, bases, adapterOptions, method, isSticky })], { serialization: "advanced" });
  t.after(async () => {
    const exited = onceEvent(primary, "exit");
    if (primary.connected) primary.disconnect();
    await exited;
  });
  const news = new EventEmitter();
  const sessions = new Map();
  const calls = new Map();
  const started = onceEvent(news, "port");
  primary.on("message", (message) => {
    if (message.news === "sticky:connection") sessions.set(message.sid, message.index);
    if (message.news) news.emit(message.news, message);
    if (message.port) news.emit("port", message.port);
    if (message.isAnswer) {
      const { resolve, reject } = calls.get(message.number);
      if (message.error) reject(new Error(message.error));
      else resolve(message.value);
    }
  });
  const [port] = await within(started, "the workers to be ready", undefined, 20_000);

  /** Runs `program({ io, require, kept }, ...args)` in a worker, and gives what it returns; `kept` outlives the call. */
  const call = (index, program, ...args) => {
    const number = calls.size;
    const answered = new Promise((resolve, reject) => calls.set(number, { resolve, reject }));
    primary.send({ isCall: true, number, index, source: String(program), args });
    return within(answered, `worker ${index} to answer ${program}`, undefined, 10_000);
  };
  for (const index of kinds.keys()) {
    await waitUntil(async () => (await call(index, ({ io }) => io.of("/").adapter.serverCount())) === kinds.length, "all workers to meet");
  }
  const url = isSticky ? await startGate(t, port, sessions, news) : `http://127.0.0.1:${port}`;
  return { port, url, news, sessions, call };
}

/**
 * Stands for the distance between a client and the primary. @socket.io/sticky tells the primary about a session while the handshake's response
 * is already under way, so that a client on this machine may be faster with its second request, whatever server is behind it. The gate
 * holds requests of a session until the primary has heard of it.
 */
async function startGate(t, port, sessions, news) {
  const gate = createServer((near) => {
    const far = connectTcp(port, "127.0.0.1");
    for (const socket of [near, far]) socket.on("error", () => {});
    near.on("close", () => far.destroy());
    far.on("close", () => near.destroySoon());
    far.pipe(near);
    near.once("data", (chunk) => {
      const sid = /[?&]sid=([\w-]{20})/.exec(chunk.toString("latin1"))?.[1];
      near.pause();
      const pass = () => {
        if (sid !== undefined && !sessions.has(sid)) return;
        news.off("sticky:connection", pass);
        far.write(chunk);
        near.pipe(far);
      };
      news.on("sticky:connection", pass);
      pass();
    });
  });
  gate.listen(0, "127.0.0.1");
  await onceEvent(gate, "listening");
  t.after(() => gate.close());
  return `http://127.0.0.1:${gate.address().port}`;
}

/** Clients of a cluster, one at each worker, by worker. Load must be balanced in turns. */
export async function connectToEach(t, cluster, kinds, options = { transports: ["polling"] }) {
  const clients = [];
  for (const _ of kinds) {
    const client = await connect(t, cluster.url, "/", options);
    clients[workerOf(cluster, client)] = client;
  }
  return clients;
}

/** The worker that has the session of a client. */
export const workerOf = ({ sessions }, client) => sessions.get(client.io.engine.id);
