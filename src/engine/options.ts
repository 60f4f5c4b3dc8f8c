import type { CorsOptions, CorsOptionsDelegate } from "cors";
import type { SerializeOptions } from "cookie";
import type { IncomingMessage } from "node:http";
import type { ZlibOptions } from "node:zlib";
import type { PerMessageDeflateOptions } from "ws";
import { UsageError } from "../errors";
import type { LimitOptions } from "./limits";
import type { TransportName } from "./transport";

/** Options of one `attach`. */
export interface AttachOptions {
  /** URL prefix that belongs to the engine. Default `/engine.io` (`/socket.io` through the Socket.IO server). */
  path?: string | undefined;
  /** Whether a slash is appended to `path`. Default true. */
  addTrailingSlash?: boolean | undefined;
  /** Whether upgrade requests for other paths are ended when nobody else answers them. Default true. */
  destroyUpgrade?: boolean | undefined;
  /** Milliseconds an upgrade request for another path is left to others. Default 1000. */
  destroyUpgradeTimeout?: number | undefined;
}

/** Attributes of the cookie that names the session; see the package `cookie`. */
export interface CookieOptions extends Omit<SerializeOptions, "path"> {
  /** Cookie name. Default `io`. */
  name?: string;
  /** Default `/`; false for none. */
  path?: string | false;
}

/** Options of the engine; every one has a default. */
export interface ServerOptions {
  /** Milliseconds without a pong after which the session ends with `ping timeout`. Default 20000. */
  pingTimeout?: number;
  /** Milliseconds from a pong to the next ping. Default 25000. */
  pingInterval?: number;
  /** Milliseconds an upgrade may take before it is given up. Default 10000. */
  upgradeTimeout?: number;
  /** Bytes of a POST body, or of one message, that a client may send. Default 1e6; over it: 413, or close code 1009. */
  maxHttpBufferSize?: number;
  /** Gate for new sessions: call back with `(error, isAllowed)`. Called once per session, for the handshake only. */
  allowRequest?: (req: IncomingMessage, fn: (err: string | null | undefined, success: boolean) => void) => void;
  /** Enabled transports. Default `["polling", "websocket"]`. */
  transports?: TransportName[];
  /** Whether the upgrade to another transport is offered. Default true. */
  allowUpgrades?: boolean;
  /** Compression of WebSocket messages, see `ws`. Default off; `true` compresses from 1024 bytes on. */
  perMessageDeflate?: boolean | PerMessageDeflateOptions;
  /** Compression of polling responses. Default `{ threshold: 1024 }` (bytes); other keys go to zlib. */
  httpCompression?: boolean | ({ threshold?: number } & ZlibOptions);
  /** Constructor of the WebSocket server. Default the `Server` of the package `ws`. */
  wsEngine?: new (...args: any[]) => any;
  /** A message that follows the open packet of each session. */
  initialPacket?: any;
  /** Cookie of the polling handshake. Default none; `true` for `io`, `Path=/; HttpOnly; SameSite=Lax`. */
  cookie?: CookieOptions | boolean;
  /** CORS headers, see the package `cors`. Default none. */
  cors?: CorsOptions | CorsOptionsDelegate;
  /** Whether clients of revision 3 (Socket.IO v2) are served. Default false. */
  allowEIO3?: boolean;
  /** Bounds on what a connection may hold or cause. */
  limits?: LimitOptions;
  /** Keeps the handshake request of every session, instead of only where somebody may have looked at it. Default false. */
  keepRequest?: boolean;
  /** When a packet is written: with all others of its tick in one write (`tick`, the default), or at once (`immediate`). */
  flush?: "tick" | "immediate";
  /**
   * Who reads WebSocket frames: roomcast (`own`, the default), or the package `ws`, which always does so with `wsEngine` or
   * `perMessageDeflate`, and from the moment somebody looks at a WebSocket object (`transport.socket`).
   */
  receive?: "own" | "ws";
  /**
   * How WebSocket connections over plain TCP are read and written: below the streams of `net.Socket` where this Node.js allows it
   * (`direct`, the default), or through them (`stream`). Connections of TLS and HTTP/2 always go through their streams.
   */
  sockets?: "direct" | "stream";
}

/** Options with every default filled in; what the user added beyond them is kept. */
export interface EngineOptions extends ServerOptions {
  pingTimeout: number;
  pingInterval: number;
  upgradeTimeout: number;
  maxHttpBufferSize: number;
  transports: TransportName[];
  allowUpgrades: boolean;
  allowEIO3: boolean;
}

const DEFAULTS = {
  pingTimeout: 20000,
  pingInterval: 25000,
  upgradeTimeout: 10000,
  maxHttpBufferSize: 1e6,
  transports: ["polling", "websocket"],
  allowUpgrades: true,
  httpCompression: { threshold: 1024 },
  cors: false,
  allowEIO3: false,
};
const COOKIE_DEFAULTS = { name: "io", path: "/", httpOnly: true, sameSite: "lax" };

/**
 * Fills in the defaults; explicit `undefined` counts as absent.
 * @throws UsageError RC_ERR_OPTION on a value that cannot work
 */
export function resolveOptions(given: ServerOptions): EngineOptions {
  const options: Record<string, any> = { ...DEFAULTS };
  for (const [name, value] of Object.entries(given)) if (value !== undefined) options[name] = value;
  for (const name of ["pingTimeout", "pingInterval", "upgradeTimeout", "maxHttpBufferSize"]) expectNumber(name, options[name]);
  const transports: unknown = options["transports"];
  if (!Array.isArray(transports) || transports.some((name) => typeof name !== "string")) {
    const names = "polling, websocket, webtransport"; // names of other times are harmless: nobody asks for them
    throw new UsageError("RC_ERR_OPTION", `option transports: expected an array of ${names}, met ${JSON.stringify(transports)}`);
  }
  for (const name of ["cookie", "perMessageDeflate", "httpCompression"]) expectSwitch(name, options[name], "a boolean or an object");
  options["cors"] = corsOptionsOf(options["cors"]);
  if (typeof options["cors"] !== "function") expectSwitch("cors", options["cors"], "an object or a function");
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
  if (options["perMessageDeflate"]) {
    options["perMessageDeflate"] = { threshold: 1024, ...(options["perMessageDeflate"] === true ? {} : options["perMessageDeflate"]) };
  }
  if (options["httpCompression"]) {
    options["httpCompression"] = { threshold: 1024, ...(options["httpCompression"] === true ? {} : options["httpCompression"]) };
  }
  return options as EngineOptions;
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
 * The option `cors` as the package of that name takes it. An origin or a list of them stands for `{ origin }`; the package
 * itself would take it for options without an origin, which allow every one.
 */
export function corsOptionsOf(given: unknown): unknown {
  return typeof given === "string" || Array.isArray(given) ? { origin: given } : given;
}

function expectNumber(name: string, value: unknown): void {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  if (typeof number !== "number" || Number.isNaN(number) || number < 0) {
    throw new UsageError("RC_ERR_OPTION", `option ${name}: expected a non-negative number, met ${JSON.stringify(value) ?? String(value)}`);
  }
}

/** The prefix that requests must start with (`path` without, then with its trailing slash). */
export function resolvePath(options: AttachOptions): string {
  const path = (options.path || "/engine.io").replace(/\/$/, "");
  return options.addTrailingSlash === false ? path : path + "/";
}

/**
 * Whether a raw request target belongs to `path`, as `resolvePath` gave it.
 * A path without trailing slash must be followed by a slash, a question mark or nothing.
 */
export function matchesPath(path: string, url: string): boolean {
  if (!url.startsWith(path)) return false;
  if (path.endsWith("/") || url.length === path.length) return true;
  const next = url.charCodeAt(path.length);
  return next === 47 || next === 63;
}
