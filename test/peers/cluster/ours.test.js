// The adapters of roomcast. Those of other ways to run Redis are in redis-cluster.test.js.
import { declareContractOf, isBasic, startBackends } from "./backends.js";

for (const backend of await startBackends((name) => name.startsWith("roomcast/") && isBasic(name))) {
  const node = { server: "roomcast", base: "ours", adapter: backend.name };
  declareContractOf(backend, [node, node, node]);
}
