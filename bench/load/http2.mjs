// WebSockets over HTTP/2 (RFC 8441): many clients share a connection, so that they need few open files.
import { connect } from "node:http2";
import { BROWSER_HEADERS, Client } from "./client.mjs";

const STREAMS_PER_CONNECTION = 250;
const HEADERS = Object.fromEntries(
  BROWSER_HEADERS.split("\r\n")
    .slice(1) // the host is in `:authority`
    .map((line) => line.toLowerCase().split(": ")),
);

let newest = null;

/** Returns a connection that can open one more stream. */
function connection({ port }) {
  if (newest === null || newest.port !== port || newest.streams === STREAMS_PER_CONNECTION || newest.session.closed) {
    const session = connect(`http://127.0.0.1:${port}`);
    const isReady = new Promise((resolve, reject) => session.on("remoteSettings", resolve).on("error", reject));
    newest = { port, session, isReady, streams: 0 };
  }
  newest.streams++;
  return newest;
}

export class StreamClient extends Client {
  async dial(onText, reject) {
    try {
      this.onText = onText;
      const { session, isReady } = connection(this.settings);
      this.session = session;
      await isReady;
      const request = {
        ":method": "CONNECT",
        ":protocol": "websocket",
        ":scheme": "http",
        ":path": "/socket.io/?EIO=4&transport=websocket",
        "sec-websocket-version": "13",
        ...HEADERS,
      };
      this.state = "frames";
      this.socket = session.request(request, { endStream: false });
      this.socket
        .on("response", ({ ":status": status }) => status !== 200 && reject(new Error(`CONNECT was answered ${status}`)))
        .on("data", (chunk) => this.take(chunk))
        .on("error", reject);
    } catch (error) {
      reject(error);
    }
  }

  close() {
    super.close();
    this.session?.close(); // closes after all its streams
  }
}
