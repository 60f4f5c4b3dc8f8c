/*
 * The entry `roomcast/nats`: the adapter over NATS.
 */
export { createAdapter, type NatsAdapterOptions } from "../cluster/nats/create-adapter";
export type { JetStreamOptions } from "../cluster/nats/log";
export type { LinkedAdapter } from "../cluster/linked-adapter";
