/** An engine that keeps the contract of ENG-203 and nothing more: messages as strings in, messages as strings out. */
import { EventEmitter, once } from "node:events";
import { setImmediate } from "node:timers/promises";
import roomcast from "../../../dist/index.js";

const { Server } = roomcast;

let count = 0;

/** One connection; `sent` holds what the server has written. */
export class FakeConnection extends EventEmitter {
  constructor({ protocol = 4, url = "/socket.io/?EIO=4&transport=fake" } = {}) {
    super();
    this.id = `engine-${String(++count).padStart(13, "0")}`;
    this.protocol = protocol;
    this.readyState = "open";
    this.transport = { name: "fake", writable: true };
    this.request = { url, headers: { host: "test" }, socket: {} };
    this.remoteAddress = "::1";
    this.sent = [];
    this.options = [];
  }

  write(message, options) {
    this.sent.push(message);
    this.options.push(options);
    return this;
  }

  close() {
    this.end("forced close");
  }

  end(reason, description) {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    this.emit("close", reason, description);
  }

  /** Messages that arrive in one go. */
  receive(...messages) {
    for (const message of messages) this.emit("data", message);
  }

  /** What was written since the last call, once everything that is under way has been. */
  async taken() {
    await settled();
    return this.sent.splice(0);
  }
}

/** Waits until ticks and promises that are under way have run. */
export async function settled() {
  await setImmediate();
  await setImmediate();
}

/** A server over a fake engine; `open()` gives a connection, `join()` one that is in a namespace, with its socket. */
export function fakeServer(t, options = {}) {
  const engine = Object.assign(new EventEmitter(), { close() {} });
  const io = new Server(options);
  io.bind(engine);
  t.after(() => io.close());
  const open = (connectionOptions) => {
    const conn = new FakeConnection(connectionOptions);
    t.after(() => conn.end("transport close"));
    engine.emit("connection", conn);
    return conn;
  };
  const join = async (name = "/", auth) => {
    const conn = open();
    const socket = await enter(conn, name, auth);
    return { conn, socket };
  };
  const enter = async (conn, name = "/", auth) => {
    const admitted = once(io.of(name), "connection");
    conn.receive(`0${name === "/" ? "" : `${name},`}${auth === undefined ? "" : JSON.stringify(auth)}`);
    const [socket] = await admitted;
    conn.sent.length = 0;
    conn.options.length = 0;
    return socket;
  };
  return { io, engine, open, join, enter };
}

/** Collects process warnings with a code during `work`. */
export async function warningsDuring(code, work) {
  const warnings = [];
  const listener = (warning) => warning.code === code && warnings.push(warning.message);
  process.on("warning", listener);
  await work();
  await settled();
  process.off("warning", listener);
  return warnings;
}
