// The official adapters with `socket.io-adapter` replaced by `roomcast/adapter`.
import { startBackends } from "./backends.js";
import { declareContract } from "./contract.js";

for (const backend of await startBackends()) declareContract(backend, { bases: ["ours", "ours", "ours"] });
