// roomcast/redis over a Redis Cluster and over Sentinel.
import { declareContractOf, isBasic, startBackends } from "./backends.js";

for (const backend of await startBackends((name) => name.startsWith("roomcast/redis") && !isBasic(name))) {
  const node = { server: "roomcast", base: "ours", adapter: backend.name };
  declareContractOf(backend, [node, node, node]);
}
