/** Both ends of one connection: the official client outside, the server's socket inside. */
import { within } from "../../support/wait.js";
import { eventually } from "../../support/pairs.js";
import { once } from "../../support/client.js";

/** A client of its own connection that does not reconnect, unless `options` say so; it ends with the test. */
export function open(t, { client, transport }, url, options = {}) {
  const socket = client.io(url, { forceNew: true, reconnection: false, rejectUnauthorized: false, ...transport.options, ...options });
  t.after(() => {
    socket.io.reconnection(false);
    socket.disconnect();
    socket.io.engine?.close();
  });
  return socket;
}

/** Waits for the connection, and where the row upgrades, until both sides are on the last transport. */
export async function settle(socket, io, { transport }) {
  const connected = new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    for (const name of ["connect_error", "error"])
      socket.once(name, (reason) => reject(new Error(`${name}: ${reason?.message ?? reason}`)));
    if (socket.connected) resolve();
  });
  await within(connected, "the client to connect");
  await eventually(() => socket.io.engine.transport.name === transport.settled, `the client to use ${transport.settled}`);
  const conn = io.engine.clients[socket.io.engine.id];
  await eventually(() => conn.transport.name === transport.settled, `the server to use ${transport.settled}`);
}

/**
 * One connected client of a running server.
 * @returns `{ client, socket }`: its own end, and the server's
 */
export async function join(t, row, server, options = {}) {
  const admitted = once(server.io, "connection");
  const client = open(t, row, server.url, { ...row.clientOptions, ...options });
  const [socket] = await admitted;
  await settle(client, server.io, row);
  return { client, socket };
}

/** Emits with an acknowledgement; what it was answered with, as an array. */
export function ask(emitter, ...args) {
  return within(new Promise((resolve) => emitter.emit(...args, (...answers) => resolve(answers))), `the answer to "${args[0]}"`);
}

/** Byte values as plain arrays, so that Buffers, typed arrays and ArrayBuffers compare by content. */
export function plain(value) {
  if (value instanceof ArrayBuffer) return [...new Uint8Array(value)];
  if (ArrayBuffer.isView(value)) return [...new Uint8Array(value.buffer, value.byteOffset, value.byteLength)];
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, plain(entry)]));
  return value;
}
