// What an adapter has to do between the servers of a cluster, whatever carries its messages.
import { deepEqual, equal, ok } from "node:assert/strict";
import type { Socket as ClientSocket } from "socket.io-client";
import type { ServerOptions } from "../server/options";
import { expectEvent } from "./expect";
import { declareFor, eventually, type After, type TestFunction } from "./suite";
import { createTestServer, type TestServer, type TestServerSettings } from "./test-server";

/** What a suite for adapters needs. */
export interface AdapterSuite extends TestServerSettings {
  /** Of the adapter, for the titles. */
  name: string;
  /** `test` of node:test, Vitest or Jest. */
  test: TestFunction;
  /**
   * Starts a backend, and gives a function that makes the value of the option `adapter` for one server.
   * @param after  takes what has to be closed when the test ends, behind the servers
   */
  start: (after: (cleanUp: () => unknown) => void) => Promise<() => unknown>;
}

const COUNT = 3;
const ALL = [0, 1, 2];
const timeoutMs = 20_000;
const raw = Buffer.from([0, 1, 250]);

/** Three servers, and a client at each. */
interface Cluster {
  readonly nodes: TestServer[];
  readonly clients: ClientSocket<any, any>[];
}

/**
 * Declares tests for an adapter, with three servers and a client at each: that broadcasts reach whom they should, and nobody twice, in order and
 * with their bytes; that sockets of other servers can be asked, fetched, moved and disconnected; that servers talk to each other, and leave.
 * @example
 * testAdapter({ name: "my adapter", test, start: async (after) => {
 *   const broker = await startBroker();
 *   after(() => broker.stop());
 *   return () => createMyAdapter(broker.url);
 * } });
 */
export function testAdapter({ name, test, start, client }: AdapterSuite): void {
  const declareTest = declareFor(test, name);
  const declare = (title: string, run: (cluster: Cluster) => Promise<void>): void =>
    declareTest(title, async (after) => {
      const cluster = await startCluster(after, await start(after), client);
      await run(cluster);
    });

  declare("broadcasts to every client once, text and bytes, from every server", async ({ nodes, clients }) => {
    const got = inboxes(clients, "news");
    for (const [index, { io }] of nodes.entries()) io.emit("news", index, { raw });
    await fence(nodes, clients);
    for (const list of got) {
      deepEqual(list.map(([index]) => index as number).sort(), ALL);
      for (const [, value] of list) deepEqual(Buffer.from(value.raw), raw);
    }
  });

  declare("chooses by rooms, exceptions and locality", async ({ nodes, clients }) => {
    await socketOf(nodes[1]).join(["a", "b"]);
    await socketOf(nodes[2]).join("b");
    await known(nodes, "b", 2);
    const got = inboxes(clients, "x");
    const { io } = nodes[0];
    io.to("a").emit("x", 1);
    io.to(["a", "b"]).emit("x", 2);
    io.except("a").emit("x", 3);
    io.local.emit("x", 4);
    io.to("nobody").emit("x", 5);
    socketOf(nodes[1]).to("b").emit("x", 6);
    nodes[2].io.to(clients[0].id!).emit("x", 7);
    await fence(nodes, clients);
    deepEqual(
      got.map((list) => list.map(([value]) => value as number).sort()),
      [
        [3, 4, 7],
        [1, 2],
        [2, 3, 6],
      ],
    );
  });

  declare("keeps the order of what one server broadcasts", async ({ nodes, clients }) => {
    for (const node of nodes) await socketOf(node).join("room");
    await known(nodes, "room", COUNT);
    const got = inboxes(clients, "n");
    const { io } = nodes[0];
    for (let index = 0; index < 100; index++)
      (index % 3 === 0 ? io.to("room") : io).emit("n", index, index % 10 === 0 ? Buffer.alloc(20_000) : "");
    await eventually(() => got.every((list) => list.length >= 100), "all events");
    for (const list of got)
      deepEqual(
        list.map(([index]) => index as number),
        Array.from({ length: 100 }, (_, index) => index),
      );
  });

  declare("carries a megabyte, as text and as bytes", async ({ nodes, clients }) => {
    const got = inboxes(clients, "large");
    nodes[0].io.emit("large", "é".repeat(400_000), Buffer.alloc(400_000, 7));
    await eventually(() => got.every((list) => list.length > 0), "the event");
    for (const [[text, bytes]] of got) ok(text === "é".repeat(400_000) && Buffer.from(bytes).equals(Buffer.alloc(400_000, 7)));
  });

  declare("collects acknowledgements of all servers, and what came when some are silent", async ({ nodes, clients }) => {
    clients.forEach((each, index) => each.on("ask", (value: unknown, answer: (value: unknown) => void) => answer([index, value])));
    for (const { io } of nodes) {
      const answers = (await io.timeout(timeoutMs).emitWithAck("ask", raw)) as [number, Uint8Array][];
      deepEqual(
        answers.map(([index, bytes]) => [index, Buffer.from(bytes)]).sort(),
        ALL.map((index) => [index, raw]),
      );
    }
    deepEqual(await nodes[0].io.to(clients[2].id!).timeout(timeoutMs).emitWithAck("ask", 1), [[2, 1]]);
    deepEqual(await nodes[0].io.to("nobody").timeout(timeoutMs).emitWithAck("ask", 1), []);
    clients[1].off("ask");
    const error = await nodes[0].io
      .timeout(3_000)
      .emitWithAck("ask", 1)
      .then(
        () => null,
        (reason: Error & { responses: unknown[] }) => reason,
      );
    equal(error?.message, "operation has timed out");
    deepEqual(error.responses.sort(), [
      [0, 1],
      [2, 1],
    ]);
  });

  declare("fetches the sockets of all servers, and talks to one of them", async ({ nodes, clients }) => {
    const own = socketOf(nodes[2]);
    own.data = { user: "ann" };
    await own.join("room");
    await known(nodes, "room", 1);
    const found = await nodes[0].io.fetchSockets();
    deepEqual(found.map(({ id }) => id).sort(), clients.map(({ id }) => id).sort());
    const [remote] = await nodes[0].io.in("room").fetchSockets();
    deepEqual([remote.id, remote.data, [...remote.rooms].sort()], [own.id, { user: "ann" }, [own.id, "room"].sort()]);
    equal((await nodes[0].io.local.fetchSockets()).length, 1);
    const heard = expectEvent(clients[2], "hi", { timeoutMs });
    remote.emit("hi", raw);
    deepEqual(Buffer.from((await heard)[0] as Uint8Array), raw);
  });

  declare("moves sockets of other servers into and out of rooms, and disconnects them", async ({ nodes, clients }) => {
    const [, second, third] = nodes.map(socketOf);
    void nodes[0].io.in(second.id).socketsJoin(["r", "s"]);
    await eventually(() => second.rooms.has("s"), "the socket to join");
    void nodes[0].io.in("s").socketsLeave("r");
    await eventually(() => !second.rooms.has("r"), "the socket to leave");
    const gone = expectEvent(clients[2], "disconnect", { timeoutMs });
    void nodes[0].io.in(third.id).disconnectSockets(true);
    equal((await gone)[0], "io server disconnect");
    ok(clients[0].connected && clients[1].connected);
  });

  declare("lets servers talk to each other, with and without answers", async ({ nodes }) => {
    const heard: unknown[][] = ALL.map(() => []);
    for (const [index, { io }] of nodes.entries()) {
      io.on("hello" as never, ((...args: unknown[]) => heard[index].push(args)) as never);
      io.on("ask" as never, ((value: unknown, answer: (value: unknown) => void) => answer([index, value])) as never);
    }
    nodes[0].io.serverSideEmit("hello", 1, { deep: ["x"] });
    await eventually(() => heard[1].length > 0 && heard[2].length > 0, "the other servers to hear it");
    deepEqual(heard, [[], [[1, { deep: ["x"] }]], [[1, { deep: ["x"] }]]]);
    const answers = (await nodes[1].io.serverSideEmitWithAck("ask", "v")) as unknown[];
    deepEqual(answers.sort(), [
      [0, "v"],
      [2, "v"],
    ]);
  });

  declare("reaches custom namespaces, and those alone", async ({ nodes, clients }) => {
    for (const { io } of nodes.slice(0, 2)) io.of("/chat");
    for (const { io } of nodes.slice(0, 2)) await counted(io.of("/chat"), 2);
    const member = await nodes[1].connect("/chat");
    const got = inboxes(clients, "m");
    const heard = expectEvent(member, "m", { timeoutMs });
    nodes[0].io.of("/chat").emit("m", raw);
    deepEqual(Buffer.from((await heard)[0] as Uint8Array), raw);
    await fence(nodes, clients);
    deepEqual(got, [[], [], []]);
  });

  declare("no longer counts or asks a server that was closed", async ({ nodes, clients }) => {
    const gone = clients[2].id;
    await nodes[2].close();
    for (const { io } of nodes.slice(0, 2)) await counted(io.of("/"), 2);
    const found = await nodes[0].io.fetchSockets();
    ok(found.length === 2 && found.every(({ id }) => id !== gone));
  });
}

async function startCluster(after: After, makeAdapter: () => unknown, client: unknown): Promise<Cluster> {
  const nodes: TestServer[] = [];
  const clients: ClientSocket[] = [];
  for (let index = 0; index < COUNT; index++) {
    const adapter = (await makeAdapter()) as NonNullable<ServerOptions["adapter"]>;
    const node = createTestServer({ adapter }, client === undefined ? {} : { client });
    after(() => node.close());
    nodes.push(node);
  }
  for (const { io } of nodes) await counted(io.of("/"), COUNT);
  for (const node of nodes) clients.push(await node.connect());
  for (const { id } of clients) await known(nodes, id!, 1); // for the fences
  return { nodes, clients };
}

/** Waits until a namespace counts so many servers. */
function counted(namespace: { adapter: { serverCount(): Promise<number> } }, count: number): Promise<void> {
  return eventually(async () => (await namespace.adapter.serverCount()) === count, `${count} servers to know each other`);
}

/** Waits until every server finds so many sockets of a room: which rooms a server has may have to travel first. */
async function known(nodes: readonly TestServer[], room: string, count: number): Promise<void> {
  for (const { io } of nodes)
    await eventually(async () => (await io.in(room).fetchSockets()).length === count, `the room ${room} to be known`);
}

/** The socket of the client of a server. */
function socketOf({ io }: TestServer) {
  return [...io.sockets.sockets.values()][0];
}

/** All that clients get under `event`, by client. */
function inboxes(clients: readonly ClientSocket<any, any>[], event: string): any[][][] {
  return clients.map((client) => {
    const got: any[][] = [];
    client.on(event, (...args: unknown[]) => got.push(args));
    return got;
  });
}

/** A broadcast of each server behind all others, to every client and to one room of each, has reached every client: then so have those before. */
async function fence(nodes: readonly TestServer[], clients: readonly ClientSocket<any, any>[]): Promise<void> {
  for (const [index, { io, network }] of nodes.entries()) {
    const [all, room] = [`fence ${index} to all`, `fence ${index} to a room`];
    const heard = clients.flatMap((client) => [all, room].map((event) => expectEvent(client, event, { timeoutMs })));
    io.emit(all);
    for (const { id } of clients) io.to(id!).emit(room);
    await Promise.all(heard);
    await network.settled();
  }
}
