// The adapter over NATS: its connection and options, checked when it is made.
import { UsageError } from "../../errors";
import { textOf } from "../../support/log-text";
import type { LinkOptions } from "../link-hub";
import { type LinkedAdapter, linkedAdapter } from "../linked-adapter";
import { checkLinkOptions, misuse } from "../option-checks";
import type { NatsConnection } from "./connection";
import { NatsLink } from "./link";
import type { JetStreamOptions } from "./log";

/** Options of `createAdapter`. */
export interface NatsAdapterOptions extends LinkOptions {
  /**
   * What all subjects begin with: letters, digits, `_` and `-`, at most 100 characters, in tokens that are separated by dots. The same for all
   * servers of a cluster, and another one for another cluster. Default `"roomcast"`.
   */
  key?: string;
  /**
   * Whether messages are stored in a stream of JetStream, so that clients recover their sessions on any server, with `connectionStateRecovery`; its
   * limits. The stream is made if it is not there. Without JetStream in NATS a warning says so, and sessions are not recovered. Default false.
   */
  jetstream?: boolean | JetStreamOptions;
}

const KEY = /^[\w-]+(\.[\w-]+)*$/;
const KEY_CHARACTERS_MAX = 100;
const METHODS = ["publish", "subscribe", "flush", "status", "closed", "isClosed"] as const;

/**
 * Makes the value of the option `adapter` for several servers over NATS. Only servers of this package can be in the cluster.
 * @param connection  of `@nats-io/transport-node` 3, or of `nats` 2. It stays open when the server is closed. Let it reconnect for ever:
 * `maxReconnectAttempts: -1`
 * @throws UsageError RC_ERR_ARGUMENT, RC_ERR_OPTION on a connection or an option that cannot be used. A connection that is interrupted doesn't
 * throw: the server serves its own clients, and `adapter.status` is `"degraded"`
 * @example
 * const connection = await connect({ servers: "nats://localhost:4222", maxReconnectAttempts: -1 });
 * const io = new Server({ adapter: createAdapter(connection) });
 */
export function createAdapter(connection: unknown, options: NatsAdapterOptions = {}): (nsp: any) => LinkedAdapter {
  checkLinkOptions(options);
  const { key = "roomcast", jetstream = false } = options;
  checkConnection(connection);
  checkKey(key);
  const stream = checkStream(jetstream);
  return linkedAdapter((server) => new NatsLink(connection, key, stream, server), options);
}

function checkStream(jetstream: unknown): JetStreamOptions | null {
  if (jetstream === false) return null;
  if (jetstream === true) return {};
  if (typeof jetstream !== "object" || jetstream === null) throw misuse("jetstream", "a boolean, or the limits of the stream", jetstream);
  const { maxBytes, replicas, storage, ...others } = jetstream as JetStreamOptions;
  for (const name of Object.keys(others)) throw misuse("jetstream", "maxBytes, replicas, storage", name);
  if (maxBytes !== undefined && !(Number.isSafeInteger(maxBytes) && maxBytes > 0))
    throw misuse("jetstream.maxBytes", "a number of bytes", maxBytes);
  if (replicas !== undefined && !(Number.isInteger(replicas) && replicas >= 1 && replicas <= 5))
    throw misuse("jetstream.replicas", "1 to 5", replicas);
  if (storage !== undefined && storage !== "file" && storage !== "memory") throw misuse("jetstream.storage", '"file" or "memory"', storage);
  return jetstream;
}

/** @throws UsageError RC_ERR_ARGUMENT */
export function checkConnection(value: unknown): asserts value is NatsConnection {
  if (isConnection(value)) return;
  throw new UsageError(
    "RC_ERR_ARGUMENT",
    `connection: expected a connection of @nats-io/transport-node 3 or nats 2, met ${describe(value)}`,
  );
}

/** @throws UsageError RC_ERR_OPTION */
export function checkKey(key: unknown): void {
  if (typeof key !== "string" || key.length > KEY_CHARACTERS_MAX || !KEY.test(key))
    throw misuse("key", "letters, digits, _ and - in tokens that are separated by dots, at most 100 characters", key);
}

function isConnection(value: unknown): value is NatsConnection {
  if (typeof value !== "object" || value === null) return false;
  return METHODS.every((method) => typeof (value as Record<string, unknown>)[method] === "function");
}

function describe(value: unknown): string {
  if (value instanceof Promise) return "a promise (await it)";
  if (typeof value === "string") return "a text (pass a connection, not its address)";
  return typeof value === "object" && value !== null ? `an object of ${value.constructor?.name ?? "no class"}` : textOf(value);
}
