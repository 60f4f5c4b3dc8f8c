/** The five walks of a message, measured: which files each passes, and where it turns upward. */
import { once } from "node:events";
import { createServer } from "node:http";
import { PollingSession, WireSocket } from "../../support/wire-client.js";
import { loadTraced, walkOf, watchWrites } from "./traced.js";

/** Floors and, inside the engine and the server, what is built on what. A step to a higher number is a step up. */
const heights = [
  [/^(errors\.ts$|support\/|engine\/turn\.ts$)/, 0],
  [/^protocol\//, 1],
  [/^engine\/hosts\//, 2],
  [/^engine\/transports\//, 3],
  [/^engine\//, 4],
  [/^server\/client\//, 5],
  [/^server\/socket\//, 6],
  [/^server\/adapter\//, 7],
  [/^server\/broadcast\//, 8],
  [/^server\//, 9],
  [/^cluster\//, 10],
];

/**
 * Sends one message along each walk: over WebSocket, and over long-polling for "Poll in".
 * @returns  name → `{ walk, entered, calls }`, see `walkOf`
 */
export async function measureWalks(t) {
  const requireTraced = loadTraced(t);
  const { Server } = requireTraced("./index.js");
  const { ClusterAdapterWithHeartbeat } = requireTraced("./public/adapter.js");
  class Link extends ClusterAdapterWithHeartbeat {
    doPublish() {
      return Promise.resolve("0");
    }
    doPublishResponse() {
      return Promise.resolve();
    }
  }

  const single = await start(t, Server, {});
  const node = await start(t, Server, { adapter: Link });
  const broadcast = {
    uid: "another-node",
    nsp: "/",
    type: 3, // BROADCAST
    data: { packet: { type: 2, nsp: "/", data: ["event", 1] }, opts: { rooms: ["room"], except: [], flags: {} } },
  };
  return {
    "Frame in": await walkOf("listener", (end) => {
      single.onEvent = end;
      single.client.send('42["event",1]');
    }),
    "Poll in": await walkOf("listener", (end) => {
      single.onEvent = end;
      return single.polling.post('42["event",1]');
    }),
    "Emit out": await walkOf("write", () => single.socket.emit("event", 1)),
    "Broadcast out": await walkOf("write", () => single.io.to("room").emit("event", 1)),
    "Cluster message in": await walkOf("write", () => node.io.of("/").adapter.onMessage(broadcast, "0-1")),
  };
}

/** A server with one WebSocket client in `room`, and one that polls. */
async function start(t, Server, options) {
  const httpServer = createServer();
  const io = new Server(httpServer, { ...options, serveClient: false });
  t.after(() => io.close());
  httpServer.listen(0, "127.0.0.1");
  await once(httpServer, "listening");
  const { port } = httpServer.address();
  const server = { io, onEvent: null, client: null, socket: null, polling: null };
  io.on("connection", (socket) => socket.on("event", () => server.onEvent()));

  const path = "/socket.io/";
  const connected = once(httpServer, "connection");
  server.client = await WireSocket.open(port, `${path}?EIO=4&transport=websocket`);
  t.after(() => server.client.abort());
  const [connection] = await connected;
  await server.client.next();
  server.client.send("40");
  await server.client.next();
  [server.socket] = io.of("/").sockets.values();
  server.socket.join("room");
  server.polling = await PollingSession.open(port, "", { path });
  await server.polling.post("40");
  await server.polling.poll();
  watchWrites(connection);
  return server;
}

export function heightOf(path) {
  return heights.find(([pattern]) => pattern.test(path))?.[1];
}

/**
 * How often a walk turns upward: calls from one of its files to a higher one, until the turn of the event loop is over. A call that goes on
 * from the height to which another one climbed is the same turn; what `engine/turn.ts` puts off goes on where it was.
 */
export function turnsUpward({ walk, calls }) {
  const upward = calls.filter(
    ([from, to]) => walk.includes(from) && walk.includes(to) && heightOf(from) > 0 && heightOf(to) > heightOf(from),
  );
  const reached = new Set(upward.map(([, to]) => heightOf(to)));
  return new Set(upward.map(([from]) => from).filter((from) => !reached.has(heightOf(from)))).size;
}
