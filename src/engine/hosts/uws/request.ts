// Copies of requests of uWebSockets.js, which are valid only while their handler runs (ENG-181).
import type { IncomingHttpHeaders } from "node:http";
import type { Socket as NetSocket } from "node:net";
import type { EngineRequest } from "../../host";
import { KeptRequest, parseQuery, requestOf } from "../../request";
import type { UwsHttpRequest, UwsHttpResponse } from "./api";

/** The connection of a request, with the members that are known here. */
export class UwsConnection {
  /** As text with all groups, e.g. `0000:0000:0000:0000:0000:ffff:7f00:0001`. */
  readonly remoteAddress: string;
  readonly encrypted: boolean;
  destroyed: boolean;

  constructor(remoteAddress: string, encrypted: boolean) {
    this.remoteAddress = remoteAddress;
    this.encrypted = encrypted;
    this.destroyed = false;
  }

  destroy(): this {
    return this;
  }
}

/** A kept request whose `url` is the path alone, without query. */
class KeptPathRequest extends KeptRequest {
  override get url(): string {
    const { target } = this;
    const queryStart = target.indexOf("?");
    return queryStart === -1 ? target : target.slice(0, queryStart);
  }
}

/** The members of a request that the engine uses; for requests that user code can't see. */
export class LeanRequest {
  readonly method: string;
  readonly url: string;
  readonly _query: Record<string, string>;
  readonly headers: IncomingHttpHeaders;
  readonly socket: UwsConnection | null;
  /** What a new session keeps; null if the request belongs to a session. */
  readonly kept: KeptRequest | null;
  res: unknown;

  constructor(given: Omit<LeanRequest, "res">) {
    this.method = given.method;
    this.url = given.url;
    this._query = given._query;
    this.headers = given.headers;
    this.socket = given.socket;
    this.kept = given.kept;
    this.res = null;
  }
}

/** Copies a request as an `IncomingMessage`. */
export function fullRequest(req: UwsHttpRequest, res: UwsHttpResponse, encrypted: boolean): EngineRequest {
  const request = requestOf(keptRequest(req, connectionOf(res, encrypted)));
  request.method = req.getCaseSensitiveMethod().toUpperCase();
  return request;
}

/** Copies the members that the engine uses. Hot: long-polling echo (uWebSockets.js). The plain way is `fullRequest`. */
export function leanRequest(req: UwsHttpRequest, res: UwsHttpResponse, encrypted: boolean): LeanRequest {
  const query = req.getQuery() ?? "";
  const _query = parseQuery("?" + query);
  const headers: IncomingHttpHeaders = {};
  for (const name of _query["sid"] ? HEADERS_NEEDED : HANDSHAKE_HEADERS_NEEDED) {
    const value = req.getHeader(name);
    if (value !== "") headers[name] = value;
  }
  const socket = _query["sid"] ? null : connectionOf(res, encrypted);
  return new LeanRequest({
    method: req.getCaseSensitiveMethod().toUpperCase(),
    url: req.getUrl(),
    _query,
    headers,
    socket,
    kept: socket === null ? null : keptRequest(req, socket),
  });
}

const HEADERS_NEEDED = ["origin", "content-type", "content-length", "accept-encoding", "user-agent"];
const HANDSHAKE_HEADERS_NEEDED = [...HEADERS_NEEDED, "host", "referer", "sec-fetch-site"];

function keptRequest(req: UwsHttpRequest, connection: UwsConnection): KeptRequest {
  const query = req.getQuery();
  const rawHeaders: string[] = [];
  req.forEach((name, value) => rawHeaders.push(name, value));
  return new KeptPathRequest({
    url: query === undefined ? req.getUrl() : `${req.getUrl()}?${query}`,
    socket: connection as unknown as NetSocket,
    httpVersion: "1.1",
    rawHeaders,
    headers: { "sec-websocket-key": req.getHeader("sec-websocket-key") },
  });
}

function connectionOf(res: UwsHttpResponse, encrypted: boolean): UwsConnection {
  return new UwsConnection(Buffer.from(res.getRemoteAddressAsText()).toString("latin1"), encrypted);
}
