/** Several servers that share a backend, each with a client. */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { startServer } from "../../support/server.js";
import { connect, once } from "../../support/client.js";
import { isReference, Server } from "../../support/target.js";

const require = createRequire(import.meta.url);

/** Three nodes of roomcast. */
export const ALL_OURS = ["roomcast", "roomcast", "roomcast"];

/**
 * Starts servers and connects one client to each.
 * @param backend  as `startBackends` gives it
 * @param kinds    for each node `roomcast`, or `socket.io` for the original
 * @param bases    for each node the base class of its adapter: `own` or `ours`
 * @returns        `{ servers, sockets, clients, nodes }`, by node; every node knows all others
 */
export async function startNodes(t, backend, { kinds = ALL_OURS, bases = kinds.map(() => "own"), options = {}, client = {} } = {}) {
  const nodes = [];
  const closers = [];
  for (const [index, kind] of kinds.entries()) {
    const adapter = await backend.makeAdapter(bases[index], (close) => closers.push(close));
    const attach = (httpServer, given) => {
      if (kind === "roomcast") {
        assert.equal(isReference, false);
        return new Server(httpServer, given);
      }
      assert.equal(require("socket.io/package.json").name, "socket.io");
      return new (require("socket.io").Server)(httpServer, given);
    };
    nodes.push(await startServer(t, { adapter, ...options }, { attach }));
  }
  t.after(() => Promise.all(closers.map((close) => close()))); // after the servers, whose adapters say goodbye; backends bear few clients
  const servers = nodes.map(({ io }) => io);
  for (const [index, io] of servers.entries()) assert.ok(io.of("/").adapter instanceof backend.baseClass(bases[index]));
  await Promise.all(servers.map((io) => discovered(io.of("/").adapter, kinds.length)));
  const sockets = [];
  const clients = [];
  for (const node of nodes) {
    const admitted = once(node.io, "connection");
    clients.push(await connect(t, node.url, "/", { auth: { node: nodes.indexOf(node) }, ...client }));
    const [socket] = await admitted;
    sockets.push(socket);
  }
  return { servers, sockets, clients, nodes };
}

/** Waits until an adapter counts all nodes. */
export async function discovered(adapter, count) {
  await waitUntil(async () => (await adapter.serverCount()) === count, `all ${count} nodes to know each other`, 20_000);
}

/** Asks until the answer is true; for what no event tells, such as what another process has done. */
export async function waitUntil(isSo, what, ms = 5000) {
  const deadline = Date.now() + ms;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`waited ${ms} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Everything the clients get under `event`, by client. */
export function inboxes(clients, event) {
  return clients.map((client) => {
    const got = [];
    client.on(event, (...args) => got.push(args));
    return got;
  });
}

/** A broadcast behind all others has reached every client: what isn't there by now won't come. */
export async function fence(io, clients) {
  const name = `fence ${Math.random()}`;
  const all = Promise.all(clients.map((client) => once(client, name)));
  io.emit(name);
  await all;
}

/** With the members of objects in the order of their names. */
export function sorted(value) {
  if (ArrayBuffer.isView(value)) return Buffer.from(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(sorted);
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key])]),
  );
}
