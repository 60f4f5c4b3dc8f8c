/** The official clients, each under its own name, and what differs between their generations. */
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/**
 * @param alias  name in package.json: `socket.io-client-<version>`
 * @returns      `{ title, revision, io }`; titles of clients of the old protocol say `revision 3`
 */
function load(version, revision) {
  const name = `socket.io-client-${version}`;
  const module = require(name);
  const title = `socket.io-client ${version}${revision === 3 ? " (revision 3)" : ""}`;
  return { title, revision, version: require(`${name}/package.json`).version, io: module.io ?? module };
}

export const clients = {
  "2.0": load("2.0", 3),
  2.5: load("2.5", 3),
  3.1: load("3.1", 4),
  "4.0": load("4.0", 4),
  4.8: load("4.8", 4),
};

/** How a client reaches its transport; `settled` is the name of the transport that carries the messages in the end. */
export const transports = [
  { title: "polling", options: { transports: ["polling"] }, settled: "polling" },
  { title: "websocket", options: { transports: ["websocket"] }, settled: "websocket" },
  { title: "upgrade", options: { transports: ["polling", "websocket"] }, settled: "websocket" },
];
