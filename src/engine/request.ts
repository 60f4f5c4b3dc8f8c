import { IncomingMessage } from "node:http";
import { parse } from "node:querystring";
import type { Socket as NetSocket } from "node:net";
import type { EngineRequest } from "./host";

/**
 * What is kept of a handshake request that nobody has looked at: enough to build it again.
 * An `IncomingMessage` costs about 2 KB for the life of the connection, this a few hundred bytes, and less where
 * clients send the same headers.
 */
export class KeptRequest {
  /** The request target with its query. */
  readonly target: string;
  readonly socket: NetSocket;
  readonly httpVersion: string;
  /** Names and values in turn, joined by line feeds (which no header contains): one string is smaller than forty. */
  private readonly rawHeaders: string;
  /** The value of `Sec-WebSocket-Key`, which differs for every client; the text has a tab in its place. */
  private readonly webSocketKey: string;

  constructor(request: Pick<IncomingMessage, "url" | "socket" | "httpVersion" | "rawHeaders" | "headers">) {
    const rawHeaders = request.rawHeaders.slice();
    this.webSocketKey = request.headers["sec-websocket-key"] ?? "";
    this.target = this.webSocketKey === "" ? request.url! : intern(request.url!); // polling clients put the time into each
    this.socket = request.socket;
    this.httpVersion = intern(request.httpVersion);
    const at = this.webSocketKey === "" ? -1 : rawHeaders.indexOf(this.webSocketKey);
    if (at !== -1) rawHeaders[at] = KEY_PLACE;
    this.rawHeaders = intern(rawHeaders.join("\n"));
  }

  /** The `url` that users see. */
  get url(): string {
    return this.target;
  }

  /** Names and values in turn. */
  headers(): string[] {
    if (this.rawHeaders === "") return [];
    return this.rawHeaders.split("\n").map((text) => (text === KEY_PLACE ? this.webSocketKey : text));
  }
}

const KEY_PLACE = "\t";
const MAX_INTERNED = 512;
const interned = new Map<string, string>();

/** Gives one and the same string for equal texts, as far as a small table goes; it starts anew when it is full. */
function intern(text: string): string {
  const known = interned.get(text);
  if (known !== undefined) return known;
  if (interned.size === MAX_INTERNED) interned.clear();
  interned.set(text, text);
  return text;
}

/** Node's own way of giving a message its headers; joins repeated ones by Node's rules. */
interface HeaderTaker {
  _addHeaderLines(rawHeaders: string[], count: number): void;
}

/** Gives the request itself, building it when only its essence was kept. */
export function requestOf(kept: KeptRequest | EngineRequest): EngineRequest {
  if (!(kept instanceof KeptRequest)) return kept;
  const request = new IncomingMessage(kept.socket) as EngineRequest;
  request.method = "GET";
  request.url = kept.url;
  const rawHeaders = kept.headers();
  (request as unknown as HeaderTaker)._addHeaderLines(rawHeaders, rawHeaders.length);
  request.httpVersion = kept.httpVersion;
  const [major, minor] = kept.httpVersion.split(".");
  request.httpVersionMajor = Number(major);
  request.httpVersionMinor = Number(minor);
  request.complete = true;
  request._query = parseQuery(kept.target);
  (request as { res: unknown }).res = null;
  return request;
}

/** Shows the WebSocket that a handshake led to on its request; it is made as soon as somebody looks. */
export function exposeWebSocket(request: EngineRequest, transport: { readonly socket: unknown }): void {
  Object.defineProperty(request, "websocket", {
    configurable: true,
    enumerable: true,
    get: () => transport.socket,
    set: (value: unknown) => Object.defineProperty(request, "websocket", { value, writable: true }),
  });
}

/** Longer targets may hold more names than `node:querystring` takes. */
const MAX_PLAIN_LENGTH = 1000;

/**
 * Parses the query of a request target, leniently: a malformed escape is kept as it stands.
 * @returns a null-prototype object; of a repeated parameter the last value
 */
export function parseQuery(url: string): Record<string, string> {
  const start = url.indexOf("?") + 1;
  const query = Object.create(null) as Record<string, string>;
  if (start === 0) return query;
  const needsDecoding = url.includes("%", start) || url.includes("+", start) || url.includes("#", start);
  if (needsDecoding || url.length > MAX_PLAIN_LENGTH) return decodeQuery(url, start);
  // Hot: once for every poll. What clients send has nothing to decode, and is taken apart in a third of the time.
  for (let at = start; at < url.length;) {
    const ampersand = url.indexOf("&", at);
    const end = ampersand === -1 ? url.length : ampersand;
    const equals = url.indexOf("=", at);
    if (equals !== -1 && equals < end) query[url.slice(at, equals)] = url.slice(equals + 1, end);
    else if (at < end) query[url.slice(at, end)] = "";
    at = end + 1;
  }
  return query;
}

function decodeQuery(url: string, start: number): Record<string, string> {
  const hash = url.indexOf("#", start);
  const query = parse(hash === -1 ? url.slice(start) : url.slice(start, hash));
  for (const name in query) {
    const value = query[name];
    if (typeof value !== "string") query[name] = value === undefined ? "" : value[value.length - 1];
  }
  return query as Record<string, string>;
}
