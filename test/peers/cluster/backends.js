/** The adapters of adapters.cjs over services that were started for this file, and the contract over them. */
import { createRequire } from "node:module";
import { test } from "node:test";
import { io as client } from "socket.io-client";
import { declareContract } from "./contract.js";
import { startProcesses } from "./processes.js";
import { closeLater, startNats, startPostgres, startRedis, startRedisCluster, startRedisSentinel } from "./services.js";

const require = createRequire(import.meta.url);
const { adapters, baseClass, postgresPool, setUpPrimary } = require("./adapters.cjs");

export const starters = {
  redis: startRedis,
  "redis-cluster": startRedisCluster,
  "redis-sentinel": startRedisSentinel,
  postgres: startPostgresWithTable,
  nats: startNats,
  "node:cluster": async () => {
    setUpPrimary();
    return { connection: null };
  },
};

async function startPostgresWithTable() {
  const service = await startPostgres();
  const pool = postgresPool(service.connection, closeLater);
  await pool.query("CREATE TABLE socket_io_attachments (id bigserial UNIQUE, created_at timestamptz DEFAULT NOW(), payload bytea)");
  return service;
}

/** Without the other ways to run Redis. */
export const isBasic = (name) => ["redis", "postgres", "nats", "node:cluster"].includes(adapters[name].service);

/**
 * Starts what the adapters need.
 * @param isWanted  which of them, by name
 * @returns         a list of `{ name, service, connection, makeAdapter(base, closeLater), baseClass, isReusable, lacks, official }`
 */
export async function startBackends(isWanted = isBasic) {
  const wanted = Object.entries(adapters).filter(([name]) => isWanted(name));
  const services = new Map();
  for (const service of new Set(wanted.map(([, adapter]) => adapter.service))) services.set(service, await starters[service]());
  return wanted.map(([name, { service: kind, make, lacks = {}, official }]) => {
    const service = services.get(kind);
    const { connection } = service;
    const isReusable = kind !== "node:cluster"; // a worker's adapters share the process, closed ones included
    return {
      name,
      service,
      connection,
      makeAdapter: (base, closeLater) => make(connection, base, closeLater),
      baseClass,
      isReusable,
      lacks,
      official,
    };
  });
}

/** Declares the contract for three nodes in processes of their own, each `{ server, base, adapter }`. */
export function declareContractOf(backend, nodes, lacks = Object.assign({}, ...nodes.map(({ adapter }) => adapters[adapter].lacks))) {
  const of = nodes
    .map(({ server, base, adapter }) => `${server} (${adapter === backend.name ? "" : `${adapter}, `}${base} base)`)
    .join(", ");
  declareContract({
    name: `${backend.name}, ${of}`,
    test,
    client,
    startNodes: (t, options) => startProcesses(t, backend, nodes, { options }),
    lacks,
  });
}
