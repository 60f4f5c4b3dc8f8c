// Compression of polling responses, option `httpCompression` (ENG-100).
import type Negotiator from "negotiator";
import { createDeflate, createGzip, deflate, deflateSync, gzip, gzipSync, type ZlibOptions } from "node:zlib";
import { throwLater } from "../support/ask";
import { runInRoot } from "../support/tick";
import type { EngineRequest } from "./host";
import type { Prepared } from "./prepared";

export type Encoding = "gzip" | "deflate";
export type OnCompressed = (error: Error | null, compressed: Buffer) => void;

/** The compressed forms of one body; while one is being made, the callbacks that wait for it. */
type SharedBody = Partial<Record<Encoding, Buffer | OnCompressed[]>>;

/** Bodies that are being compressed hold more than their bytes until a thread is free; above this sum responses are sent plain (ROB-990). */
const PENDING_BYTES_MAX = 8 * 1024 * 1024;

/** Compresses polling responses above a size, with the encoding that the client prefers. */
export class Compression {
  private readonly thresholdBytes: number;
  private readonly zlibOptions: ZlibOptions;
  private readonly isSynchronous: boolean;
  /** By the packet that is the whole body of several responses; they live as long as it does (ROB-640). */
  private readonly shared: WeakMap<Prepared, SharedBody>;
  /** Bytes of bodies that are being compressed. */
  private pendingBytes = 0;

  /** @param isSynchronous  `compress` calls back before it returns, on the thread of the event loop (ROB-350) */
  constructor(options: { threshold: number } & ZlibOptions, isSynchronous: boolean) {
    const { threshold, ...zlibOptions } = options;
    this.thresholdBytes = threshold;
    this.zlibOptions = zlibOptions;
    this.isSynchronous = isSynchronous;
    this.shared = new WeakMap();
    createGzip(zlibOptions).close(); // throws for a wrong option, at start-up instead of at the first response
    createDeflate(zlibOptions).close();
  }

  /** The encoding for a body; null for no compression. */
  choose(request: EngineRequest, body: string | Buffer): Encoding | null {
    if (request.headers["accept-encoding"] === undefined || Buffer.byteLength(body) < this.thresholdBytes) return null;
    if (this.pendingBytes > PENDING_BYTES_MAX) return null;
    const Preferences = require("negotiator") as typeof Negotiator; // loaded when first needed
    return (new Preferences(request).encoding(["gzip", "deflate"]) as Encoding | undefined) ?? null;
  }

  compress(encoding: Encoding, body: string | Buffer, done: OnCompressed): void {
    if (this.isSynchronous) return done(null, (encoding === "gzip" ? gzipSync : deflateSync)(body, this.zlibOptions));
    this.pendingBytes += body.length;
    (encoding === "gzip" ? gzip : deflate)(body, this.zlibOptions, (error, compressed) => {
      this.pendingBytes -= body.length;
      done(error, compressed);
    });
  }

  /** The same for a body that consists of one shared packet: compressed once per encoding, for all clients that get it (ROB-640). */
  compressShared(encoding: Encoding, body: string | Buffer, packet: Prepared, done: OnCompressed): void {
    const forms = this.shared.get(packet) ?? {};
    const form = forms[encoding];
    if (Array.isArray(form)) return void form.push(done);
    if (form !== undefined) return done(null, form);
    const waiting = (forms[encoding] = [done]);
    this.shared.set(packet, forms);
    const onCompressed: OnCompressed = (error, compressed) => {
      if (error === null) forms[encoding] = compressed;
      else delete forms[encoding];
      for (const each of waiting) settle(each, error, compressed);
    };
    runInRoot(() => this.compress(encoding, body, onCompressed)); // it calls back for several clients, in the context of none
  }
}

/** An error that listeners of one client throw must not keep the response from the others. */
function settle(done: OnCompressed, error: Error | null, compressed: Buffer): void {
  try {
    done(error, compressed);
  } catch (thrown) {
    throwLater(thrown);
  }
}
