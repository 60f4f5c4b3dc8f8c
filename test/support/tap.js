/** Stands between clients and a server on plain HTTP, passes bytes on, and keeps what WebSockets exchange. */
import { connect, createServer } from "node:net";
import { within } from "./wait.js";
import { parseFrame, parseHead } from "./wire-client.js";

const END_OF_HEAD = "\r\n\r\n";

/**
 * Starts a tap in front of `port`; it ends with the test.
 * @returns `{ url, port, webSockets, cut() }`; `webSockets` has one `{ offered, accepted, sent, received }` for each WebSocket: the values of
 *   `Sec-WebSocket-Extensions` in the request and in the response (`undefined` without any), and the frames of the client and of the server
 *   as `parseFrame` gives them; `cut()` destroys all connections
 */
export async function startTap(t, port) {
  const webSockets = [];
  const sockets = new Set();
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    const exchange = { offered: undefined, accepted: undefined, sent: [], received: [] };
    const up = new Side((head) => (exchange.offered = extensionsIn(head)), exchange.sent);
    const down = new Side((head) => {
      exchange.accepted = extensionsIn(head);
      webSockets.push(exchange);
      up.switch();
    }, exchange.received);
    for (const [from, to, side] of [
      [near, far, up],
      [far, near, down],
    ]) {
      sockets.add(from.setNoDelay());
      from.on("data", (chunk) => side.take(chunk));
      from
        .on("error", () => {})
        .on("close", () => {
          sockets.delete(from);
          to.destroy();
        });
      from.pipe(to);
    }
  });
  const cut = () => sockets.forEach((socket) => socket.destroy());
  await within(new Promise((resolve) => server.listen(0, "127.0.0.1", resolve)), "the tap to listen");
  t.after(() => {
    server.close();
    cut();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, port: server.address().port, webSockets, cut };
}

const extensionsIn = (head) => parseHead(head).headers["sec-websocket-extensions"];

/** The bytes of one direction: heads of HTTP until the connection is a WebSocket, then frames. */
class Side {
  constructor(onHead, frames) {
    this.onHead = onHead;
    this.frames = frames;
    this.bytes = Buffer.alloc(0);
    this.isSwitched = false;
  }

  /** The other side has agreed: what follows the request are frames. */
  switch() {
    this.isSwitched = true;
    this.parse();
  }

  take(chunk) {
    this.bytes = Buffer.concat([this.bytes, chunk]);
    this.parse();
  }

  parse() {
    if (!this.isSwitched) this.parseHead();
    if (!this.isSwitched) return;
    for (let parsed = parseFrame(this.bytes); parsed; parsed = parseFrame(this.bytes)) {
      this.bytes = this.bytes.subarray(parsed.size);
      this.frames.push(parsed.frame);
    }
  }

  /** Connections of polling requests are passed on unread. */
  parseHead() {
    const end = this.bytes.indexOf(END_OF_HEAD);
    if (end < 0) return;
    const head = this.bytes.subarray(0, end).toString("latin1");
    const isResponse = head.startsWith("HTTP/1.1 101 ");
    if (!isResponse && !/^upgrade: websocket$/im.test(head)) return void (this.bytes = Buffer.alloc(0));
    this.bytes = this.bytes.subarray(end + END_OF_HEAD.length);
    this.isSwitched = isResponse;
    this.onHead(head);
  }
}
