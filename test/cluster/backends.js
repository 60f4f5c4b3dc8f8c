/** The official adapters over services that were started for this file. */
import { createRequire } from "node:module";
import { closeLater, startPostgres, startRedis } from "./services.js";

const require = createRequire(import.meta.url);
const { adapters, baseClass, postgresPool } = require("./adapters.cjs");

const starters = { redis: startRedis, postgres: startPostgresWithTable };

async function startPostgresWithTable() {
  const connection = await startPostgres();
  const pool = postgresPool(connection, closeLater);
  await pool.query("CREATE TABLE socket_io_attachments (id bigserial UNIQUE, created_at timestamptz DEFAULT NOW(), payload bytea)");
  return connection;
}

/**
 * Starts what the adapters need.
 * @param isWanted  which of them, by name
 * @returns         a list of `{ name, connection, makeAdapter(base, closeLater), baseClass }`
 */
export async function startBackends(isWanted = () => true) {
  const wanted = Object.entries(adapters).filter(([name]) => isWanted(name));
  const connections = new Map();
  for (const service of new Set(wanted.map(([, adapter]) => adapter.service))) connections.set(service, await starters[service]());
  return wanted.map(([name, { service, make }]) => {
    const connection = connections.get(service);
    return { name, connection, makeAdapter: (base, closeLater) => make(connection, base, closeLater), baseClass };
  });
}
