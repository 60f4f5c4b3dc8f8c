// The options of a Socket.IO server: types, defaults, checks.
import { UsageError } from "../errors";
import { resolveLimits } from "../engine/limits";
import { resolveOptions, type AttachOptions, type EngineOptions } from "../engine/options";
import { adviceOn, adviceOnNames } from "../engine/option-advice";
import type { Warnings } from "../support/warnings";
import type { AdapterConstructor } from "./namespace";
import type { AckOptions } from "./socket/acks";
import { expectSlowReaders, type SlowReaders } from "./client/slow-readers";
import type { SignalOptions } from "./signals";
import { warnRemovedOptions } from "./compat/removed-api";

/** Options of a server, including those of its engine. */
export interface ServerOptions extends EngineOptions, AttachOptions {
  /**
   * URL prefix of all requests that the server answers. Default `/socket.io`. One trailing slash is removed.
   * @example
   * path: "/ws"
   */
  path: string;
  /**
   * Whether the client bundles are served under `path`. Default `true`.
   * @example
   * serveClient: false
   */
  serveClient: boolean;
  /**
   * The adapter, which sends broadcasts: a class, or a function that gives an instance. Default: in-memory, for a single process.
   * @example
   * adapter: createAdapter(redisClient)
   */
  adapter: AdapterConstructor;
  /** A custom parser `{ Encoder, Decoder }`. Clients have to use the same. Default: the built-in parser. */
  parser: any;
  /**
   * Time in which a client has to join a namespace, in milliseconds; then its connection is closed. Default 45000; 0 means the default.
   * @example
   * connectTimeout: 10_000
   */
  connectTimeout: number;
  /**
   * Time that `io.close()` takes at most, in milliseconds. Then it no longer waits for adapters and cuts all open connections, including
   * those whose requests other listeners of the HTTP server answer. Default 5000; 0 cuts at once, `Infinity` never cuts.
   */
  closeTimeout: number;
  /**
   * Enables connection state recovery: a client that reconnects keeps its id, rooms and data, and gets the packets that it missed.
   * Default off; `true` enables it with its defaults.
   * @example
   * connectionStateRecovery: { maxDisconnectionDuration: 60_000 }
   */
  connectionStateRecovery: ConnectionStateRecoveryOptions | boolean;
  /**
   * Whether namespaces that were created by a parent namespace are closed when their last client leaves. Default `false`.
   * @example
   * cleanupEmptyChildNamespaces: true
   */
  cleanupEmptyChildNamespaces: boolean;
  /**
   * What happens to a client for which more than `limits.slowReaderBytes` wait: `"close"` (nothing is dropped; the other limits may close its
   * connection), `"drop-oldest"` (the oldest waiting events are dropped), or a function that decides for a socket. Default `"close"`.
   * A namespace may have its own, `namespace.slowReaders`.
   * @example
   * slowReaders: "drop-oldest"
   * slowReaders: (socket, info) => (socket.data.wantsNewest ? "drop-oldest" : "close")
   */
  slowReaders: SlowReaders;
  /**
   * Whether errors that listeners throw or reject with become the event `listener_error` of the server. Default `false`.
   * @example
   * captureRejections: true
   */
  captureRejections: boolean;
  /**
   * Whether SIGTERM and SIGINT drain the server, see `io.close`, and then end the process with exit code 0. A second signal ends it at once.
   * Default `false`.
   * @example
   * handleSignals: { drain: { timeoutMs: 25_000, perSecond: 200 } }
   */
  handleSignals: boolean | SignalOptions;
  /**
   * What happens to pending acknowledgements of a socket that disconnects. Default `{ onDisconnect: "ignore" }`, as with the original.
   * @example
   * acks: { onDisconnect: "reject" }
   */
  acks: AckOptions;
}

/** Members of the option `connectionStateRecovery`. */
export interface ConnectionStateRecoveryOptions {
  /** Time after its disconnection within which a client can recover its session, in milliseconds. Default 120000. */
  maxDisconnectionDuration?: number;
  /** Whether namespace middlewares are skipped for a client that recovers its session. Default `true`. */
  skipMiddlewares?: boolean;
  /** Bytes of packets and sessions that the in-memory adapter stores for each namespace. Above it the oldest are dropped. Default 64 MiB. */
  maxBytes?: number;
}

/** The option `connectionStateRecovery` with its defaults filled in. */
export interface Recovery {
  maxDisconnectionDuration: number;
  skipMiddlewares: boolean;
}

/** The options that are not options of the engine. Every new option needs a line here, or it counts as misspelled (ROB-382). */
const NAMES: Record<Exclude<keyof ServerOptions, keyof EngineOptions | keyof AttachOptions>, true> = {
  serveClient: true,
  adapter: true,
  parser: true,
  connectTimeout: true,
  closeTimeout: true,
  connectionStateRecovery: true,
  cleanupEmptyChildNamespaces: true,
  slowReaders: true,
  captureRejections: true,
  handleSignals: true,
  acks: true,
};
const RECOVERY_NAMES = ["maxDisconnectionDuration", "skipMiddlewares", "maxBytes"];

const RECOVERY_DEFAULTS: Recovery = { maxDisconnectionDuration: 2 * 60 * 1000, skipMiddlewares: true };

/** Default of `connectTimeout`, in milliseconds. */
export const CONNECT_TIMEOUT_MS = 45_000;

/**
 * Checks the options and fills in defaults in place, since programs read them from the server (SRV-7).
 * @returns the completed `connectionStateRecovery`; null if it is off
 * @throws  UsageError RC_ERR_OPTION on a value that cannot work
 */
export function completeOptions(options: Partial<ServerOptions>, warnings: Warnings): Recovery | null {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new UsageError("RC_ERR_OPTION", `options: expected an object, met ${Array.isArray(options) ? "an array" : describe(options)}`);
  }
  warnRemovedOptions(options);
  expect("adapter", isAbsent(options.adapter) || typeof options.adapter === "function", "a class or a function", options.adapter);
  expect("parser", isAbsent(options.parser) || isParser(options.parser), "an object with constructors Encoder and Decoder", options.parser);
  expect("path", isAbsent(options.path) || typeof options.path === "string", "a string", options.path);
  expect(
    "connectTimeout",
    isAbsent(options.connectTimeout) || Number(options.connectTimeout) > 0,
    "a positive number",
    options.connectTimeout,
  );
  const { closeTimeout } = options;
  expect(
    "closeTimeout",
    closeTimeout === undefined || (typeof closeTimeout === "number" && closeTimeout >= 0),
    "a number of milliseconds",
    closeTimeout,
  );
  const { acks } = options;
  expect("acks", isAbsent(acks) || typeof acks === "object", "an object", acks);
  const onDisconnect = acks?.onDisconnect;
  expect(
    "acks.onDisconnect",
    onDisconnect === undefined || onDisconnect === "reject" || onDisconnect === "ignore",
    '"reject" or "ignore"',
    onDisconnect,
  );
  if (options.slowReaders !== undefined) expectSlowReaders("option slowReaders", options.slowReaders, "RC_ERR_OPTION");
  resolveOptions(options); // the engine's options are checked here as well, not only when it is attached
  const { overRate } = resolveLimits(options.limits);
  expect("limits.overRate", overRate !== "drop" || isAbsent(options.parser), '"defer" or "close" with the option parser', overRate);
  const recoveryAdvice =
    typeof options.connectionStateRecovery === "object" && options.connectionStateRecovery !== null
      ? adviceOnNames("option connectionStateRecovery.", options.connectionStateRecovery, RECOVERY_NAMES)
      : [];
  for (const text of [...adviceOn(options), ...adviceOnNames("option ", options, Object.keys(NAMES)), ...recoveryAdvice]) {
    warnings.advise("ROOMCAST_OPTION", text);
  }
  options.cleanupEmptyChildNamespaces = Boolean(options.cleanupEmptyChildNamespaces);

  const given = options.connectionStateRecovery as Partial<Recovery> | boolean | undefined;
  if (!given) return null;
  const recovery: Recovery = Object.assign({}, RECOVERY_DEFAULTS, given);
  const duration = recovery.maxDisconnectionDuration;
  expect("connectionStateRecovery.maxDisconnectionDuration", Number(duration) >= 0, "a number of milliseconds", duration);
  options.connectionStateRecovery = recovery;
  return recovery;
}

/** Falsy values count as omitted, as with the original. */
function isAbsent(value: unknown): boolean {
  return !value;
}

function isParser(value: unknown): boolean {
  const { Encoder, Decoder } = value as { Encoder?: unknown; Decoder?: unknown };
  return typeof Encoder === "function" && typeof Decoder === "function";
}

function expect(option: string, holds: boolean, expected: string, met: unknown): void {
  if (!holds) throw new UsageError("RC_ERR_OPTION", `option ${option}: expected ${expected}, met ${describe(met)}`);
}

function describe(value: unknown): string {
  if (value === null) return "null";
  return typeof value === "object" || typeof value === "function" || typeof value === "symbol"
    ? typeof value
    : typeof value === "number"
      ? String(value)
      : JSON.stringify(value);
}
