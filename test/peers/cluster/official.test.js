// The official adapters as npm installs them, on their own `socket.io-adapter`.
import { declareContractOf, startBackends } from "./backends.js";

for (const backend of await startBackends((name) => name.startsWith("@socket.io/"))) {
  const node = { server: "roomcast", base: "own", adapter: backend.name };
  declareContractOf(backend, [node, node, node]);
}
