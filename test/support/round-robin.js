/** A proxy that sends each request and each upgrade to the next server, as plain load balancers do: one that refuses or resets a connection is passed over. */
import { createServer, request as httpRequest } from "node:http";
import { connect as connectTcp } from "node:net";
import { once } from "./client.js";

/** @returns `{ url, port, counts }`: how many requests each server got */
export async function startRoundRobin(t, ports) {
  let turn = 0;
  const counts = ports.map(() => 0);
  /** Calls `attempt(port, onRefused)` for one server after another, until one accepts. */
  const tryEach = (attempt, left = ports.length) => {
    const index = turn++ % ports.length;
    attempt(ports[index], {
      onAccepted: () => counts[index]++,
      onError: (error, giveUp) => (["ECONNREFUSED", "ECONNRESET"].includes(error.code) && left > 1 ? tryEach(attempt, left - 1) : giveUp()),
    });
  };
  const sockets = new Set();
  const proxy = createServer(async (req, res) => {
    const { method, url } = req;
    const { connection: _, ...headers } = req.headers;
    const body = [];
    for await (const chunk of req) body.push(chunk);
    tryEach((port, { onAccepted, onError }) => {
      const onward = httpRequest({ host: "127.0.0.1", port, method, path: url, headers, agent: false }, (answer) => {
        onAccepted();
        res.writeHead(answer.statusCode, answer.headers);
        answer.pipe(res);
      });
      onward.on("error", (error) => (res.headersSent ? res.destroy() : onError(error, () => res.destroy())));
      res.on("close", () => onward.destroy());
      onward.end(Buffer.concat(body));
    });
  });
  proxy.on("upgrade", (req, socket, head) => {
    const lines = [`${req.method} ${req.url} HTTP/1.1`];
    for (let i = 0; i < req.rawHeaders.length; i += 2) lines.push(`${req.rawHeaders[i]}: ${req.rawHeaders[i + 1]}`);
    sockets.add(socket);
    socket.on("error", () => {});
    tryEach((port, { onAccepted, onError }) => {
      const onward = connectTcp(port, "127.0.0.1", () => {
        onAccepted();
        onward.write(`${lines.join("\r\n")}\r\n\r\n`);
        onward.write(head);
        socket.pipe(onward).pipe(socket);
        onward.on("close", () => socket.destroy());
      });
      sockets.add(onward);
      onward.on("error", (error) => onError(error, () => socket.destroy()));
      socket.on("close", () => onward.destroy());
    });
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    proxy.closeAllConnections();
    proxy.close();
  });
  const { port } = proxy.address();
  return { url: `http://127.0.0.1:${port}`, port, counts };
}
