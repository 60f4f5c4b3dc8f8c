// One cluster of nodes of roomcast and of the original, on the same adapter package.
import { postgresBackend, redisBackends } from "./backends.js";
import { declareContract } from "./contract.js";

const { backends } = await redisBackends();
for (const backend of [...backends, await postgresBackend()]) declareContract(backend, ["roomcast", "socket.io", "roomcast"]);
