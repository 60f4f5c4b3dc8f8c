// The official adapters as npm installs them: on their own `socket.io-adapter`.
import { startBackends } from "./backends.js";
import { declareContract } from "./contract.js";

for (const backend of await startBackends()) declareContract(backend, { bases: ["own", "own", "own"] });
