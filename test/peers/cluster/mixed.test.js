// One cluster of nodes of roomcast and of the original. The first node is the one that most cases act on.
import { declareContractOf, startBackends } from "./backends.js";

for (const backend of await startBackends()) {
  const { name, official } = backend;
  if (name.startsWith("roomcast/") && official === undefined) continue;
  const original = { server: "socket.io", base: "own", adapter: official ?? name };
  const first = { server: "roomcast", base: "ours", adapter: name };
  const second = { ...first, base: official === undefined ? "own" : "ours" };
  declareContractOf(backend, [first, original, second]);
  declareContractOf(backend, [original, first, second]);
}
