/**
 * Random programs of connects, joins, broadcasts, acknowledgements, disconnections, recoveries and adapter swaps, beside a model of Maps and
 * Sets: after each step every client has what it must have, and every table the size that the model has. HYGIENE_RUNS multiplies the programs.
 * A failure prints the seed, the path and the program; HYGIENE_SHRINK=1 looks for a shorter one, which takes its time.
 */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import fc from "fast-check";
import { busAdapter, knowEachOther } from "../../support/bus-adapter.js";
import { adapters } from "../../support/packages.js";
import { oursOnly, Server } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { WireSocket } from "../../support/wire-client.js";

const OURS = oursOnly("it has no stats()");
const RUNS = Math.ceil(12 * Number(process.env.HYGIENE_RUNS ?? 1));
/** `HYGIENE_REPLAY=seed:path` runs the program of a failure again. */
const [seed, path] = (process.env.HYGIENE_REPLAY ?? "").split(":");
const REPLAY = path === undefined ? {} : { seed: Number(seed), path };
const NAMESPACES = ["/", "/a", "/dyn-1"];
/** Rooms whose listeners change rooms while rooms change; see `listen`. */
const ROOMS = ["r1", "r2", "r3", "leaves-itself", "joins-more", "more", "drops", "emits", "rejoins"];

/** One client, as the model knows it. */
class Peer {
  constructor(nsp, node) {
    Object.assign(this, { nsp, node, state: "away", rooms: new Set(), expected: [], received: [], fences: new Set() });
    Object.assign(this, {
      ws: null,
      id: null,
      pid: null,
      offset: undefined,
      isRecoverable: false,
      isOpen: false,
      questions: [],
      asked: [],
    });
  }

  prefix(type) {
    return `4${type}${this.nsp === "/" ? "" : `${this.nsp},`}`;
  }
}

/** The servers, their clients, and what is expected of both. */
class World {
  constructor({ nodes, recovery, observed }) {
    Object.assign(this, {
      recovery,
      observed,
      isCluster: nodes > 1,
      peers: [],
      count: 0,
      fence: 0,
      bus: new EventEmitter().setMaxListeners(0),
    });
    this.nodeCount = nodes;
  }

  async start() {
    this.nodes = [];
    for (let i = 0; i < this.nodeCount; i++) {
      const httpServer = createServer();
      const io = new Server(httpServer, {
        serveClient: false,
        cleanupEmptyChildNamespaces: true,
        ...(this.isCluster ? { adapter: busAdapter(this.bus) } : {}),
        ...(this.recovery ? { connectionStateRecovery: {} } : {}),
      });
      io.of(/^\/dyn-\d$/);
      io.of("/a");
      if (this.observed) {
        for (const nsp of io._nsps.values()) this.listen(nsp);
        io.on("new_namespace", (nsp) => this.listen(nsp));
      }
      await new Promise((resolve) => httpServer.listen(0, "127.0.0.1", resolve));
      this.nodes.push({ io, httpServer, port: httpServer.address().port });
    }
    if (this.isCluster) for (const name of ["/", "/a"]) await knowEachOther(this.nodes.map(({ io }) => io.of(name)));
  }

  /** Listeners that act within the change that they hear of. */
  listen(nsp) {
    const { adapter } = nsp;
    adapter.on("join-room", (room, id) => {
      const socket = nsp.sockets.get(id);
      if (room === "leaves-itself") socket?.leave(room);
      if (room === "joins-more") socket?.join("more");
      if (room === "drops") socket?.disconnect();
      if (room === "emits") nsp.local.to(room).emit("n", "emits");
    });
    adapter.on("leave-room", (room, id) => {
      if (room === "rejoins") nsp.sockets.get(id)?.join("more");
    });
  }

  /** The model of `socket.join(room)`, listeners included. */
  join(peer, room) {
    if (peer.state !== "here" || peer.rooms.has(room)) return;
    peer.rooms.add(room);
    if (!this.observed) return;
    if (room === "leaves-itself") peer.rooms.delete(room);
    if (room === "joins-more") this.join(peer, "more");
    if (room === "drops") this.gone(peer, false);
    if (room === "emits") this.expectEvent("emits", peer.nsp, "emits", peer.node);
  }

  leave(peer, room) {
    if (!peer.rooms.delete(room)) return;
    if (this.observed && room === "rejoins") this.join(peer, "more");
  }

  /** @param isRecoverable  whether its session is kept */
  gone(peer, isRecoverable) {
    peer.state = "away";
    peer.isRecoverable = isRecoverable && this.recovery;
    peer.questions = [];
    peer.asked = [];
    if (!peer.isRecoverable) peer.rooms = new Set();
    // An empty namespace of a pattern is removed, with the sessions that it keeps.
    const { nsp } = peer;
    if (!nsp.startsWith("/dyn") || this.peers.some((each) => each.nsp === nsp && each.state === "here")) return;
    for (const each of this.peers) if (each.nsp === nsp && each.isRecoverable) this.gone(each, false);
  }

  expectEvent(value, nsp, room, node = null, except = null) {
    for (const peer of this.peers) {
      const isThere = peer.state === "here" || peer.isRecoverable;
      if (peer.nsp !== nsp || !isThere || (node !== null && peer.node !== node)) continue;
      if (room !== null && !peer.rooms.has(room)) continue;
      if (except === null || !peer.rooms.has(except)) peer.expected.push(value);
    }
  }

  async open(peer, auth = "") {
    const ws = await WireSocket.open(this.nodes[peer.node].port, "/socket.io/?EIO=4&transport=websocket");
    ws.socket.on("error", () => {});
    peer.ws = ws;
    const push = ws.messages.push.bind(ws.messages);
    ws.messages.push = (message) => (this.take(peer, message), push(message));
    ws.send(peer.prefix(0) + auth);
    const answer = await ws.until((message) => message.startsWith(`${peer.prefix(0)}{`));
    const { sid, pid } = JSON.parse(answer.slice(peer.prefix(0).length));
    return { sid, pid };
  }

  take(peer, message) {
    if (message === "2") return peer.ws.send("3");
    if (!message.startsWith(peer.prefix(2))) return undefined;
    const [, ack, json] = /^(\d*)(\[.*)$/s.exec(message.slice(peer.prefix(2).length));
    const [event, value, offset] = JSON.parse(json);
    if (offset !== undefined) peer.offset = offset;
    if (event === "n") peer.received.push(value);
    if (event === "q") peer.asked.push(ack);
    if (event === "ask-all") peer.ws.send(`${peer.prefix(3)}${ack}["${peer.id}"]`);
    if (event === "fence") {
      peer.fences.add(value);
      peer.onFence?.();
    }
    return undefined;
  }

  socketOf(peer) {
    return this.nodes[peer.node].io._nsps.get(peer.nsp)?.sockets.get(peer.id); // `io.of` would make the namespace anew
  }

  /** Everything that was sent has arrived when each server's fence has; then clients and tables are compared with the model. */
  async check() {
    const here = this.peers.filter(({ state }) => state === "here");
    for (const [index, { io }] of this.nodes.entries()) {
      for (const name of new Set(here.map(({ nsp }) => nsp))) {
        const nsp = io._nsps.get(name);
        if (nsp === undefined) continue;
        const fence = `${++this.fence}/${index}`;
        const waiting = here.filter((peer) => peer.nsp === name);
        nsp.emit("fence", fence);
        await within(
          Promise.all(
            waiting.map(
              (peer) =>
                new Promise((resolve) => {
                  peer.onFence = () => peer.fences.has(fence) && resolve();
                  peer.onFence();
                }),
            ),
          ),
          `the fence ${fence} of ${name}`,
        );
      }
    }
    for (const peer of here) assert.deepEqual(peer.received, peer.expected, `what ${peer.id} of ${peer.nsp} received`);
    await this.settle();
    for (const [index, { io }] of this.nodes.entries())
      this.checkTables(
        io,
        here.filter(({ node }) => node === index),
      );
  }

  /** The ends of connections are known to the servers, and what they sent is written. */
  async settle() {
    const away = () =>
      this.nodes.every(({ io }, index) => {
        const { sessions, outbox } = io.stats();
        return sessions === this.peers.filter((peer) => peer.node === index && peer.isOpen).length && outbox.bytes === 0;
      });
    await this.until(away);
  }

  async until(isTrue) {
    for (let turns = 0; !isTrue() && turns < 20_000; turns++) await new Promise(setImmediate);
  }

  checkTables(io, here) {
    const stats = io.stats();
    const used = new Set(["/", "/a", ...here.map(({ nsp }) => nsp)]);
    assert.deepEqual(Object.keys(stats.namespaces).sort(), [...used].sort());
    assert.deepEqual([stats.joins, stats.heldInput, stats.outbox], [0, { messages: 0, packets: 0, bytes: 0 }, { packets: 0, bytes: 0 }]);
    for (const name of used) {
      const members = here.filter(({ nsp }) => nsp === name);
      const rooms = new Map();
      for (const { id, rooms: own } of members) for (const room of [id, ...own]) rooms.set(room, new Set([...(rooms.get(room) ?? []), id]));
      const { sockets, joining, acks, adapter } = stats.namespaces[name];
      const met = { sockets, joining, acks, members: adapter.members, rooms: adapter.rooms };
      const acksOfModel = members.reduce((sum, { questions }) => sum + questions.length, 0);
      assert.deepEqual(met, { sockets: members.length, joining: 0, acks: acksOfModel, members: members.length, rooms: rooms.size }, name);
      for (const { id, rooms: own } of members) assert.deepEqual(new Set(io.of(name).sockets.get(id).rooms), new Set([id, ...own]));
    }
  }

  async end(isClosing) {
    if (!isClosing) {
      for (const peer of this.peers) if (peer.state === "here") this.gone(peer, false);
      for (const peer of this.peers) {
        peer.ws?.abort();
        peer.isOpen = false;
      }
      await this.settle();
      for (const { io } of this.nodes) this.checkTables(io, []);
    }
    await within(Promise.all(this.nodes.map(({ io }) => io.close())), "the servers to close");
    for (const { io } of this.nodes) {
      const { sessions, clients, timedAcks, namespaces } = io.stats();
      const sizes = Object.values(namespaces).map(({ sockets, acks, adapter }) => [sockets, acks, adapter.members, adapter.rooms]);
      assert.deepEqual([sessions, clients, timedAcks, sizes.flat().some((size) => size > 0)], [0, 0, 0, false]);
    }
    for (const { ws } of this.peers) ws?.abort();
  }
}

/** A step: the peer by a number, and what is done to it. */
class Step {
  constructor(name, values, act) {
    Object.assign(this, { name, values, act });
  }

  check() {
    return true;
  }

  async run(_model, world) {
    await this.act(world, this.values);
    await world.check();
  }

  toString() {
    return `${this.name}(${JSON.stringify(this.values)})`;
  }
}

const pick = (world, number, state = "here") => {
  const found = world.peers.filter((peer) => peer.state === state);
  return found.length === 0 ? null : found[number % found.length];
};

const acts = {
  async connect(world, [n, nsp]) {
    if (world.peers.length >= 8) return;
    const peer = new Peer(NAMESPACES[nsp], n % world.nodeCount);
    const { sid, pid } = await world.open(peer);
    Object.assign(peer, { id: sid, pid, state: "here", isOpen: true });
    world.peers.push(peer);
  },
  async join(world, [n, , rooms]) {
    const peer = pick(world, n);
    if (peer === null) return;
    const joined = world.socketOf(peer).join(rooms);
    for (const room of new Set(rooms)) world.join(peer, room);
    await joined;
  },
  async leave(world, [n, , [room]]) {
    const peer = pick(world, n);
    if (peer === null || room === undefined) return;
    world.leave(peer, room);
    await world.socketOf(peer).leave(room);
  },
  emit(world, [n, nsp, [room = null, except = null]]) {
    const namespace = world.nodes[n % world.nodeCount].io._nsps.get(NAMESPACES[nsp]);
    if (namespace === undefined) return;
    const value = ++world.count;
    world.expectEvent(value, NAMESPACES[nsp], room, null, except);
    let target = namespace;
    if (room !== null) target = target.to(room);
    if (except !== null) target = target.except(except);
    target.emit("n", value);
  },
  question(world, [n]) {
    const peer = pick(world, n);
    if (peer === null) return;
    const question = { answers: 0 };
    peer.questions.push(question);
    world.socketOf(peer).emit("q", peer.questions.length, () => question.answers++);
  },
  async answer(world, [n]) {
    const peer = pick(world, n);
    if (peer === null || peer.questions.length === 0) return;
    const question = peer.questions.pop();
    const id = peer.asked.pop();
    peer.ws.send(`${peer.prefix(3)}${id}["x"]`, `${peer.prefix(3)}${id}["twice"]`);
    await world.until(() => question.answers > 0);
    assert.equal(question.answers, 1);
  },
  async askAll(world, [n, nsp, [room = "r1"]]) {
    const namespace = world.nodes[n % world.nodeCount].io._nsps.get(NAMESPACES[nsp]);
    if (namespace === undefined) return;
    const expected = world.peers
      .filter((peer) => peer.nsp === NAMESPACES[nsp] && peer.state === "here" && peer.rooms.has(room))
      .map(({ id }) => id);
    const answers = await namespace.timeout(20_000).to(room).emitWithAck("ask-all", 0);
    assert.deepEqual(answers.sort(), expected.sort());
  },
  async disconnect(world, [n, how]) {
    const peer = pick(world, n);
    if (peer === null) return;
    world.gone(peer, how === 0);
    if (how === 0) peer.ws.abort({ reset: n % 2 === 0 });
    else if (how === 1) peer.ws.send(peer.prefix(1));
    else world.socketOf(peer).disconnect(true);
    if (how === 1) await world.until(() => world.socketOf(peer) === undefined);
    else peer.isOpen = false;
  },
  async recover(world, [n]) {
    const peer = pick(world, n, "away");
    if (peer === null) return;
    peer.ws.abort();
    peer.isOpen = false;
    await world.settle();
    const { isRecoverable, id } = peer;
    if (!isRecoverable) peer.expected = [...peer.received];
    // Its rooms are joined again: a broadcast that a listener sends then is for this peer, too (CSR-11).
    else if (world.observed && peer.rooms.has("emits")) world.expectEvent("emits", peer.nsp, "emits", peer.node);
    const auth = peer.pid === undefined ? "" : JSON.stringify({ pid: peer.pid, offset: peer.offset });
    const { sid, pid } = await world.open(peer, auth);
    assert.equal(sid === id, isRecoverable, `whether the session in ${peer.nsp} is recovered, ${auth}`);
    Object.assign(peer, { id: sid, pid, state: "here", isOpen: true, isRecoverable: false });
  },
  swap(world, [n]) {
    if (world.isCluster) return;
    const { io } = world.nodes[0];
    io.adapter(n % 2 === 0 ? adapters.Adapter : io.adapter());
    if (world.recovery) io.adapter(adapters.SessionAwareAdapter);
    if (world.observed) for (const nsp of io._nsps.values()) world.listen(nsp);
    for (const peer of world.peers) if (peer.state === "away") world.gone(peer, false);
  },
  async joinAll(world, [n, nsp, [room, other = "r2"]]) {
    const namespace = world.nodes[n % world.nodeCount].io._nsps.get(NAMESPACES[nsp]);
    if (namespace === undefined || room === undefined) return;
    const members = world.peers.filter((peer) => peer.nsp === NAMESPACES[nsp] && peer.state === "here" && peer.rooms.has(room));
    namespace.in(room).socketsJoin(other);
    for (const peer of members) world.join(peer, other);
  },
};

const values = fc.tuple(fc.nat(7), fc.nat(2), fc.uniqueArray(fc.constantFrom(...ROOMS), { maxLength: 3 }));
const steps = Object.entries(acts).map(([name, act]) => values.map((given) => new Step(name, given, act)));
const [connectStep, ...others] = steps;

for (const [title, settings] of [
  ["in memory", { nodes: 1, recovery: false, observed: false }],
  ["in memory, with listeners that change rooms while rooms change", { nodes: 1, recovery: false, observed: true }],
  ["in memory, with recovery", { nodes: 1, recovery: true, observed: true }],
  ["on two servers", { nodes: 2, recovery: false, observed: false }],
]) {
  test(`keeps rooms, acknowledgements and tables as a model has them, ${title} [ROB-792]`, { ...OURS, timeout: 240_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.commands([connectStep, ...others, connectStep], { maxCommands: 40, size: "max" }),
        fc.boolean(),
        async (program, isClosing) => {
          const world = new World(settings);
          await world.start();
          try {
            await fc.asyncModelRun(() => ({ model: {}, real: world }), program);
            await world.end(isClosing);
          } finally {
            for (const { io, httpServer } of world.nodes) {
              for (const { ws } of world.peers) ws?.abort();
              void io.close();
              httpServer.close();
            }
          }
        },
      ),
      { numRuns: RUNS, endOnFailure: process.env.HYGIENE_SHRINK === undefined, includeErrorInReport: true, ...REPLAY },
    );
  });
}
