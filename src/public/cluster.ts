/*
 * The entry `roomcast/cluster`: several workers on one machine.
 */
export { createAdapter, setupPrimary, type WorkersAdapterOptions } from "../cluster/workers/create-adapter";
export { start, type StartOptions } from "../cluster/workers/start";
export type { Supervisor } from "../cluster/workers/supervisor";
