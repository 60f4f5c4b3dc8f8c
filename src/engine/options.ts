// The options of the engine: types, defaults, validation.
import type { CorsOptions, CorsOptionsDelegate } from "cors";
import type { SerializeOptions } from "cookie";
import type { IncomingMessage } from "node:http";
import { deflateRawSync, inflateRawSync, type ZlibOptions } from "node:zlib";
import type { PerMessageDeflateOptions } from "ws";
import { UsageError } from "../errors";
import { proxiesOf } from "./client-address";
import type { LimitOptions } from "./limits";
import { MAX_TIMER_MS, TRANSPORT_NAMES } from "./option-advice";
import { expectOrigins, type OriginsOption } from "./origins";
import type { TransportName } from "./transport";

/** Options of `attach`. */
export interface AttachOptions {
  /** URL prefix of the engine's requests. Default `/engine.io` (`/socket.io` through the Socket.IO server). */
  path?: string | undefined;
  /** Whether a slash is appended to `path`. Default true. */
  addTrailingSlash?: boolean | undefined;
  /** Whether upgrade requests for other paths are closed when no other listener answers them. Default true. */
  destroyUpgrade?: boolean | undefined;
  /** Milliseconds that other listeners have to answer such an upgrade request. Default 1000. */
  destroyUpgradeTimeout?: number | undefined;
}

/** Attributes of the session cookie; see the package `cookie`. */
export interface CookieOptions extends Omit<SerializeOptions, "path"> {
  /** Cookie name. Default `io`. */
  name?: string;
  /** Default `/`; false for none. */
  path?: string | false;
}

/** Options of the engine. All are optional. */
export interface EngineOptions {
  /**
   * Milliseconds without a pong after which the session ends with `ping timeout`. Default 20000.
   * @example
   * pingTimeout: 30_000
   */
  pingTimeout?: number;
  /**
   * Milliseconds from a pong to the next ping. Default 25000.
   * @example
   * pingInterval: 10_000
   */
  pingInterval?: number;
  /** Milliseconds an upgrade may take before it is cancelled. Default 10000. */
  upgradeTimeout?: number;
  /**
   * Bytes of a POST body, or of one message, that a client may send. Default 1e6; over it: 413, or close code 1009, and the session
   * ends with `transport error`.
   * @example
   * maxHttpBufferSize: 1e8
   */
  maxHttpBufferSize?: number;
  /** Milliseconds a POST body may take to arrive. Default 30000; then: 408, and the session ends with `transport error`. */
  httpRequestBodyTimeout?: number;
  /** Chunks in which a POST body may arrive. Default 10000; over it: 413, and the session ends with `transport error`. */
  maxBufferedChunks?: number;
  /**
   * Decides whether a session may be opened: calls back with `(error, isAllowed)`. Called once per session, for the handshake only.
   * @example
   * allowRequest: (req, fn) => fn(null, isKnown(req.headers.cookie))
   */
  allowRequest?: (req: IncomingMessage, fn: (err: string | null | undefined, success: boolean) => void) => void;
  /**
   * Enabled transports. Default `["polling", "websocket"]`.
   * @example
   * transports: ["websocket"]
   */
  transports?: TransportName[];
  /** Whether upgrades to another transport are offered. Default true. */
  allowUpgrades?: boolean;
  /**
   * Compression of WebSocket messages; members as in `ws`. Default off. `true` means `{ threshold: 1024, serverNoContextTakeover: true,
   * clientNoContextTakeover: true }`: messages of 1024 bytes or more, each by itself, a broadcast once for all clients. With a context
   * (`false`) `ws` compresses, and each connection takes about 300 KiB.
   * @example
   * perMessageDeflate: { threshold: 2048 }
   */
  perMessageDeflate?: boolean | PerMessageDeflateOptions;
  /** Compression of polling responses. Default `{ threshold: 1024 }` (bytes); other keys are options of zlib. */
  httpCompression?: boolean | ({ threshold?: number } & ZlibOptions);
  /** Constructor of the WebSocket server. Default the `Server` of the package `ws`. */
  wsEngine?: new (...args: any[]) => any;
  /** A message that is sent behind the open packet of each session. */
  initialPacket?: any;
  /**
   * Session cookie, set by the polling handshake. Default none; `true` for `io`, `Path=/; HttpOnly; SameSite=Lax`.
   * @example
   * cookie: { name: "node", sameSite: "strict", secure: true }
   */
  cookie?: CookieOptions | boolean;
  /**
   * CORS headers, see the package `cors`; an origin or a list of origins is short for `{ origin }`. Default none.
   * @example
   * cors: "https://example.com"
   * cors: { origin: ["https://example.com", /\.example\.com$/], credentials: true }
   */
  cors?: CorsOptions | CorsOptionsDelegate | string | (string | RegExp)[];
  /**
   * Whether preflight requests for it are answered with `Access-Control-Allow-Private-Network: true`, so that pages of the public internet
   * may reach a server in a private network. Default false; needs `cors`, which still decides about the origin.
   */
  allowPrivateNetwork?: boolean;
  /**
   * Origins of pages that may open sessions, on every transport: `"same"` (the host of the request), origins, RegExps, a list of these, or a
   * function `(origin, callback)`. Others get 403, code 4. Clients that are not pages send no origin and are allowed. Default: all.
   */
  origins?: OriginsOption;
  /**
   * Whether polling by scripts (JSONP) is served. Pages of any origin can read it unless `origins` is set. Default: for revision 3 only;
   * `true`: for both revisions, `false`: for none.
   */
  jsonp?: boolean;
  /**
   * Whether clients of revision 3 (Socket.IO v2) are served. Default false.
   * @example
   * allowEIO3: true
   */
  allowEIO3?: boolean;
  /**
   * Limits on the resources of a connection.
   * @example
   * limits: { bufferedBytes: 16 * 1024 * 1024 }
   */
  limits?: LimitOptions;
  /**
   * Addresses and subnets of proxies whose `X-Forwarded-For` is believed, for `limits.connectionsPerAddress`; read from right to left. Default none.
   * `socket.handshake.address` stays the address of the connection.
   * @example
   * trustedProxies: ["10.0.0.0/8", "::1"]
   */
  trustedProxies?: readonly string[];
  /** Keeps the handshake request of every session. Default false: a request that user code can't have seen is rebuilt at the first access. */
  keepRequest?: boolean;
  /**
   * Packets in one polling response. Default 16, the limit of Python's client; the rest is sent with the next poll at once.
   * `Infinity`: all waiting packets in one response.
   */
  maxPacketsPerPayload?: number;
  /** When a packet is written: in one write with all others of its tick (`tick`, the default), or at once (`immediate`). */
  flush?: "tick" | "immediate";
  /**
   * Which code reads WebSocket frames: roomcast (`own`, the default), or the package `ws`. `ws` always does with `wsEngine`,
   * with a context of `perMessageDeflate`, and once a program has accessed the WebSocket object (`transport.socket`).
   */
  receive?: "own" | "ws";
  /**
   * How WebSocket connections over plain TCP are read and written: below the streams of `net.Socket` if this version of Node.js allows it
   * (`direct`, the default), or through the streams (`stream`). TLS and HTTP/2 connections always use their streams.
   */
  sockets?: "direct" | "stream";
}

/** Options with the defaults filled in. Unknown keys are kept (ENG-12). */
export interface ResolvedEngineOptions extends EngineOptions {
  pingTimeout: number;
  pingInterval: number;
  upgradeTimeout: number;
  maxHttpBufferSize: number;
  httpRequestBodyTimeout: number;
  maxBufferedChunks: number;
  maxPacketsPerPayload: number;
  transports: TransportName[];
  allowUpgrades: boolean;
  allowEIO3: boolean;
}

const DEFAULTS = {
  pingTimeout: 20000,
  pingInterval: 25000,
  upgradeTimeout: 10000,
  maxHttpBufferSize: 1e6,
  httpRequestBodyTimeout: 30_000,
  maxBufferedChunks: 10_000,
  maxPacketsPerPayload: 16,
  transports: ["polling", "websocket"],
  allowUpgrades: true,
  httpCompression: { threshold: 1024 },
  cors: false,
  allowEIO3: false,
};
const COOKIE_DEFAULTS = { name: "io", path: "/", httpOnly: true, sameSite: "lax" };

/**
 * Validates the options and fills in the defaults; explicit `undefined` counts as absent (ENG-16).
 * @throws UsageError RC_ERR_OPTION on an invalid value
 */
export function resolveOptions(given: EngineOptions): ResolvedEngineOptions {
  const options: Record<string, any> = { ...DEFAULTS };
  for (const [name, value] of Object.entries(given)) if (value !== undefined) options[name] = value;
  for (const name of ["pingTimeout", "pingInterval", "upgradeTimeout", "maxHttpBufferSize"]) expectNumber(name, options[name]);
  expectTimes(options as ResolvedEngineOptions);
  for (const name of ["httpRequestBodyTimeout", "maxBufferedChunks", "maxPacketsPerPayload"]) expectPositive(name, options[name]);
  const transports: unknown = options["transports"];
  const isList = Array.isArray(transports) && transports.every((name) => typeof name === "string");
  if (!isList || !transports.some((name) => TRANSPORT_NAMES.includes(name))) {
    const names = TRANSPORT_NAMES.join(", "); // unknown names beside these are ignored, with a warning (ROB-381)
    throw new UsageError("RC_ERR_OPTION", `option transports: expected an array of ${names}, met ${JSON.stringify(transports)}`);
  }
  for (const name of ["cookie", "perMessageDeflate", "httpCompression"]) expectSwitch(name, options[name], "a boolean or an object");
  options["cors"] = corsOptionsOf(options["cors"]);
  if (typeof options["cors"] !== "function") expectSwitch("cors", options["cors"], "an object or a function");
  if (options["allowPrivateNetwork"] !== undefined) expectPrivateNetwork(options["allowPrivateNetwork"], options["cors"]);
  expectOrigins(options["origins"]);
  proxiesOf(options["trustedProxies"] as string[] | undefined);
  if (options["jsonp"] !== undefined && typeof options["jsonp"] !== "boolean") {
    throw new UsageError("RC_ERR_OPTION", `option jsonp: expected a boolean, met ${typeof options["jsonp"]}`);
  }
  for (const name of ["allowRequest", "wsEngine"]) {
    const value: unknown = options[name];
    if (value !== undefined && value !== null && typeof value !== "function") {
      throw new UsageError("RC_ERR_OPTION", `option ${name}: expected a function, met ${typeof value}`);
    }
  }
  expectOneOf("flush", options["flush"], "tick", "immediate");
  expectOneOf("receive", options["receive"], "own", "ws");
  expectOneOf("sockets", options["sockets"], "direct", "stream");
  if (options["cookie"]) options["cookie"] = { ...COOKIE_DEFAULTS, ...(options["cookie"] === true ? {} : options["cookie"]) };
  if (options["perMessageDeflate"]) options["perMessageDeflate"] = deflateOptionsOf(options["perMessageDeflate"]);
  if (options["httpCompression"]) {
    options["httpCompression"] = { threshold: 1024, ...(options["httpCompression"] === true ? {} : options["httpCompression"]) };
  }
  return options as ResolvedEngineOptions;
}

const DEFLATE_DEFAULTS = { threshold: 1024, serverNoContextTakeover: true, clientNoContextTakeover: true };

/** Fills in the defaults of `perMessageDeflate` and validates its members (ROB-611). */
function deflateOptionsOf(given: true | PerMessageDeflateOptions): object {
  const options: Record<string, unknown> = { ...DEFLATE_DEFAULTS };
  for (const [name, value] of Object.entries(given)) if (value !== undefined) options[name] = value;
  expectNumber("perMessageDeflate.threshold", options["threshold"]);
  for (const name of ["serverNoContextTakeover", "clientNoContextTakeover"]) {
    if (typeof options[name] !== "boolean") fail(name, "a boolean", show(options[name]));
  }
  for (const name of ["serverMaxWindowBits", "clientMaxWindowBits"]) {
    const bits = options[name];
    const isSize = Number.isInteger(bits) && (bits as number) >= 8 && (bits as number) <= 15;
    if (bits !== undefined && typeof bits !== "boolean" && !isSize) fail(name, "8 to 15, or a boolean", show(bits));
  }
  if (options["concurrencyLimit"] !== undefined) expectPositive("perMessageDeflate.concurrencyLimit", options["concurrencyLimit"]);
  for (const [name, probe] of ZLIB_PROBES) {
    const value = options[name];
    if (value === undefined) continue;
    if (typeof value !== "object" || value === null) fail(name, "an object", show(value));
    try {
      probe(value);
    } catch (error) {
      fail(name, "options of zlib", (error as Error).message);
    }
  }
  return options;
}

const NOTHING = Buffer.from([3, 0]); // deflated
const ZLIB_PROBES: readonly [string, (options: ZlibOptions) => void][] = [
  ["zlibDeflateOptions", (options) => void deflateRawSync(NOTHING, options)],
  ["zlibInflateOptions", (options) => void inflateRawSync(NOTHING, options)],
];

function fail(name: string, expected: string, met: string): never {
  throw new UsageError("RC_ERR_OPTION", `option perMessageDeflate.${name}: expected ${expected}, met ${met}`);
}

function expectOneOf(name: string, value: unknown, first: string, second: string): void {
  if (value === undefined || value === first || value === second) return;
  throw new UsageError("RC_ERR_OPTION", `option ${name}: expected "${first}" or "${second}", met ${JSON.stringify(value)}`);
}

function expectSwitch(name: string, value: unknown, expected: string): void {
  if (!value || value === true || (typeof value === "object" && !Array.isArray(value))) return;
  throw new UsageError("RC_ERR_OPTION", `option ${name}: expected ${expected}, met ${Array.isArray(value) ? "an array" : typeof value}`);
}

/**
 * Converts the option `cors` for the package `cors`. An origin or a list of origins is short for `{ origin }`; the package would read it as
 * options without `origin`, which allow every origin.
 */
export function corsOptionsOf(given: unknown): unknown {
  return typeof given === "string" || Array.isArray(given) ? { origin: given } : given;
}

/** ROB-380. Official clients use the sum of both times for one timer, which fires at once if it is too long; without `pingTimeout` every session ends. */
function expectTimes({ pingTimeout, pingInterval }: ResolvedEngineOptions): void {
  const hasTime = Number(pingTimeout) > 0 && Number(pingTimeout) <= MAX_TIMER_MS;
  if (!hasTime) throw new UsageError("RC_ERR_OPTION", `option pingTimeout: expected 1 to ${MAX_TIMER_MS}, met ${pingTimeout}`);
  const interval = Number(pingInterval);
  if (interval > MAX_TIMER_MS && interval !== Infinity) {
    throw new UsageError("RC_ERR_OPTION", `option pingInterval: expected at most ${MAX_TIMER_MS}, met ${pingInterval}`);
  }
}

/** A value for an error message; JSON has no NaN and Infinity. */
function show(value: unknown): string {
  return typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value));
}

function expectNumber(name: string, value: unknown): void {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  if (typeof number !== "number" || Number.isNaN(number) || number < 0) {
    throw new UsageError("RC_ERR_OPTION", `option ${name}: expected a non-negative number, met ${show(value)}`);
  }
}

function expectPrivateNetwork(value: unknown, cors: unknown): void {
  if (typeof value === "boolean" && (cors || !value)) return;
  const met = typeof value === "boolean" ? `${value} without it` : typeof value;
  throw new UsageError("RC_ERR_OPTION", `option allowPrivateNetwork: expected a boolean, beside the option cors, met ${met}`);
}

function expectPositive(name: string, value: unknown): void {
  if (typeof value === "number" && value > 0) return;
  throw new UsageError(
    "RC_ERR_OPTION",
    `option ${name}: expected a positive number, met ${typeof value === "number" ? value : typeof value}`,
  );
}

/** The prefix of the engine's request targets: `path` with exactly one trailing slash, or without (ENG-60). */
export function resolvePath(options: AttachOptions): string {
  const path = (options.path || "/engine.io").replace(/\/$/, "");
  return options.addTrailingSlash === false ? path : path + "/";
}

/**
 * Whether a raw request target starts with `path`, a result of `resolvePath` (ENG-61).
 * Behind a path without trailing slash there must be a slash, a question mark or nothing.
 */
export function matchesPath(path: string, url: string): boolean {
  if (!url.startsWith(path)) return false;
  if (path.endsWith("/") || url.length === path.length) return true;
  const next = url.charCodeAt(path.length);
  return next === 47 || next === 63;
}
