import type Negotiator from "negotiator";
import { createDeflate, createGzip, deflate, gzip, type ZlibOptions } from "node:zlib";
import type { EngineRequest } from "./host";

export type Encoding = "gzip" | "deflate";

/** Compresses polling responses from a size on, as the client prefers. */
export class Compression {
  private readonly thresholdBytes: number;
  private readonly zlibOptions: ZlibOptions;

  constructor(options: { threshold: number } & ZlibOptions) {
    const { threshold, ...zlibOptions } = options;
    this.thresholdBytes = threshold;
    this.zlibOptions = zlibOptions;
    createGzip(zlibOptions).close(); // a wrong option is the caller's mistake: met at start-up, not at the first response
    createDeflate(zlibOptions).close();
  }

  /** The encoding for this body and this peer; null to leave it as it is. */
  choose(request: EngineRequest, body: string | Buffer): Encoding | null {
    if (request.headers["accept-encoding"] === undefined || Buffer.byteLength(body) < this.thresholdBytes) return null;
    const Preferences = require("negotiator") as typeof Negotiator; // loaded when first needed
    return (new Preferences(request).encoding(["gzip", "deflate"]) as Encoding | undefined) ?? null;
  }

  compress(encoding: Encoding, body: string | Buffer, done: (error: Error | null, compressed: Buffer) => void): void {
    (encoding === "gzip" ? gzip : deflate)(body, this.zlibOptions, done);
  }
}
