// What every way from a client to a server has to do: another host, another transport, a proxy between both.
import { deepEqual, equal, ok } from "node:assert/strict";
import { once } from "node:events";
import type { ServerOptions } from "../server/options";
import type { Server } from "../server/server";
import { expectEvent } from "./expect";
import { declareFor, eventually, type After, type TestFunction } from "./suite";

/** A socket of a client: `socket.io-client`, or something with the same members. */
interface Client {
  readonly connected: boolean;
  on(event: string, listener: (...args: any[]) => void): unknown;
  off(event: string, listener: (...args: any[]) => void): unknown;
  emit(event: string, ...args: unknown[]): unknown;
  emitWithAck(event: string, ...args: unknown[]): Promise<any>;
  disconnect(): unknown;
}

/** What a suite for transports needs. */
export interface TransportSuite {
  /** Of the transport, for the titles. */
  name: string;
  /** `test` of node:test, Vitest or Jest. */
  test: TestFunction;
  /**
   * Starts a server that clients reach over the transport.
   * @param options  of the server
   * @param after    takes what has to be closed when the test ends
   * @returns the server, and a function that gives a connected client
   */
  start: (
    options: Partial<ServerOptions>,
    after: (cleanUp: () => unknown) => void,
  ) => Promise<{ io: Server<any, any, any, any>; connect: () => Promise<Client> }>;
}

const raw = Buffer.from([0, 1, 2, 250]);
const PATIENCE_MS = 20_000;

/**
 * Declares tests for a transport, a host, or whatever is between client and server: that events travel in both directions, in order and with their
 * bytes, that limits hold, and that each side notices when the other one leaves.
 * @example
 * testTransport({ name: "my host", test, start: async (options, after) => {
 *   const { io, url, close } = await startMyHost(options);
 *   after(close);
 *   return { io, connect: () => connectTo(url) };
 * } });
 */
export function testTransport({ name, test, start }: TransportSuite): void {
  const declare = declareFor(test, name);
  const pair = async (
    after: After,
    options: Partial<ServerOptions> = {},
  ): Promise<{ io: Server<any, any, any, any>; client: Client; socket: any }> => {
    const { io, connect } = await start(options, after);
    const joined = once(io.sockets as never, "connection");
    const client = await connect();
    after(() => client.disconnect());
    return { io, client, socket: (await joined)[0] };
  };

  declare("carries events and acknowledgements in both directions", async (after) => {
    const { client, socket } = await pair(after);
    socket.on("ask", (value: unknown, answer: (value: unknown) => void) => answer(["server", value]));
    client.on("ask", (value: unknown, answer: (value: unknown) => void) => answer(["client", value]));
    deepEqual(await client.emitWithAck("ask", { deep: ["é漢😀", null, 1.5] }), ["server", { deep: ["é漢😀", null, 1.5] }]);
    deepEqual(await socket.emitWithAck("ask", "x"), ["client", "x"]);
  });

  declare("carries bytes in both directions", async (after) => {
    const { client, socket } = await pair(after);
    const large = Buffer.alloc(200_000, 7);
    socket.on("echo", (value: unknown, more: unknown, answer: (...values: unknown[]) => void) => answer([value, more]));
    const [first, { deep }] = await client.emitWithAck("echo", raw, { deep: [large, Buffer.alloc(0)] });
    deepEqual(
      [first, ...deep].map((each) => Buffer.from(each).toString("hex")),
      [raw, large, Buffer.alloc(0)].map((each) => each.toString("hex")),
    );
  });

  declare("keeps the order of everything that is sent", async (after) => {
    const { client, socket } = await pair(after);
    const sides = [
      [client, socket],
      [socket, client],
    ] as const;
    for (const [sender, receiver] of sides) {
      const got: number[] = [];
      receiver.on("n", (index: number) => got.push(index));
      for (let index = 0; index < 500; index++) {
        sender.emit("n", index, index % 50 === 0 ? Buffer.alloc(5_000) : "");
        if (index % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      await eventually(() => got.length >= 500, "all events", PATIENCE_MS);
      deepEqual(
        got,
        Array.from({ length: 500 }, (_, index) => index),
      );
    }
  });

  declare("carries megabytes to a client, and says when they are gone", async (after) => {
    const { client, socket } = await pair(after);
    const text = "x".repeat(1_000_000);
    const sizes: number[] = [];
    client.on("large", (value: string) => sizes.push(value.length));
    for (let index = 0; index < 4; index++) socket.emit("large", text);
    await eventually(() => sizes.length === 4, "the texts", PATIENCE_MS);
    deepEqual(sizes, [1_000_000, 1_000_000, 1_000_000, 1_000_000]);
    await eventually(() => socket.bufferedBytes === 0, "the buffer to be empty", PATIENCE_MS);
  });

  declare("ends a connection that sends more than maxHttpBufferSize", async (after) => {
    const { client, socket } = await pair(after, { maxHttpBufferSize: 10_000 });
    const gone = expectEvent(socket, "disconnect", { timeoutMs: PATIENCE_MS });
    const noticed = expectEvent(client, "disconnect", { timeoutMs: PATIENCE_MS });
    let hasArrived = false;
    socket.on("large", () => (hasArrived = true));
    client.emit("large", "x".repeat(20_000));
    await Promise.all([gone, noticed]);
    equal(hasArrived, false, "the event arrived");
  });

  declare("tells the server that the client has left", async (after) => {
    const { client, socket } = await pair(after);
    const gone = expectEvent(socket, "disconnect", { timeoutMs: PATIENCE_MS });
    client.disconnect();
    ok(["client namespace disconnect", "transport close"].includes((await gone)[0] as string));
  });

  declare("tells the client that it was disconnected, behind everything that was sent before", async (after) => {
    const { client, socket } = await pair(after);
    const got: unknown[] = [];
    client.on("last", (value: unknown) => got.push(value));
    const gone = expectEvent(client, "disconnect", { timeoutMs: PATIENCE_MS });
    socket.emit("last", 1);
    socket.emit("last", raw);
    socket.disconnect(true);
    equal((await gone)[0], "io server disconnect");
    equal(got.length, 2);
  });

  declare("keeps a connection alive by heartbeats", async (after) => {
    const { client, socket } = await pair(after, { pingInterval: 50, pingTimeout: 2_000 });
    let beats = 0;
    socket.conn.on("heartbeat", () => beats++);
    await eventually(() => beats >= 3, "three heartbeats", PATIENCE_MS);
    ok(client.connected && socket.connected);
  });

  declare("serves several clients, and none of them the events of another", async (after) => {
    const { io, connect } = await start({}, after);
    const clients = [await connect(), await connect(), await connect()];
    for (const client of clients) after(() => client.disconnect());
    const got: unknown[][] = clients.map((client) => {
      const list: unknown[] = [];
      client.on("n", (value: unknown) => list.push(value));
      return list;
    });
    const sockets = [...io.sockets.sockets.values()];
    equal(sockets.length, 3);
    sockets.forEach((socket, index) => socket.emit("n", index));
    io.emit("n", "all");
    await eventually(() => got.every((list) => list.length === 2), "the events", PATIENCE_MS);
    equal(new Set(got.map(([own]) => own)).size, 3);
    deepEqual(
      got.map(([, all]) => all),
      ["all", "all", "all"],
    );
  });
}
