/** Both ends of Socket.IO connections: the official client outside, the server's socket inside. */
import { connect, once } from "./client.js";
import { startServer } from "./server.js";
import { within } from "./wait.js";
import { WireSocket } from "./wire-client.js";

/**
 * A new server with one connected client.
 * @param options  options of the server
 * @param more     `namespace` ("/"), `client`: options of the client (WebSocket only, unless said otherwise), `host`: as for `startServer`
 * @returns        `{ io, port, url, httpServer, client, socket }`
 */
export async function pair(t, options = {}, { namespace = "/", client = {}, host } = {}) {
  const server = await startServer(t, options, host);
  if (namespace !== "/") server.io.of(namespace);
  return { ...server, ...(await joinServer(t, server, namespace, client)) };
}

/** A new server with `count` connected clients: `{ io, …, clients, sockets }`, in the order of their connection. */
export async function crowd(t, count, options = {}, { namespace = "/", client = {} } = {}) {
  const server = await startServer(t, options);
  const pairs = [];
  for (let i = 0; i < count; i += 1) pairs.push(await joinServer(t, server, namespace, client));
  return { ...server, clients: pairs.map((one) => one.client), sockets: pairs.map((one) => one.socket) };
}

/** One more client of a running server: `{ client, socket }`. */
export async function joinServer(t, { io, url }, namespace = "/", options = {}) {
  const client = await connect(t, url, namespace, { transports: ["websocket"], ...options });
  return { client, socket: io.of(namespace).sockets.get(client.id) };
}

/**
 * Sends an event and waits for it at the other end: what was sent before has arrived then, or never will.
 * @param from  socket of either side
 * @param to    its other end
 */
export async function fence(from, to) {
  const arrived = once(to, "fence");
  from.emit("fence");
  await arrived;
}

/** A WebSocket driven by hand that has joined a namespace; `payload` is that of the answer to CONNECT. */
export async function wirePeer(t, port, { namespace = "/", auth, path = "/socket.io/", join = true } = {}) {
  const ws = await WireSocket.open(port, `${path}?EIO=4&transport=websocket`);
  t.after(() => ws.abort());
  await ws.next();
  if (!join) return ws;
  const prefix = namespace === "/" ? "40" : `40${namespace},`;
  ws.send(prefix + (auth === undefined ? "" : JSON.stringify(auth)));
  const answer = await ws.until((message) => typeof message === "string" && message.startsWith(`${prefix}{`));
  ws.payload = JSON.parse(answer.slice(prefix.length));
  return ws;
}

/** The next socket of a namespace; call it before the client connects. */
export async function nextSocket(namespace) {
  const [socket] = await once(namespace, "connection");
  return socket;
}

/**
 * Takes over what would end the process, until the test ends: `next()` gives the next error of that kind.
 * @param kind  "uncaughtException" or "unhandledRejection"
 */
export function catchProcess(t, kind) {
  const usual = process.listeners(kind);
  process.removeAllListeners(kind);
  const caught = [];
  const readers = [];
  process.on(kind, (error) => {
    const reader = readers.shift();
    if (reader) reader(error);
    else caught.push(error);
  });
  t.after(() => {
    process.removeAllListeners(kind);
    for (const listener of usual) process.on(kind, listener);
  });
  return {
    caught,
    next: () => (caught.length > 0 ? Promise.resolve(caught.shift()) : within(new Promise((resolve) => readers.push(resolve)), kind)),
  };
}

/** Warnings of the process from now on, until the test ends; `next(isWanted)` waits for one. */
export function catchWarnings(t) {
  const warnings = [];
  const waiters = new Set();
  const onWarning = (warning) => {
    warnings.push(warning);
    for (const check of [...waiters]) check();
  };
  process.on("warning", onWarning);
  t.after(() => process.off("warning", onWarning));
  return {
    warnings,
    next(isWanted = () => true) {
      let check;
      const found = new Promise((resolve) => {
        check = () => {
          const warning = warnings.find(isWanted);
          if (warning) resolve(warning);
        };
        waiters.add(check);
        check();
      });
      return within(found, "a warning", () => warnings.map(({ code, message }) => `${code}: ${message}`)).finally(() =>
        waiters.delete(check),
      );
    },
  };
}

/** Waits until `isTrue()` holds, looking once per turn of the event loop: for state that no event tells of. */
export async function eventually(isTrue, what, received, ms) {
  let isOver = false;
  const met = (async () => {
    while (!isOver && !(await isTrue())) await new Promise((resolve) => setImmediate(resolve));
  })();
  await within(met, what, received, ms).finally(() => {
    isOver = true;
  });
}
