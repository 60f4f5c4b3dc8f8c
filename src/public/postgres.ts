/*
 * The entry `roomcast/postgres`: the adapter for servers that share a PostgreSQL database.
 */
export { createAdapter, type PostgresAdapterOptions } from "../cluster/postgres/create-adapter";
export type { PostgresClient, PostgresPool, Statement } from "../cluster/postgres/connection";
