// The handshake of a socket (`socket.handshake`).
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { requestOf, type KeptRequest } from "../../engine/request";
import type { EngineRequest } from "../../engine/host";
import { parse, type ParsedUrlQuery } from "node:querystring";

/** Details of the connection, and of the client's request to join the namespace. */
export interface Handshake {
  /** Headers of the request that opened the connection. */
  headers: IncomingHttpHeaders;
  /** When the socket was created, as `Date.prototype.toString` gives it. */
  time: string;
  /** IP address of the peer. Behind a proxy: the address of the proxy. */
  address: string;
  /** Whether the request had an `Origin` header. */
  xdomain: boolean;
  /** Whether the connection is encrypted. */
  secure: boolean;
  /** When the socket was created, in milliseconds since 1970. */
  issued: number;
  /** Target of the request, as received. */
  url: string;
  /** Query of the request. */
  query: ParsedUrlQuery;
  /** The `auth` payload that the client sent to join the namespace; `{}` if it sent none. */
  auth: { [key: string]: any };
}

/** Shared by all CONNECT packets without a payload. Each handshake gets an object of its own instead. */
export const NO_AUTH: { [key: string]: any } = Object.freeze({});

/**
 * Gives the handshake of a socket.
 * @param given     the request that opened the connection; without one (WebTransport; a program deleted it, ROB-520) headers and query
 *                  are empty and `secure` is true (SOC-16)
 * @param issuedMs  when the socket was created, in milliseconds since 1970
 */
export function describeHandshake(
  conn: { readonly remoteAddress?: string | undefined },
  given: object | null | undefined,
  auth: { [key: string]: any },
  issuedMs: number,
): Handshake {
  const request = given as (IncomingMessage & { _query?: ParsedUrlQuery }) | null | undefined;
  const headers = request?.headers ?? {};
  const url = request?.url;
  return {
    headers,
    time: new Date(issuedMs).toString(),
    address: conn.remoteAddress as string,
    xdomain: headers.origin !== undefined,
    secure: request ? Boolean((request.socket as { encrypted?: boolean } | null | undefined)?.encrypted) : true,
    issued: issuedMs,
    url: url as string,
    query: request?._query ?? queryOf(url),
    auth: auth === NO_AUTH ? {} : auth,
  };
}

/** The request that opened a connection, even if a program has deleted `conn.request` since the socket was created (ROB-520). */
export function requestAtHandshake(conn: {
  readonly request?: object | null;
  readonly keptRequest?: KeptRequest | EngineRequest | null;
}): object | null {
  if ("request" in conn) return conn.request ?? null;
  return conn.keptRequest ? requestOf(conn.keptRequest) : null;
}

/** The query of a request that an engine of another package has accepted. */
function queryOf(url: string | undefined): ParsedUrlQuery {
  const start = url === undefined ? -1 : url.indexOf("?");
  return start === -1 ? {} : { ...parse(url!.slice(start + 1)) };
}
