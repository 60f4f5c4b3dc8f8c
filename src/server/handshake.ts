import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { parse, type ParsedUrlQuery } from "node:querystring";

/** What is known of a socket from the moment it asked to join its namespace. */
export interface Handshake {
  /** Headers of the request that opened the connection. */
  headers: IncomingHttpHeaders;
  /** When the socket was made, as text. */
  time: string;
  /** Address of the peer, as the system gives it. */
  address: string;
  /** Whether the request had an `Origin` header. */
  xdomain: boolean;
  /** Whether the connection is encrypted. */
  secure: boolean;
  /** When the socket was made, in milliseconds since 1970. */
  issued: number;
  /** Target of the request, as received. */
  url: string;
  /** Query of the request. */
  query: ParsedUrlQuery;
  /** What the client sent along when it joined the namespace. */
  auth: { [key: string]: any };
}

/** Stands for a CONNECT without payload, which most are; each handshake gets an object of its own. */
export const NO_AUTH: { [key: string]: any } = Object.freeze({});

/**
 * Describes the handshake of a socket.
 * @param conn      the engine's socket; a connection without a request (WebTransport) gives empty headers and query
 * @param issuedMs  when the socket was made
 */
export function describeHandshake(
  conn: { readonly request?: IncomingMessage | null; readonly remoteAddress?: string | undefined },
  auth: { [key: string]: any },
  issuedMs: number,
): Handshake {
  const request = conn.request as (IncomingMessage & { _query?: ParsedUrlQuery }) | null | undefined;
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

/** The query of a request of somebody else's engine. */
function queryOf(url: string | undefined): ParsedUrlQuery {
  const start = url === undefined ? -1 : url.indexOf("?");
  return start === -1 ? {} : { ...parse(url!.slice(start + 1)) };
}
