// A server that uses the Socket.IO API, for every implementation and host:
// `node api-server.mjs '{ "module": "socket.io", "host": "node" | "tls" | "http2" | "uws", "options": {} }'`.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { createServer as createSecureServer } from "node:https";
import { createRequire } from "node:module";
import { ready } from "../lib/serve.mjs";
import { memoryClients } from "./memory-clients.mjs";
import { config, control, KEEP_ALIVE_MS, MAX_PAYLOAD, PING_INTERVAL, tally } from "./common.mjs";

/** An answer that waits for something else, as for a database. */
const QUERY_MS = 10;

const require = createRequire(import.meta.url);
const { Server } = require(config.module);
const Node = config.isNode ? clusterNode(require(config.adapters).ClusterAdapter) : undefined;
const options = {
  pingInterval: PING_INTERVAL,
  serveClient: false,
  maxHttpBufferSize: MAX_PAYLOAD,
  ...(Node && { adapter: Node }),
  ...config.options,
};
const io = config.host === "uws" ? serveOnUws() : serveOnNode();

function serveOnNode() {
  const httpServer = createHttpServer();
  httpServer.keepAliveTimeout = KEEP_ALIVE_MS;
  httpServer.listen({ port: 0, host: "0.0.0.0", backlog: 4096 }, () => ready({ port: httpServer.address().port }));
  return new Server(httpServer, options);
}

function createHttpServer() {
  const pem = (name) => readFileSync(new URL(`../../test/support/fixtures/${name}.pem`, import.meta.url));
  if (config.host === "tls") return createSecureServer({ key: pem("key"), cert: pem("cert") });
  return config.host === "http2" ? createHttp2Server() : createServer();
}

function serveOnUws() {
  const uws = createRequire(new URL("../uws/package.json", import.meta.url))("uwebsockets");
  const app = uws.App();
  const server = new Server(options);
  server.attachApp(app);
  app.listen("0.0.0.0", 0, (token) => ready({ port: uws.us_socket_local_port(token) }));
  return server;
}

/** A node of a cluster without a bus: keeps the messages that it publishes. */
function clusterNode(ClusterAdapter) {
  return class extends ClusterAdapter {
    published = [];

    async doPublish(message) {
      this.published.push(message);
      return "1";
    }

    async doPublishResponse() {}
  };
}

io.on("connection", (socket) => {
  tally.connected++;
  socket.on("disconnect", () => tally.connected--);
  socket.on("echo", (value, answer) => answer(value));
  socket.on("query", (value, answer) => setTimeout(answer, QUERY_MS, value));
  socket.on("ingest", () => tally.ingested++);
  socket.on("burst", (count, payload) => {
    for (let i = 0; i < count; i++) socket.emit("item", payload);
  });
  socket.on("say", (payload) => socket.to(socket.data.room).emit("item", payload));
});

const sockets = () => [...io.of("/").sockets.values()];
const roomNames = (count) => Array.from({ length: count }, (_, i) => `room${i}`);
const cpuNow = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

const api = {
  join: (socket, room) => socket.join(room),
  leave: (socket, room) => socket.leave(room),
};

/** The floor for rooms: Maps of Sets. */
const maps = {
  members: new Map(),
  joined: new Map(),
  join({ id }, room) {
    addTo(maps.members, room, id);
    addTo(maps.joined, id, room);
  },
  leave({ id }, room) {
    deleteFrom(maps.members, room, id);
    deleteFrom(maps.joined, id, room);
  },
};

function addTo(sets, key, value) {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([value]));
  else set.add(value);
}

function deleteFrom(sets, key, value) {
  const set = sets.get(key);
  set.delete(value);
  if (set.size === 0) sets.delete(key);
}

/** Lets five clients join each of `rooms` rooms. */
function fill(rooms, { join }) {
  const all = sockets();
  for (let room = 0; room < rooms; room++) for (let i = 0; i < 5; i++) join(all[(room * 5 + i) % all.length], `set${room}`);
}

/** Lets each client join and leave one of those rooms, of which it is not a member, `times` times. */
function visit(rooms, times, { join, leave }) {
  const visits = [];
  const all = sockets();
  for (const [index, socket] of all.entries()) {
    const room = (index * 7 + 3) % rooms;
    const place = (((index - room * 5) % all.length) + all.length) % all.length; // the place by which `fill` chose the members of a room
    if (place >= 5) visits.push({ socket, room: `set${room}` });
  }
  const sums = { join: 0, leave: 0, operations: visits.length * times };
  for (let i = 0; i < times; i++) {
    const start = cpuNow();
    for (const { socket, room } of visits) join(socket, room);
    const middle = cpuNow();
    for (const { socket, room } of visits) leave(socket, room);
    sums.join += middle - start;
    sums.leave += cpuNow() - middle;
  }
  return sums;
}

control({
  broadcast: (payload, room) => (room === undefined ? io : io.to(room)).emit("item", payload),
  assign(rooms) {
    for (const [index, socket] of sockets().entries()) {
      socket.data.room = `room${index % rooms}`;
      socket.join(socket.data.room);
    }
  },
  ask: async (number) => (await io.timeout(20_000).emitWithAck("ask", number)).length,
  async fetchSockets({ times }) {
    let found = 0;
    for (let i = 0; i < times; i++) found += (await io.fetchSockets()).length;
    return { found };
  },
  /** The floor for `fetchSockets`: puts each socket on a list. */
  listSockets({ times }) {
    const all = sockets();
    let found = 0;
    for (let i = 0; i < times; i++) {
      const list = new Array(all.length);
      let count = 0;
      for (const socket of all) if (socket.connected) list[count++] = socket;
      list.length = count;
      found += list.length;
    }
    return { found };
  },
  /** Every client joins `perSocket` of 1,000 rooms, one call each, then leaves them, `times` times. */
  churn({ perSocket, times }) {
    const names = roomNames(1000);
    const all = sockets();
    let join = 0;
    let leave = 0;
    for (let round = 0; round < times; round++) {
      const start = cpuNow();
      for (let s = 0; s < all.length; s++) for (let r = 0; r < perSocket; r++) all[s].join(names[(s * 7 + r) % 1000]);
      const middle = cpuNow();
      for (let s = 0; s < all.length; s++) for (let r = 0; r < perSocket; r++) all[s].leave(names[(s * 7 + r) % 1000]);
      join += middle - start;
      leave += cpuNow() - middle;
    }
    return { join, leave, operations: all.length * perSocket * times };
  },
  joinMany({ perSocket, total = 1000 }) {
    const names = roomNames(total);
    for (const [index, socket] of sockets().entries())
      socket.join(Array.from({ length: perSocket }, (_, r) => names[(index * 7 + r) % total]));
  },
  /** Makes `rooms` rooms named `set<n>` with five members each. */
  fillRooms: ({ rooms }) => fill(rooms, api),
  /** Each client joins and leaves one of those rooms, of which it is not a member. */
  visitRooms: ({ rooms, times }) => visit(rooms, times, api),
  fillMaps: ({ rooms }) => fill(rooms, maps),
  visitMaps: ({ rooms, times }) => visit(rooms, times, maps),
  /** One event per tick, to these rooms in turn. */
  async emitToRooms({ rooms, times }) {
    for (let i = 0; i < times; i++) {
      io.to(`set${i % rooms}`).emit("item", "hello world");
      await new Promise((resolve) => setImmediate(resolve));
    }
    return { units: times * 5 };
  },
  /** Receives `times` messages that another node published, for the rooms that `assign` made, or for others, in turn. */
  async relay({ times, rooms, areHere }) {
    const nsp = io.of("/");
    const other = new Node(nsp);
    for (const name of roomNames(rooms)) {
      const target = { rooms: new Set([areHere ? name : `${name}-elsewhere`]), except: new Set(), flags: {} };
      await other.broadcast({ type: 2, data: ["item", "hello world"], nsp: "/" }, target);
    }
    for (let i = 0; i < times; i++) {
      nsp.adapter.onMessage(other.published[i % rooms], "1");
      if (i % 50 === 49) await new Promise((resolve) => setImmediate(resolve));
    }
    other.close?.();
    return { units: times };
  },
  ...memoryClients(io.httpServer, tally, (text) => io.emit("item", text)),
  /** Sends each client `times` messages of its own, one per tick. */
  async feed({ times, bytes, gapMs = 5 }) {
    const filler = "x".repeat(bytes);
    for (let i = 0; i < times; i++) {
      for (const socket of io.of("/").sockets.values()) socket.emit("item", filler + i);
      await new Promise((resolve) => setTimeout(resolve, gapMs));
    }
    return { memory: process.memoryUsage(), connected: tally.connected };
  },
});
