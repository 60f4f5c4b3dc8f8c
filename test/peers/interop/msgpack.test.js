import { createRequire } from "node:module";
import { requireFromTarget } from "../../support/packages.js";
import { isReference } from "../../support/target.js";
import { clients } from "./clients.js";
import { hosts } from "./hosts.js";
import { runSuite } from "./suite.js";

const theirs = createRequire(import.meta.url)("socket.io-msgpack-parser");
const serverParsers = { "socket.io-msgpack-parser": theirs };
if (!isReference) serverParsers["roomcast/msgpack"] = requireFromTarget("roomcast/msgpack");

for (const [name, parser] of Object.entries(serverParsers)) {
  for (const client of [clients["3.1"], clients["4.0"], clients["4.8"]]) {
    runSuite(client, {
      title: `${client.title} with socket.io-msgpack-parser, server with ${name}`,
      serverOptions: { parser },
      clientOptions: { parser: theirs },
      onHosts: client === clients["4.8"] ? hosts : hosts.slice(0, 1),
    });
  }
}
