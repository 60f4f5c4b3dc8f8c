/**
 * A program as users of `socket.io` write it, in each module system: a server, a client, an event each way and an acknowledgement.
 * The last line of output is JSON: what was loaded and what the client received.
 */
const body = `
async function main() {
  const httpServer = createServer();
  const io = new Server(httpServer, { cors: { origin: "*" } });
  io.use((socket, next) => next(socket.handshake.auth.token === "secret" ? undefined : new Error("unauthorized")));
  io.on("connection", (socket) => {
    socket.join("room");
    socket.on("question", (text, callback) => callback(text.toUpperCase(), socket.rooms.size));
    io.to("room").emit("welcome", { bytes: Buffer.from([1, 2, 3]) });
  });
  await new Promise((resolve) => httpServer.listen(0, "127.0.0.1", resolve));

  const results = [];
  for (const transports of [["polling"], ["websocket"]]) {
    const client = connect(\`http://127.0.0.1:\${httpServer.address().port}\`, { transports, auth: { token: "secret" } });
    const welcome = new Promise((resolve) => client.once("welcome", resolve));
    const answer = new Promise((resolve) => client.emit("question", "hello", (...values) => resolve(values)));
    results.push({ bytes: [...(await welcome).bytes], answer: await answer, transport: client.io.engine.transport.name });
    client.disconnect();
  }
  await io.close();
  console.log(JSON.stringify({ name: loaded.name, version: loaded.version, results }));
}
main();
`;

export const commonJsProgram = `
const { createServer } = require("node:http");
const { Server } = require("socket.io");
const { io: connect } = require("socket.io-client");
const loaded = require("socket.io/package.json");
${body}`;

export const esModuleProgram = `
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { Server } from "socket.io";
import { io as connect } from "socket.io-client";
const loaded = createRequire(import.meta.url)("socket.io/package.json");
${body}`;

/** What both print, but for the version. */
export const expectedResults = [
  { bytes: [1, 2, 3], answer: ["HELLO", 2], transport: "polling" },
  { bytes: [1, 2, 3], answer: ["HELLO", 2], transport: "websocket" },
];
