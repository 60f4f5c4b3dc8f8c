// A long-polling client: one keep-alive connection for GET and one for POST requests; reads and writes HTTP itself.
import { BROWSER_HEADERS, Client, openSocket, textFrame } from "./client.mjs";

const PATH = "/socket.io/?EIO=4&transport=polling";

/** One keep-alive connection, one request at a time. Reopened if the server closed it because it was idle. */
class Exchange {
  constructor(settings) {
    this.settings = settings;
    this.socket = null;
    this.rest = null;
    this.done = null;
    this.fail = null;
  }

  send(head, body = "") {
    return new Promise((resolve, reject) => {
      this.done = resolve;
      this.fail = reject;
      this.socket ??= this.dial();
      this.socket.write(head + body);
    });
  }

  dial() {
    const socket = openSocket(
      this.settings,
      (chunk) => this.take(chunk),
      (error) => {
        if (this.socket === socket) this.socket = null;
        socket.destroy();
        this.fail?.(error);
      },
    );
    return socket;
  }

  close() {
    this.socket?.destroy();
  }

  take(chunk) {
    const data = this.rest === null ? chunk : Buffer.concat([this.rest, chunk]);
    this.rest = null;
    const end = data.indexOf("\r\n\r\n");
    const head = end === -1 ? "" : data.latin1Slice(0, end);
    const length = /content-length: (\d+)/i.exec(head);
    if (end === -1 || (length !== null && data.length < end + 4 + Number(length[1]))) return void (this.rest = Buffer.from(data));
    if (length === null || !head.startsWith("HTTP/1.1 200")) return this.fail(new Error(`not understood: ${head.slice(0, 200)}`));
    this.fail = null;
    this.done(data.latin1Slice(end + 4));
  }
}

export class PollingClient {
  constructor(settings) {
    this.settings = settings;
    this.gets = new Exchange(settings);
    this.posts = null;
    this.onPackets = null;
  }

  get() {
    return this.gets.send(this.getHead);
  }

  post(body) {
    this.posts ??= new Exchange(this.settings);
    return this.posts.send(`${this.postHead}${body.length}\r\n\r\n`, body);
  }

  /** Connects and joins `/`. */
  async open() {
    const text = await this.gets.send(`GET ${PATH} HTTP/1.1\r\n${BROWSER_HEADERS}\r\n\r\n`);
    this.sid = JSON.parse(text.slice(1)).sid;
    this.getHead = `GET ${PATH}&sid=${this.sid} HTTP/1.1\r\n${BROWSER_HEADERS}\r\n\r\n`;
    this.postHead = `POST ${PATH}&sid=${this.sid} HTTP/1.1\r\n${BROWSER_HEADERS}\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: `;
    await this.post("40");
    await this.get();
    return this;
  }

  /** One event with acknowledgement: a POST, and the GET with the answer. */
  async echo(id) {
    const poll = this.get();
    await this.post(`42${id}["echo","hello world"]`);
    return poll;
  }

  close() {
    this.gets.close();
    this.posts?.close();
  }
}

/** Connects by polling, joins `/`, upgrades to WebSocket as the official client does, and checks it with one echo. */
export async function openByUpgrade(settings) {
  const polls = await new PollingClient(settings).open();
  const client = new Client({ ...settings, query: `&sid=${polls.sid}` });
  client.polls = polls;
  const lastPoll = polls.get();
  await new Promise((resolve, reject) => {
    client.dial((text) => {
      if (text !== "3probe") return client.ready(resolve);
      lastPoll.then(() => client.socket.write(Buffer.concat([textFrame("5"), textFrame('420["echo",1]')])), reject);
    }, reject);
    client.onOpen = () => client.socket.write(textFrame("2probe"));
  });
  polls.close();
  return client;
}
