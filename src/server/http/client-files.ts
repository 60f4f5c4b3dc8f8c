// Serves the browser bundles of the client, for example `/socket.io/socket.io.js`.
import { readFile, readFileSync } from "node:fs";
import type { IncomingHttpHeaders } from "node:http";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, deflate, gzip } from "node:zlib";
import type Negotiator from "negotiator";

/*
 * The files are those of the package `socket.io-client`, byte for byte. The build copies them to `client-dist/`, where programs that copy
 * them by path also look (ROB-580).
 *
 * A file is read at the first request for it, compressed at the first request for this encoding, and kept in memory. Only the names in
 * `CONTENT_TYPES` exist: no part of a URL becomes part of a file name.
 */

const JAVASCRIPT = "application/javascript; charset=utf-8";
const JSON_TEXT = "application/json; charset=utf-8";
const CONTENT_TYPES: ReadonlyMap<string, string> = new Map([
  ["socket.io.js", JAVASCRIPT],
  ["socket.io.js.map", JSON_TEXT],
  ["socket.io.min.js", JAVASCRIPT],
  ["socket.io.min.js.map", JSON_TEXT],
  ["socket.io.esm.min.js", JAVASCRIPT],
  ["socket.io.esm.min.js.map", JSON_TEXT],
  ["socket.io.msgpack.min.js", JAVASCRIPT],
  ["socket.io.msgpack.min.js.map", JSON_TEXT],
]);
/** The names of all files. */
export const CLIENT_FILE_NAMES: readonly string[] = [...CONTENT_TYPES.keys()];
const CACHE_CONTROL = "public, max-age=0";
/** Nearly as small as with the best quality, in a tenth of the time: the first request waits for the compression. */
const BROTLI_QUALITY = 9;

/** What this file needs of a request: a request of Node, or a substitute of another host. */
export interface FileRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: IncomingHttpHeaders;
}

/** What this file needs of a response: a response of Node, or a substitute of another host. */
export interface FileResponse {
  statusCode: number;
  getHeader(name: string): number | string | readonly string[] | undefined;
  setHeader(name: string, value: number | string | readonly string[]): unknown;
  end(body?: Buffer): unknown;
  /** Whether the connection was closed. */
  readonly destroyed?: boolean;
  readonly writableEnded?: boolean;
}

/** A CORS middleware, with the signature of the package `cors`. */
export type CorsMiddleware = (request: any, response: any, next: (error?: unknown) => void) => void;

/** Answers requests for the client bundles, under one or more paths. */
export class ClientFiles {
  private readonly prefixes: readonly string[];
  private readonly cors: CorsMiddleware | null;

  /**
   * @param paths  without trailing slash; the empty string is the root
   * @param cors   runs before each answer, also for preflight requests; null: no CORS headers
   */
  constructor(paths: readonly string[], cors: CorsMiddleware | null = null) {
    this.prefixes = paths.map((path) => path + "/");
    this.cors = cors;
  }

  /** Answers the request if it is for a client file. Otherwise gives false and leaves the response untouched. */
  handle(request: FileRequest, response: FileResponse): boolean {
    const name = this.nameOf(request.url);
    if (name === null) return false;
    if (this.cors === null) void answer(name, request, response);
    // If the middleware fails, the file is sent without CORS headers: pages of the same origin send no `Origin`, which many functions
    // of the option `cors` refuse with an error.
    else this.cors(request, response, () => void this.answerAfterCors(name, request, response));
    return true;
  }

  /** The name of the client file that a request is for, or null. */
  nameOf(target: string | undefined): string | null {
    if (target === undefined) return null;
    const queryStart = target.indexOf("?");
    const end = queryStart === -1 ? target.length : queryStart;
    for (const prefix of this.prefixes) {
      if (!target.startsWith(prefix)) continue;
      const name = target.slice(prefix.length, end);
      if (CONTENT_TYPES.has(name)) return name;
    }
    return null;
  }

  private answerAfterCors(name: string, request: FileRequest, response: FileResponse): unknown {
    if (request.method !== "OPTIONS") return answer(name, request, response);
    response.statusCode = 204; // with `preflightContinue` the middleware leaves the answer to the next handler, which is this one
    response.setHeader("Content-Length", 0);
    return response.end();
  }
}

async function answer(name: string, request: FileRequest, response: FileResponse): Promise<void> {
  const isHead = request.method === "HEAD";
  if (request.method !== "GET" && !isHead) {
    response.setHeader("Allow", "GET, HEAD");
    return end(response, 405);
  }
  const bundle = findBundle();
  if (bundle === null) return end(response, 404);

  if (hasTag(request.headers["if-none-match"], bundle.tag)) {
    response.setHeader("Cache-Control", CACHE_CONTROL);
    response.setHeader("ETag", bundle.tag);
    varyByEncoding(response);
    response.statusCode = 304;
    response.end();
    return;
  }
  const encoding = chooseEncoding(request);
  let body: Buffer;
  try {
    body = await bundle.bytes(name, encoding);
  } catch (error) {
    warnOnce(error);
    if (!isGone(response)) end(response, 404);
    return;
  }
  if (isGone(response)) return;
  response.statusCode = 200;
  response.setHeader("Cache-Control", CACHE_CONTROL);
  response.setHeader("Content-Type", CONTENT_TYPES.get(name)!);
  response.setHeader("ETag", bundle.tag);
  if (encoding !== null) response.setHeader("Content-Encoding", encoding);
  varyByEncoding(response);
  response.setHeader("Content-Length", body.length);
  response.end(isHead ? undefined : body);
}

function end(response: FileResponse, status: number): void {
  response.statusCode = status;
  response.setHeader("Content-Length", 0);
  response.end();
}

function isGone(response: FileResponse): boolean {
  return response.destroyed === true || response.writableEnded === true;
}

/** Whether `If-None-Match` contains the tag (RFC 9110, section 13.1.2): a list of strong or weak tags, or `*`. */
function hasTag(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  return header.split(",").some((part) => {
    const candidate = part.trim();
    return candidate === tag || candidate === "W/" + tag || candidate === "*";
  });
}

function varyByEncoding(response: FileResponse): void {
  const given = response.getHeader("Vary");
  const fields =
    given === undefined
      ? []
      : String(given)
          .split(",")
          .map((field) => field.trim());
  if (fields.includes("*") || fields.some((field) => field.toLowerCase() === "accept-encoding")) return;
  response.setHeader("Vary", [...fields, "Accept-Encoding"].join(", "));
}

// Compression

type Encoding = "br" | "gzip" | "deflate";

const ENCODINGS: Encoding[] = ["br", "gzip", "deflate"]; // the order decides only for `*`

const compressors: Record<Encoding, (bytes: Buffer) => Promise<Buffer>> = {
  br: (bytes) =>
    promisify(brotliCompress)(bytes, {
      params: {
        [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
        [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY,
        [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
      },
    }),
  gzip: (bytes) => promisify<Buffer, Buffer>(gzip)(bytes),
  deflate: (bytes) => promisify<Buffer, Buffer>(deflate)(bytes),
};

function chooseEncoding(request: FileRequest): Encoding | null {
  if (request.headers["accept-encoding"] === undefined) return null;
  const LoadedNegotiator = require("negotiator") as typeof Negotiator; // loaded at the first use
  return (new LoadedNegotiator(request).encoding(ENCODINGS) as Encoding | undefined) ?? null;
}

// The files

/** The contents of the client files. Concurrent requests for a file share one read and one compression. */
class Bundle {
  /** Entity tag of all files: the version of the client in quotes. */
  readonly tag: string;
  private readonly directory: string;
  private readonly bodies = new Map<string, Promise<Buffer>>();

  constructor(directory: string, version: string) {
    this.tag = `"${version}"`;
    this.directory = directory;
  }

  bytes(name: string, encoding: Encoding | null): Promise<Buffer> {
    const key = encoding === null ? name : `${name} ${encoding}`;
    let body = this.bodies.get(key);
    if (body === undefined) {
      body = encoding === null ? promisify(readFile)(join(this.directory, name)) : this.bytes(name, null).then(compressors[encoding]);
      this.bodies.set(key, body);
      body.catch(() => this.bodies.delete(key)); // after a failure the next request tries again
    }
    return body;
  }
}

let found: Bundle | undefined;

function findBundle(): Bundle | null {
  if (found !== undefined) return found;
  try {
    // Beside the folder of this file, also in a bundled server (ROB-581). In ES modules made by a bundler `__dirname` may be missing.
    const directory = join(__dirname, "../client-dist");
    const { version } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as { version: string };
    return (found = new Bundle(directory, version));
  } catch (error) {
    warnOnce(error);
    return null;
  }
}

let hasWarned = false;

function warnOnce(error: unknown): void {
  if (hasWarned) return;
  hasWarned = true;
  process.emitWarning(`the client files cannot be served: ${(error as Error).message}`, { code: "ROOMCAST_CLIENT_FILES" });
}
