// The official adapters with `socket.io-adapter` replaced by `roomcast/adapter`.
import { declareContractOf, startBackends } from "./backends.js";

for (const backend of (await startBackends()).filter(({ name }) => name.startsWith("@socket.io/"))) {
  const node = { server: "roomcast", base: "ours", adapter: backend.name };
  declareContractOf(backend, [node, node, node]);
}
