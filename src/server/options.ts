import { UsageError } from "../errors";
import { resolveLimits } from "../engine/limits";
import { resolveOptions, type AttachOptions, type ServerOptions as EngineOptions } from "../engine/options";
import type { AdapterConstructor } from "./adapter-factory";
import { warnRemovedOptions } from "./removed-api";

/** Options of a server: its own, and those of the engine beneath. */
export interface ServerOptions extends EngineOptions, AttachOptions {
  /** URL prefix of everything the server answers. Default `/socket.io`; one trailing slash is removed. */
  path: string;
  /** Whether the client bundles are served under `path`. Default true. */
  serveClient: boolean;
  /** What spreads broadcasts: a class, or a function that gives an adapter. Default: the memory of this process. */
  adapter: AdapterConstructor;
  /** `{ Encoder, Decoder }` in place of the built-in parser; clients need the same. */
  parser: any;
  /** Milliseconds after which a client that joined no namespace is closed. Default 45000; 0 counts as the default. */
  connectTimeout: number;
  /** Lets clients that were cut off take up their session: same id, rooms and data, and what they missed. Default off. */
  connectionStateRecovery: {
    /** Milliseconds a client may stay away. Default 120000. */
    maxDisconnectionDuration?: number;
    /** Whether namespace middlewares are skipped for a client that comes back. Default true. */
    skipMiddlewares?: boolean;
    /** Bytes of packets and sessions kept for each namespace, with the in-memory adapter; over it the oldest go. Default 64 MiB. */
    maxBytes?: number;
  };
  /** Whether namespaces opened on demand are closed when the last client leaves. Default false. */
  cleanupEmptyChildNamespaces: boolean;
  /** Whether what listeners throw, or reject with, becomes the event `listener_error` of the server. Default false. */
  captureRejections: boolean;
}

/** The option `connectionStateRecovery`, completed. */
export interface Recovery {
  maxDisconnectionDuration: number;
  skipMiddlewares: boolean;
}

const RECOVERY_DEFAULTS: Recovery = { maxDisconnectionDuration: 2 * 60 * 1000, skipMiddlewares: true };

/** Default of `connectTimeout`, in milliseconds. */
export const CONNECT_TIMEOUT_MS = 45_000;

/**
 * Checks the options that belong to this layer and completes them in place, since tools read them from the server.
 * @returns the completed `connectionStateRecovery`, null when it is off
 * @throws  UsageError RC_ERR_OPTION on a value that cannot work
 */
export function completeOptions(options: Partial<ServerOptions>): Recovery | null {
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
  resolveOptions(options); // those of the engine: a mistake is met here, not at the first attach
  resolveLimits(options.limits);
  options.cleanupEmptyChildNamespaces = Boolean(options.cleanupEmptyChildNamespaces);

  const given = options.connectionStateRecovery as Partial<Recovery> | boolean | undefined;
  if (!given) return null;
  const recovery: Recovery = Object.assign({}, RECOVERY_DEFAULTS, given);
  const duration = recovery.maxDisconnectionDuration;
  expect("connectionStateRecovery.maxDisconnectionDuration", Number(duration) >= 0, "a number of milliseconds", duration);
  options.connectionStateRecovery = recovery;
  return recovery;
}

/** Falsy values count as left out, as they always have. */
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
  return typeof value === "object" || typeof value === "function" || typeof value === "symbol" ? typeof value : JSON.stringify(value);
}
