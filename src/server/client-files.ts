import { readFile, readFileSync } from "node:fs";
import type { IncomingHttpHeaders } from "node:http";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, deflate, gzip } from "node:zlib";
import type Negotiator from "negotiator";

/*
 * The browser bundles under the path: the distribution files of the package `socket.io-client`, byte for byte.
 *
 * A file is read when it is first asked for, compressed when that is first asked for, and kept. Only the names in
 * `CONTENT_TYPES` exist: no part of a URL ever becomes part of a file name.
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
/** The files there are. */
export const CLIENT_FILE_NAMES: readonly string[] = [...CONTENT_TYPES.keys()];
const CACHE_CONTROL = "public, max-age=0";
/** Nearly the size of the best quality, at a tenth of its time: the first page must not wait for it. */
const BROTLI_QUALITY = 9;

/** What is asked of a request; Node's requests have it, other hosts bring a stand-in. */
export interface FileRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: IncomingHttpHeaders;
}

/** What is asked of a response; Node's responses have it, other hosts bring a stand-in. */
export interface FileResponse {
  statusCode: number;
  getHeader(name: string): number | string | readonly string[] | undefined;
  setHeader(name: string, value: number | string | readonly string[]): unknown;
  end(body?: Buffer): unknown;
  /** True when the peer is gone. */
  readonly destroyed?: boolean;
  readonly writableEnded?: boolean;
}

/** CORS processing, in the form of the package `cors`. */
export type CorsMiddleware = (request: any, response: any, next: (error?: unknown) => void) => void;

/** Answers requests for the client bundles under one path or several. */
export class ClientFiles {
  private readonly prefixes: readonly string[];
  private readonly cors: CorsMiddleware | null;

  /**
   * @param paths  without trailing slash; the empty string stands for the root
   * @param cors   run before every answer, also for preflight requests; null: none
   */
  constructor(paths: readonly string[], cors: CorsMiddleware | null = null) {
    this.prefixes = paths.map((path) => path + "/");
    this.cors = cors;
  }

  /** Answers the request if it is for a client file; gives false, having touched nothing, if it isn't. */
  handle(request: FileRequest, response: FileResponse): boolean {
    const name = this.nameOf(request.url);
    if (name === null) return false;
    if (this.cors === null) void answer(name, request, response);
    // An origin that the check turns down with an error gets the file without CORS headers: pages of the same site
    // send no Origin, and allow-lists often refuse that.
    else this.cors(request, response, () => void this.answerAfterCors(name, request, response));
    return true;
  }

  /** Gives the name of the client file that a request target stands for, or null. */
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
    response.statusCode = 204; // `preflightContinue`: the headers are set, nobody else is there to continue
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

/** Entity tags as in RFC 9110, section 13.1.2: a list, each perhaps weak, or `*`. */
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

const ENCODINGS: Encoding[] = ["br", "gzip", "deflate"]; // our order counts only for `*`

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
  const Preferences = require("negotiator") as typeof Negotiator; // loaded when first needed
  return (new Preferences(request).encoding(ENCODINGS) as Encoding | undefined) ?? null;
}

// The files

/** The installed client package; each body is made once, however many requests wait for it. */
class Bundle {
  /** Entity tag of every file: the quoted version, which changes whenever the bytes may. */
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
      body.catch(() => this.bodies.delete(key)); // the next request tries again; this one is told by its own await
    }
    return body;
  }
}

let found: Bundle | undefined;

function findBundle(): Bundle | null {
  if (found !== undefined) return found;
  try {
    const manifest: unknown = require.resolve("socket.io-client/package.json");
    // webpack puts a module's number here, which would be read as a file descriptor: of standard input, of a peer.
    if (typeof manifest !== "string") throw new Error("Cannot find the package 'socket.io-client' from inside a bundle");
    const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
    return (found = new Bundle(join(dirname(manifest), "dist"), version));
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
