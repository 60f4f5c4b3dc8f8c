/** Both ends of one engine session: the wire client outside, the session object inside. */
import { startEngine } from "./server.js";
import { PollingSession, WireSocket } from "./wire-client.js";
import { once } from "./client.js";
import { within } from "./wait.js";

export const PATH = "/engine.io/";
export const POLLING = "/engine.io/?EIO=4&transport=polling";
export const WEBSOCKET = "/engine.io/?EIO=4&transport=websocket";

/** An engine that sends every message back, as the public conformance suites expect. */
export async function startEcho(t, options, host) {
  const started = await startEngine(t, options, host);
  started.engine.on("connection", (session) => session.on("data", (message) => session.send(message)));
  return started;
}

/** A new engine with one polling session: `{ engine, port, client, session, httpServer }`. */
export async function pollingPair(t, options, { query, headers, eio, host } = {}) {
  const started = await startEngine(t, options, host);
  return { ...started, ...(await openPolling(started, { query, headers, eio })) };
}

/** One more polling session of a running engine: `{ client, session }`. */
export async function openPolling({ engine, port }, { query, headers, eio } = {}) {
  const connection = once(engine, "connection");
  const client = await PollingSession.open(port, query, { headers, eio });
  const [session] = await connection;
  return { client, session };
}

/** A new engine with one WebSocket session: `{ engine, port, ws, session, httpServer }`, after its open packet. */
export async function webSocketPair(t, options, { path = WEBSOCKET, headers, host } = {}) {
  const started = await startEngine(t, options, host);
  return { ...started, ...(await openWebSocket(started, { path, headers })) };
}

/** One more WebSocket session of a running engine: `{ ws, session, open }`, after its open packet. */
export async function openWebSocket({ engine, port }, { path = WEBSOCKET, headers } = {}) {
  const connection = once(engine, "connection");
  const ws = await WireSocket.open(port, path, headers);
  const [session] = await connection;
  const open = await ws.next();
  return { ws, session, open };
}

/** How a session ends: `{ reason, description }`. Call it before the end is caused. */
export function ending(session, ms) {
  const closed = new Promise((resolve) => session.once("close", (reason, description) => resolve({ reason, description })));
  return within(closed, "the session to close", () => session.readyState, ms);
}

/** The next message of a session; call it before it is sent. */
export async function message(session) {
  const [payload] = await once(session, "data");
  return payload;
}

/** Everything a session delivers, in order. */
export function messages(session) {
  const all = [];
  session.on("data", (payload) => all.push(payload));
  return all;
}
