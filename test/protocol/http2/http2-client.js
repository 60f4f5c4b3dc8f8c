/** An HTTP/2 client by hand: one connection, WebSockets as streams of it (RFC 8441). */
import { connect } from "node:http2";
import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";
import { WireSocket } from "../../support/wire-client.js";
import { within } from "../../support/wait.js";

export const WEBSOCKET = "/engine.io/?EIO=4&transport=websocket";

/** Opens a connection and waits for the server's settings: `session.remoteSettings`. `session.cut()` ends its TCP connection. */
export async function openConnection(t, url) {
  const { protocol, hostname: host, port } = new URL(url);
  const isSecure = protocol === "https:";
  const socket = isSecure ? connectTls({ port, host, rejectUnauthorized: false, ALPNProtocols: ["h2"] }) : connectTcp({ port, host });
  const session = connect(url, { createConnection: () => socket });
  session.cut = () => socket.destroy();
  session.on("error", () => {});
  t.after(() => session.destroy());
  await within(new Promise((resolve) => session.once("remoteSettings", resolve)), "the settings of the server");
  return session;
}

/** Asks for a WebSocket: `{ stream, status, headers }`. */
export async function ask(session, path = WEBSOCKET, headers = {}) {
  const stream = session.request(
    { ":method": "CONNECT", ":protocol": "websocket", ":scheme": "https", ":path": path, "sec-websocket-version": "13", ...headers },
    { endStream: false },
  );
  const answer = await within(
    new Promise((resolve, reject) => {
      stream.once("response", resolve);
      stream.once("error", reject);
      stream.once("close", () => reject(Object.assign(new Error(`closed with code ${stream.rstCode}`), { rstCode: stream.rstCode })));
    }),
    "the answer to CONNECT",
  );
  stream.on("error", () => {});
  return { stream, status: answer[":status"], headers: answer };
}

/** A WebSocket over the connection; its frames are written and read by hand. */
export async function openWebSocket(session, path, headers) {
  const { stream, status, headers: answer } = await ask(session, path, headers);
  if (status !== 200) throw new Error(`CONNECT was answered ${status}`);
  const ws = new WireSocket(stream, false);
  ws.isOpen = true;
  stream.once("end", () => stream.end()); // as TCP does
  ws.headers = answer;
  return ws;
}

/** What is left of a refused stream, as text. */
export function bodyOf(stream) {
  let text = "";
  stream.setEncoding("utf8").on("data", (chunk) => (text += chunk));
  return within(new Promise((resolve) => stream.once("end", () => resolve(text))), "the end of the body");
}

/** One GET or POST over the connection: `{ status, headers, text }`. */
export async function request(session, method, path, body) {
  const stream = session.request({ ":method": method, ":path": path }, { endStream: body === undefined });
  const answer = within(new Promise((resolve, reject) => stream.once("response", resolve).once("error", reject)), "the response");
  if (body !== undefined) stream.end(body);
  const headers = await answer;
  return { status: headers[":status"], headers, text: await bodyOf(stream) };
}
