/** Clients that speak by hand over any transport, and say when all that is under way has arrived. */
import { Inbox, within } from "../../support/wait.js";
import * as compact from "./compact.js";
import { HttpConnection, PollingSession, SEPARATOR, WireSocket } from "../../support/wire-client.js";

const FOREVER_MS = 2 ** 31 - 1;

/** Messages that only bring a client to rest; see `Client.catchUp`. */
const MARK = "sync";

/** One connection of a client. */
export class Client {
  /** @param options  `eio`: 3 or 4; `polls`: begin with long-polling */
  static async open(node, { eio: wanted = 4, polls = false } = {}) {
    const eio = polls || node.program.parser !== "default" ? 4 : wanted;
    const line = polls ? await PollingLine.open(node.port) : await WebSocketLine.open(node.port, eio);
    return new Client(node, line, eio);
  }

  constructor(node, line, eio) {
    this.line = line;
    this.eio = eio;
    this.isCompact = node.program.parser !== "default";
    this.conn = node.io.engine.clients[line.sid];
    /** What has come since the last step began. */
    this.seen = [];
    /** Events that wait for an answer, oldest first. */
    this.questions = [];
    this.asked = 0;
    /** What a recovery asks for. */
    this.pid = null;
    this.offset = undefined;
    this.isGone = false;

    this.namespaces = new Set();
    this.expectsBytes = false;
    this.marks = new Set();
    this.beatsSent = 0;
    this.beatsHeard = 0;
    this.wake = () => {};
    this.conn.on("heartbeat", () => {
      this.beatsHeard++;
      this.wake();
    });
    this.ended = new Promise((resolve) => this.conn.on("close", resolve));
    if (node.program.observes) observe(this.conn, node);
    void this.read();
  }

  get isOver() {
    return this.isGone || this.line.isOver;
  }

  send(...messages) {
    for (const message of messages) if (String(message).startsWith("41")) this.namespaces.delete(namespaceOf(message));
    this.line.send(
      ...this.translate(messages).map((message) => (this.eio === 3 && Buffer.isBuffer(message) ? Buffer.from([4, ...message]) : message)),
    );
  }

  /** One packet, or an engine packet, in the form of the server's parser. */
  translate(messages) {
    return this.isCompact && String(messages[0]).startsWith("4") ? compact.encode(messages) : messages;
  }

  async upgrade() {
    if (this.line instanceof PollingLine && !this.isOver) await this.line.upgrade();
  }

  // -- coming to rest --------------------------------------------------------------------------------

  /** Resolves when the server has taken in all that was sent. */
  async deliver() {
    if (this.isOver || this.conn.readyState !== "open") return this.die();
    const wanted = ++this.beatsSent;
    this.line.send(this.eio === 3 ? "2" : "3");
    await this.until(() => this.beatsHeard >= wanted || this.conn.readyState !== "open" || this.isGone);
  }

  /** Resolves when the client has taken in all that the server sent. */
  async catchUp(count) {
    if (this.isOver || this.conn.readyState !== "open") return this.die();
    const mark = `${MARK}${count}`;
    this.conn.write(mark);
    await this.until(() => this.marks.has(mark) || this.isGone);
  }

  async die() {
    await within(this.ended, "the session to end");
    await this.until(() => this.isGone);
  }

  until(isSo) {
    const reached = new Promise((resolve) => {
      this.wake = () => isSo() && resolve();
      this.wake();
    });
    return within(reached, "a client to come to rest", () => this.seen);
  }

  // -- reading ---------------------------------------------------------------------------------------

  async read() {
    for (;;) {
      let message;
      try {
        message = await this.line.next();
      } catch {
        break;
      }
      this.take(message);
    }
    this.seen.push(`ended: ${await this.ended}`);
    this.isGone = true;
    this.wake();
  }

  take(message) {
    if (message === "3" && this.eio === 3) return;
    if (typeof message === "string" && message.startsWith(`4${MARK}`)) {
      this.marks.add(message.slice(1));
      this.wake();
    } else if (this.isCompact && Buffer.isBuffer(message)) {
      for (const form of compact.decode(message)) this.record(form);
    } else {
      this.record(message);
    }
  }

  record(message) {
    if (!this.belongs(message)) return;
    this.seen.push(typeof message === "string" ? message : message.toString("hex"));
    if (typeof message === "string") this.remember(message);
  }

  /** Whether it is for a namespace in which this client is: others are dropped by every client. */
  belongs(message) {
    if (typeof message !== "string") return this.expectsBytes;
    const type = message[1];
    const name = namespaceOf(message);
    if (type === "0") this.namespaces.add(name);
    this.expectsBytes = type === "4" || this.namespaces.has(name);
    if (type === "1") this.namespaces.delete(name);
    return this.expectsBytes;
  }

  remember(message) {
    const question = /^4[25](?:\d+-)?((?:\/[^,]*,)?)(\d+)\[/.exec(message);
    if (question) this.questions.push({ prefix: question[1], id: question[2] });
    this.pid = /^40\{.*"pid":"([^"]+)"/.exec(message)?.[1] ?? this.pid;
    this.offset = /^4(?:2|5\d+-)\[.*,"([\w-]{6,9}(?:\.\w+)?)"\]$/.exec(message)?.[1] ?? this.offset;
  }
}

function namespaceOf(message) {
  return /^4\d(?:\d+-)?(\/[^,]*)?/.exec(message)?.[1] ?? "/";
}

/** Writes down what users of the engine see of each packet. */
function observe(conn, node) {
  const isCompact = node.program.parser !== "default"; // the members of a packet come in any order there
  const note = (what) => (packet) => {
    const isOfTheTest = packet.type === "pong" || packet.type === "ping" || String(packet.data).startsWith(MARK);
    const isToNobody = what === "packetCreate" && node.isLeaving; // the original writes to a socket that is leaving
    // A close packet that comes by long-polling is seen here alone.
    if (!isOfTheTest && !isToNobody && packet.type !== "close") node.note(what, packet.type, isCompact ? "bytes" : (packet.data ?? "none"));
  };
  conn.on("packetCreate", note("packetCreate"));
  conn.on("packet", note("packet"));
  conn.on("upgrading", (transport) => node.note("upgrading", transport.name));
  conn.on("upgrade", (transport) => node.note("upgrade", transport.name));
}

class WebSocketLine {
  static async open(port, eio) {
    const ws = await WireSocket.open(port, `/socket.io/?EIO=${eio}&transport=websocket`);
    return new WebSocketLine(ws, JSON.parse((await ws.next()).slice(1)).sid);
  }

  constructor(ws, sid) {
    this.ws = ws;
    this.sid = sid;
  }

  get isOver() {
    return this.ws.sentClose === true || this.ws.socket.destroyed;
  }

  next() {
    return this.ws.messages.next(FOREVER_MS);
  }

  send(...messages) {
    this.ws.send(...messages);
  }

  cork() {
    this.ws.socket.cork();
  }

  uncork() {
    this.ws.socket.uncork();
  }

  close() {
    this.ws.close(1000);
  }

  abort() {
    this.ws.abort();
  }
}

/** Long-polling over two connections, and after `upgrade` a WebSocket. */
class PollingLine {
  static async open(port) {
    const get = await HttpConnection.open(port);
    const post = await HttpConnection.open(port);
    return new PollingLine(await PollingSession.open(port, "", { path: "/socket.io/", agent: get }), get, post);
  }

  constructor(session, get, post) {
    this.session = session;
    this.sid = session.sid;
    this.connections = { get, post };
    this.inbox = new Inbox("a message");
    this.unsent = [];
    this.isCorked = false;
    this.posted = Promise.resolve();
    this.ws = null;
    this.isOver = false;
    this.polling = this.poll();
  }

  async poll() {
    while (this.ws === null && !this.isOver) {
      const response = await this.session.get({ agent: this.connections.get, ms: FOREVER_MS }).catch(() => null);
      if (response === null || response.status !== 200) break;
      for (const packet of response.text.split(SEPARATOR)) this.take(packet);
    }
    if (this.ws === null) this.inbox.end(new Error("the session is over"));
  }

  take(packet) {
    if (packet === "1") this.isOver = true;
    if (packet === "1" || packet === "6") return; // whether one comes depends on when the poll before was answered
    this.inbox.push(packet.startsWith("b") ? Buffer.from(packet.slice(1), "base64") : packet);
  }

  next() {
    return this.inbox.next(FOREVER_MS);
  }

  send(...messages) {
    this.unsent.push(...messages);
    if (!this.isCorked) this.flush();
  }

  flush() {
    this.posted = this.posted.then(async () => {
      const messages = this.unsent.splice(0);
      if (messages.length === 0) return;
      if (this.ws !== null) return this.ws.send(...messages);
      const body = messages.map((message) => (typeof message === "string" ? message : `b${message.toString("base64")}`)).join(SEPARATOR);
      // The end of the session shows in the polls.
      await this.session.post(body, { agent: this.connections.post, headers: { "Content-Type": "text/plain" } }).catch(() => {});
    });
  }

  async upgrade() {
    if (this.ws !== null) return;
    await this.posted;
    const ws = await this.session.candidate();
    ws.send("2probe");
    await ws.expect("3probe");
    this.ws = ws;
    await this.polling; // the server releases the poll
    ws.send("5");
    void this.read();
  }

  async read() {
    for (;;) {
      try {
        this.inbox.push(await this.ws.messages.next(FOREVER_MS));
      } catch (error) {
        this.isOver = true;
        return this.inbox.end(error);
      }
    }
  }

  cork() {
    this.isCorked = true;
  }

  uncork() {
    this.isCorked = false;
    this.flush();
  }

  close() {
    this.isOver = true;
    if (this.ws !== null) this.ws.close(1000);
    else this.send("1");
  }

  abort() {
    this.isOver = true;
    if (this.ws !== null) this.ws.abort();
    else this.connections.get.abort();
  }
}
