// Requests as sessions keep them, `session.request`, and the parser of queries.
import { IncomingMessage, type IncomingHttpHeaders } from "node:http";
import { parse } from "node:querystring";
import type { Socket as NetSocket } from "node:net";
import type { EngineRequest } from "./host";

/**
 * The data of a handshake request that no user code has seen, from which the request can be built again.
 * Hot: idle memory, 10,000 clients. Keeping the `IncomingMessage` (the plain way) costs about 2 KB per connection, this a few hundred bytes.
 */
export class KeptRequest {
  /** The request target with its query. */
  readonly target: string;
  readonly socket: NetSocket;
  readonly httpVersion: string;
  /** Names and values, alternating, joined by line feeds (which no header contains): one string is smaller than forty. */
  private readonly rawHeaders: string;
  /** The value of `Sec-WebSocket-Key`, which differs for each client; `rawHeaders` has a tab in its place, so that equal texts are shared. */
  private readonly webSocketKey: string;

  constructor(request: Pick<IncomingMessage, "url" | "socket" | "httpVersion" | "rawHeaders" | "headers">) {
    const rawHeaders = request.rawHeaders.slice();
    this.webSocketKey = request.headers["sec-websocket-key"] ?? "";
    this.target = this.webSocketKey === "" ? request.url! : intern(request.url!); // the URLs of polling clients differ: they contain a timestamp
    this.socket = request.socket;
    this.httpVersion = intern(request.httpVersion);
    const at = this.webSocketKey === "" ? -1 : rawHeaders.indexOf(this.webSocketKey);
    if (at !== -1) rawHeaders[at] = KEY_PLACE;
    this.rawHeaders = intern(rawHeaders.join("\n"));
  }

  /** The `url` of the request that is built. */
  get url(): string {
    return this.target;
  }

  /** Names and values, alternating. */
  headers(): string[] {
    if (this.rawHeaders === "") return [];
    return this.rawHeaders.split("\n").map((text) => (text === KEY_PLACE ? this.webSocketKey : text));
  }
}

const KEY_PLACE = "\t";
const MAX_INTERNED = 512;
const interned = new Map<string, string>();

/** Returns the same string object for equal texts. The table is small, and is cleared when it is full. */
function intern(text: string): string {
  const known = interned.get(text);
  if (known !== undefined) return known;
  if (interned.size === MAX_INTERNED) interned.clear();
  interned.set(text, text);
  return text;
}

/** Returns the request; builds it from a `KeptRequest`. */
export function requestOf(kept: KeptRequest | EngineRequest): EngineRequest {
  if (!(kept instanceof KeptRequest)) return kept;
  const request = new IncomingMessage(kept.socket) as EngineRequest;
  request.method = "GET";
  request.url = kept.url;
  request.rawHeaders = kept.headers();
  request.headers = joinHeaders(request.rawHeaders);
  request.headersDistinct = listHeaders(request.rawHeaders);
  request.httpVersion = kept.httpVersion;
  const [major, minor] = kept.httpVersion.split(".");
  request.httpVersionMajor = Number(major);
  request.httpVersionMinor = Number(minor);
  request.complete = true;
  request._query = parseQuery(kept.target);
  (request as { res: unknown }).res = null;
  return request;
}

/** Headers whose duplicates are dropped; see `message.headers` in the documentation of `node:http`. */
const SINGLE_HEADERS = new Set([
  "age",
  "authorization",
  "content-length",
  "content-type",
  "etag",
  "expires",
  "from",
  "host",
  "if-modified-since",
  "if-unmodified-since",
  "last-modified",
  "location",
  "max-forwards",
  "proxy-authorization",
  "referer",
  "retry-after",
  "server",
  "user-agent",
]);

/** `message.headers`, by the rules in the documentation of `node:http`. @param rawHeaders  names and values, alternating */
function joinHeaders(rawHeaders: readonly string[]): IncomingHttpHeaders {
  const headers: IncomingHttpHeaders = {};
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at].toLowerCase();
    const value = rawHeaders[at + 1];
    if (name === "set-cookie") (headers[name] ??= []).push(value);
    else if (!Object.hasOwn(headers, name)) headers[name] = value;
    else if (!SINGLE_HEADERS.has(name)) headers[name] = (headers[name] as string) + (name === "cookie" ? "; " : ", ") + value;
  }
  return headers;
}

/** `message.headersDistinct`. */
function listHeaders(rawHeaders: readonly string[]): NodeJS.Dict<string[]> {
  const headers = Object.create(null) as NodeJS.Dict<string[]>;
  for (let at = 0; at < rawHeaders.length; at += 2) (headers[rawHeaders[at].toLowerCase()] ??= []).push(rawHeaders[at + 1]);
  return headers;
}

/** What `request` needs of a session. */
interface RequestHolder {
  keptRequest: KeptRequest | EngineRequest | null;
  readonly transport: { readonly name: string; readonly socket?: unknown };
  readonly upgraded: boolean;
}

/** An own property, not one of the prototype: programs run `delete socket.request` to save memory, and it must be undefined then (ROB-520). */
const REQUEST: PropertyDescriptor & ThisType<RequestHolder> = {
  configurable: true,
  get() {
    const kept = this.keptRequest;
    if (kept === null) return null;
    const request = requestOf(kept);
    this.keptRequest = request;
    if (kept !== request && this.transport.name === "websocket" && !this.upgraded) exposeWebSocket(request, this.transport);
    return request;
  },
  set(value: EngineRequest | null) {
    this.keptRequest = value;
  },
};

/** Defines the property `request` of a session. */
export function defineRequest(holder: RequestHolder): void {
  Object.defineProperty(holder, "request", REQUEST);
}

/** Defines `request.websocket` on the request of a WebSocket handshake; the WebSocket object is created at the first access (ENG-205). */
export function exposeWebSocket(request: EngineRequest, transport: { readonly socket?: unknown }): void {
  Object.defineProperty(request, "websocket", {
    configurable: true,
    enumerable: true,
    get: () => transport.socket,
    set: (value: unknown) => Object.defineProperty(request, "websocket", { value, writable: true }),
  });
}

/**
 * Parses the query of a request target. A malformed escape is kept unchanged.
 * @returns an object without prototype, with the last value of a repeated parameter (EIO-5)
 */
export function parseQuery(target: string): Record<string, string> {
  const start = target.indexOf("?");
  const hash = target.indexOf("#", start + 1);
  const query = start === -1 ? parse("") : parse(target.slice(start + 1, hash === -1 ? undefined : hash));
  for (const name in query) {
    const value = query[name];
    if (typeof value !== "string") query[name] = value === undefined ? "" : value[value.length - 1];
  }
  return query as Record<string, string>;
}

/** Whether the body of a request is binary; only allowed in revision 3 (ENG-96). */
export function isBinary(request: EngineRequest): boolean {
  return request.headers["content-type"] === "application/octet-stream";
}

/** The address of the peer; undefined for WebTransport, which has no request. */
export function remoteAddressOf(request: EngineRequest | null): string | undefined {
  return request === null ? undefined : (request.socket ?? request.connection)?.remoteAddress;
}
