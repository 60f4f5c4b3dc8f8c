/**
 * A WebTransport session without HTTP/3: what the user's server would hand to the engine, and the client's end of it.
 * It keeps the W3C interface: `incomingBidirectionalStreams`, `closed`, `close()`, streams of `readable` and `writable`.
 */
import { Inbox, within } from "../../support/wait.js";

/** The bytes of one packet: a header of one, three or nine bytes, and the body. */
export function packetBytes(body) {
  const bytes = Buffer.from(body);
  const binary = typeof body === "string" ? 0 : 0x80;
  if (bytes.length < 126) return Buffer.concat([Buffer.from([binary | bytes.length]), bytes]);
  if (bytes.length < 65536) return Buffer.concat([Buffer.from([binary | 126, bytes.length >> 8, bytes.length & 255]), bytes]);
  const header = Buffer.alloc(9);
  header[0] = binary | 127;
  header.writeBigUInt64BE(BigInt(bytes.length), 1);
  return Buffer.concat([header, bytes]);
}

/** Cuts bytes into packets, written apart from the code under test: text as string, binary as Buffer. */
class PacketReader {
  #bytes = Buffer.alloc(0);

  add(chunk) {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    const packets = [];
    for (let packet = this.#take(); packet !== null; packet = this.#take()) packets.push(packet);
    return packets;
  }

  #take() {
    const bytes = this.#bytes;
    if (bytes.length === 0) return null;
    const code = bytes[0] & 0x7f;
    const start = code === 127 ? 9 : code === 126 ? 3 : 1;
    if (bytes.length < start) return null;
    const length = code === 127 ? Number(bytes.readBigUInt64BE(1)) : code === 126 ? bytes.readUInt16BE(1) : code;
    if (bytes.length < start + length) return null;
    this.#bytes = bytes.subarray(start + length);
    const body = bytes.subarray(start, start + length);
    return bytes[0] & 0x80 ? body : body.toString("utf8");
  }
}

/**
 * Makes one session: `{ server, client }`. `server` is for `engine.onWebTransportSession`.
 * @param options  `window`: how many chunks the network holds for a client that doesn't read
 */
export function sessionPair({ window = 16 } = {}) {
  let streams;
  let settle;
  const closed = new Promise((resolve, reject) => (settle = { resolve, reject }));
  const over = closed.then(
    () => {},
    () => {},
  );
  const server = {
    closeCalls: 0,
    closed,
    incomingBidirectionalStreams: new ReadableStream({ start: (controller) => void (streams = controller) }),
    close() {
      server.closeCalls++;
      end(null);
    },
  };
  const opened = [];
  let isOver = false;
  /** The connection ends: by `close()` of either side, or with an error. */
  function end(error) {
    if (isOver) return;
    isOver = true;
    const cause = error ?? new Error("the session was closed");
    try {
      streams.close();
    } catch {
      // cancelled by the reader already
    }
    for (const stream of opened) stream.cut(cause);
    if (error === null) settle.resolve({ closeCode: 0, reason: "" });
    else settle.reject(error);
  }
  const client = {
    /** Waits for the end of the session. */
    ended: (ms) => within(over, "the WebTransport session to end", undefined, ms),
    get isOver() {
      return isOver;
    },
    openStream() {
      const stream = new ClientStream(window);
      opened.push(stream);
      streams.enqueue(stream.remote);
      return stream;
    },
    close: () => end(null),
    fail: (error = new Error("connection lost")) => end(error),
  };
  return { server, client };
}

/** The client's end of a bidirectional stream. Reads by itself unless `pause()` was called first. */
class ClientStream {
  constructor(window) {
    const up = controlledPipe(window);
    const down = controlledPipe(window);
    this.remote = { readable: up.readable, writable: down.writable };
    this.cut = (error) => {
      up.fail(error);
      down.fail(error);
    };
    this.writer = up.writable.getWriter();
    this.writer.closed.catch(() => {});
    this.reader = down.readable.getReader();
    this.reader.closed.catch(() => {});
    /** Whatever the server sent, in order. */
    this.received = new Inbox("a packet on the WebTransport stream");
    /** The same as chunks of the stream. */
    this.chunks = [];
    this.isReading = false;
    this.isPaused = false;
    this.read();
  }

  /** Sends packets, all in one chunk. */
  send(...bodies) {
    return this.write(Buffer.concat(bodies.map(packetBytes)));
  }

  /** Sends bytes as they are. */
  write(bytes) {
    return this.writer.write(new Uint8Array(bytes)).catch(() => {});
  }

  /** Ends the client's sending side. */
  finish() {
    return this.writer.close();
  }

  reset(error = new Error("reset")) {
    return this.writer.abort(error);
  }

  next(ms) {
    return this.received.next(ms);
  }

  pause() {
    this.isPaused = true;
  }

  resume() {
    this.isPaused = false;
    return this.read();
  }

  async read() {
    if (this.isReading) return;
    this.isReading = true;
    const packets = (this.packets ??= new PacketReader());
    try {
      while (!this.isPaused) {
        const { done, value } = await this.reader.read();
        if (done) return this.received.end(new Error("the stream ended"));
        this.chunks.push(Buffer.from(value));
        for (const packet of packets.add(value)) this.received.push(packet);
      }
    } catch (error) {
      this.received.end(error);
    }
    this.isReading = false;
  }
}

/** A pipe that holds `window` chunks and can be cut from outside. */
function controlledPipe(window) {
  let controller;
  const { readable, writable } = new TransformStream(
    { start: (given) => void (controller = given) },
    { highWaterMark: 1 },
    { highWaterMark: window },
  );
  return { readable, writable, fail: (error) => controller.error(error) };
}

/** Opens a session of `engine`: `{ server, client, stream, handshake }`, once its open packet has come. */
export async function openWebTransport(engine, options) {
  const pair = sessionPair(options);
  const accepted = engine.onWebTransportSession(pair.server);
  const stream = pair.client.openStream();
  await stream.send("0");
  const open = await stream.next();
  await accepted;
  if (!open.startsWith("0{")) throw new Error(`expected an open packet, received ${open}`);
  return { ...pair, stream, handshake: JSON.parse(open.slice(1)) };
}
