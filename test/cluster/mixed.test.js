// One cluster of nodes of roomcast, on either base class, and of the original, on the same adapter package.
import { startBackends } from "./backends.js";
import { declareContract } from "./contract.js";

const backends = await startBackends();
for (const backend of backends) {
  // The first node is the one that most cases act on.
  declareContract(backend, { kinds: ["roomcast", "socket.io", "roomcast"], bases: ["ours", "own", "own"] });
  declareContract(backend, { kinds: ["socket.io", "roomcast", "roomcast"], bases: ["own", "ours", "own"] });
}
