// HTTP requests of the commands: one connection each, as of a client that was just started.
import { request as requestHttp, type IncomingHttpHeaders } from "node:http";
import { request as requestHttps } from "node:https";
import { performance } from "node:perf_hooks";

const MAX_BODY_BYTES = 4 * 1024 * 1024;

/** What was received. */
export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** All values of each header, by its name in lower case. */
  readonly all: Readonly<Record<string, string[]>>;
  readonly body: string;
  readonly ms: number;
}

/** Settings of all requests of a command. */
export interface RequestSettings {
  readonly headers: Readonly<Record<string, string>>;
  /** Whether certificates are not checked. */
  readonly insecure: boolean;
  readonly timeoutMs: number;
}

/** The server has taken the connection, and says nothing, or not all. */
export class NoResponse extends Error {
  constructor(ms: number) {
    super(`no complete response within ${ms} ms`);
  }
}

/**
 * The address of a request of Engine.IO.
 * @param url    what the user gave: its query is sent, too, as the official client does
 * @param query  what the protocol needs; wins over the other query
 */
export function engineUrl(url: URL, path: string, query: Readonly<Record<string, string>>): URL {
  const target = new URL(path, url.origin);
  target.search = new URLSearchParams({ ...Object.fromEntries(url.searchParams), ...query }).toString();
  return target;
}

/** @returns rejects with the error of the connection, or when there is no complete response within `timeoutMs` */
export function request(
  url: URL,
  settings: RequestSettings,
  { method = "GET", headers = {}, body }: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Reply> {
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    const isSecure = url.protocol === "https:";
    const send = isSecure ? requestHttps : requestHttp;
    const length = body === undefined ? {} : { "content-length": Buffer.byteLength(body) };
    let isConnected = false;
    const fail = (error: Error): void => {
      clearTimeout(timer);
      reject(error);
      outgoing.destroy();
    };
    const outgoing = send(
      url,
      {
        method,
        headers: { connection: "close", accept: "*/*", ...settings.headers, ...headers, ...length },
        agent: false,
        rejectUnauthorized: !settings.insecure,
      },
      (response) => {
        const parts: Buffer[] = [];
        let bytes = 0;
        response.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes <= MAX_BODY_BYTES) parts.push(chunk);
        });
        response.on("error", fail);
        response.on("end", () => {
          clearTimeout(timer);
          const all = Object.create(null) as Record<string, string[]>;
          for (let index = 0; index < response.rawHeaders.length; index += 2)
            (all[response.rawHeaders[index].toLowerCase()] ??= []).push(response.rawHeaders[index + 1]);
          resolve({
            status: response.statusCode!,
            headers: response.headers,
            all,
            body: Buffer.concat(parts).toString(),
            ms: performance.now() - startedAt,
          });
        });
      },
    );
    const timer = setTimeout(
      () => fail(isConnected ? new NoResponse(settings.timeoutMs) : new Error(`no connection within ${settings.timeoutMs} ms`)),
      settings.timeoutMs,
    );
    outgoing.on("socket", (socket) => socket.once(isSecure ? "secureConnect" : "connect", () => (isConnected = true)));
    outgoing.on("error", fail);
    outgoing.end(body);
  });
}

/** Cookies of responses, as the header `Cookie` has them. */
export function cookiesOf(reply: Reply): string {
  return (reply.headers["set-cookie"] ?? []).map((cookie) => cookie.split(";")[0]).join("; ");
}
