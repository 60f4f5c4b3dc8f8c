// permessage-deflate (RFC 7692) without context takeover: each message is compressed by itself, so no connection keeps a window, and the
// frame of a broadcast is compressed once for all receivers that negotiated the same window size.
import { constants } from "node:buffer";
import {
  createDeflateRaw,
  createInflateRaw,
  deflateRaw,
  deflateRawSync,
  inflateRawSync,
  constants as zlib,
  type ZlibOptions,
} from "node:zlib";
import * as ws from "ws";
import type { PerMessageDeflateOptions } from "ws";
import { messageZlibOf, type MessageZlib } from "../../../support/node-internals";
import { runInRoot } from "../../../support/tick";
import { allocateFrame, type CompressedFrame, type Prepared } from "../../prepared";
import { Readiness } from "../../readiness";
import { isExiting } from "../../turn";
import { FrameError, tooLarge, type Inflater } from "./frame-reader";
import type { FrameCompressor } from "./wire";

/** Parameters of the extension that were accepted. */
interface Parameters {
  server_no_context_takeover?: true;
  client_no_context_takeover?: true;
  server_max_window_bits?: number;
  client_max_window_bits?: number;
}

/** Exports of `ws` that its types don't have. */
interface WsExports {
  readonly extension: {
    parse(header: string): Record<string, unknown[] | undefined>;
    format(extensions: Record<string, readonly object[]>): string;
  };
  readonly PerMessageDeflate: new (options: object) => {
    accept(offers: readonly unknown[]): Parameters;
  };
}
const { extension, PerMessageDeflate } = ws as unknown as WsExports;

const NAME = "permessage-deflate";
/** The end of each compressed message, which isn't sent (RFC 7692, section 7.2.1). */
const TAIL = Buffer.from([0, 0, 0xff, 0xff]);
const RSV1_TEXT = 0xc1;
const RSV1_BINARY = 0xc2;
const DEFAULT_WINDOW_BITS = 15;
/** Measured on chats, positions and documents of 1.5 to 10 KB: level 6 saves 2 to 6 % of the bytes and takes up to twice as long; level 1 costs 1 to 3 %. */
const DEFAULT_LEVEL = 3;
/** Of `ws`. */
const DEFAULT_CONCURRENCY = 10;

/** Memory for the result of a synchronous call of zlib; longer results are joined. */
const OUTPUT_BYTES = 64 * 1024;
const PROBE = Buffer.from("probe, probe, probe");

/** An error of zlib. */
interface ZlibError extends Error {
  readonly code: string;
}

/** Options of the engine for messages without context takeover. */
export type DeflateOptions = PerMessageDeflateOptions & { readonly threshold: number };

/** The compression of an engine: its options, and the large packets that are being compressed. */
export class Deflater {
  readonly options: DeflateOptions;
  readonly maxMessageBytes: number;
  /** The agreements that clients have made, by the header that answers their offer: at most one for each pair of window sizes. */
  private readonly agreements: Map<string, Agreement>;
  /** Streams of zlib, by window size; null where they can't be used synchronously. At most one for each size and direction. */
  private readonly deflaters: Map<number, MessageZlib | null>;
  private readonly inflaters: Map<number, MessageZlib | null>;
  private output: Buffer | null;
  private running: number;
  private readonly queue: (() => void)[];
  /** The packets that are being compressed, or will be. */
  private readonly pending: Set<Readiness>;
  private readonly onExit: () => void;

  /** @param maxMessageBytes  limit for an inflated message; 0 for no limit */
  constructor(options: DeflateOptions, maxMessageBytes: number) {
    this.options = options;
    this.maxMessageBytes = maxMessageBytes;
    this.agreements = new Map();
    this.deflaters = new Map();
    this.inflaters = new Map();
    this.output = null;
    this.running = 0;
    this.queue = [];
    this.pending = new Set();
    this.onExit = () => this.pending.forEach((readiness) => readiness.finish("ready")); // they are sent plain
  }

  /**
   * Answers the offers of a client, as `ws` does.
   * @param header  value of `Sec-WebSocket-Extensions`
   * @returns null when it offers no compression; "ws" when `ws` has to answer: the offer is invalid, or there is a context takeover
   */
  negotiate(header: string): Agreement | "ws" | null {
    try {
      const offers = extension.parse(header)[NAME];
      if (offers === undefined) return null;
      const parameters = this.makeExtension().accept(offers);
      if (parameters.server_no_context_takeover !== true || parameters.client_no_context_takeover !== true) return "ws";
      const answer = extension.format({ [NAME]: [parameters] });
      const agreement = this.agreements.get(answer) ?? new Agreement(this, answer, parameters);
      this.agreements.set(answer, agreement);
      return agreement;
    } catch {
      return "ws";
    }
  }

  /** The extension as an object of `ws`. */
  makeExtension(): InstanceType<WsExports["PerMessageDeflate"]> {
    return new PerMessageDeflate({ ...this.options, isServer: true, maxPayload: this.maxMessageBytes });
  }

  /** The bytes with the tail of a sync flush, valid until the next call. */
  deflate(bytes: Buffer, windowBits: number, options: ZlibOptions): Buffer {
    let stream = this.deflaters.get(windowBits);
    if (stream === undefined) {
      this.output ??= Buffer.allocUnsafeSlow(OUTPUT_BYTES);
      stream = messageZlibOf(createDeflateRaw(options), this.output, PROBE, deflateRawSync(PROBE, options));
      this.deflaters.set(windowBits, stream);
    }
    return stream === null ? deflateRawSync(bytes, options) : stream.run([bytes], Infinity)!;
  }

  /** The message of a payload, valid until the next call; null when it is too large. @throws the error of zlib */
  inflate(payload: Buffer, windowBits: number, options: ZlibOptions): Buffer | null {
    let stream = this.inflaters.get(windowBits);
    if (stream === undefined) {
      this.output ??= Buffer.allocUnsafeSlow(OUTPUT_BYTES);
      const deflated = deflateRawSync(PROBE, { ...options, windowBits, finishFlush: zlib.Z_SYNC_FLUSH });
      stream = messageZlibOf(createInflateRaw(options), this.output, deflated, PROBE);
      this.inflaters.set(windowBits, stream);
    }
    if (stream !== null) return stream.run([payload, TAIL], options.maxOutputLength!);
    try {
      return inflateRawSync(Buffer.concat([payload, TAIL]), options);
    } catch (error) {
      if ((error as ZlibError).code === "ERR_BUFFER_TOO_LARGE") return null;
      throw error;
    }
  }

  /** Calls `work` as soon as few enough other works run; it calls `done` at its end. If the process exits first, the packet is sent plain. */
  schedule(readiness: Readiness, work: (done: () => void) => void): void {
    const limit = this.options.concurrencyLimit ?? DEFAULT_CONCURRENCY;
    const { pending } = this;
    if (pending.size === 0) process.on("exit", this.onExit);
    pending.add(readiness);
    const run = (): void => {
      this.running++;
      work(() => {
        this.running--;
        pending.delete(readiness);
        if (pending.size === 0) process.removeListener("exit", this.onExit);
        this.queue.shift()?.();
      });
    };
    if (this.running < limit) run();
    else this.queue.push(run);
  }
}

/** What a client and the server agreed on; shared by all connections with the same parameters. */
export class Agreement implements FrameCompressor, Inflater {
  /** Value of `Sec-WebSocket-Extensions` in the response. */
  readonly answer: string;
  private readonly deflater: Deflater;
  private readonly parameters: Parameters;
  private readonly windowBits: number;
  private readonly clientWindowBits: number;
  private readonly deflateOptions: ZlibOptions;
  private readonly inflateOptions: ZlibOptions;

  constructor(deflater: Deflater, answer: string, parameters: Parameters) {
    const { options, maxMessageBytes } = deflater;
    this.answer = answer;
    this.deflater = deflater;
    this.parameters = parameters;
    this.windowBits = parameters.server_max_window_bits ?? DEFAULT_WINDOW_BITS;
    this.deflateOptions = {
      level: DEFAULT_LEVEL,
      ...(options.zlibDeflateOptions as ZlibOptions),
      windowBits: this.windowBits,
      finishFlush: zlib.Z_SYNC_FLUSH,
    };
    this.clientWindowBits = parameters.client_max_window_bits ?? DEFAULT_WINDOW_BITS;
    const isLimited = maxMessageBytes > 0 && maxMessageBytes < constants.MAX_LENGTH;
    this.inflateOptions = {
      ...(options.zlibInflateOptions as ZlibOptions),
      windowBits: this.clientWindowBits,
      finishFlush: zlib.Z_SYNC_FLUSH,
      maxOutputLength: isLimited ? Math.max(1, Math.floor(maxMessageBytes)) : constants.MAX_LENGTH,
    };
  }

  /** The extension as an object of `ws`, for a connection that `ws` reads from now on. */
  toExtensions(): Record<string, object> {
    const perMessageDeflate = this.deflater.makeExtension();
    perMessageDeflate.accept([Object.fromEntries(Object.entries(this.parameters).map(([name, value]) => [name, [value]]))]);
    return { [NAME]: perMessageDeflate };
  }

  // -- out ---------------------------------------------------------------------------------------------

  /** The compressed frame of a packet. Null for a packet that is sent plain: one that is small, marked so, or large and not prepared. */
  frameOf(packet: Prepared): Buffer | null {
    const entry = packet.compressedFor(this.windowBits); // first: the other receivers of a broadcast need nothing else
    if (entry !== undefined) return entry.frame;
    if (packet.isLarge || !this.mayCompress(packet)) return null;
    const payload = bytesOf(packet);
    const frame = this.toFrame(packet, payload, this.deflater.deflate(payload, this.windowBits, this.deflateOptions));
    if (packet.shared) this.keep(packet, null).frame = frame;
    return frame;
  }

  /** Compresses a large packet in the background. */
  preparationOf(packet: Prepared): Readiness | null {
    const entry = packet.compressedFor(this.windowBits);
    if (entry !== undefined) return entry.readiness;
    if (!this.mayCompress(packet) || isExiting()) return null;
    const readiness = new Readiness();
    const kept = this.keep(packet, readiness);
    const payload = bytesOf(packet);
    this.deflater.schedule(readiness, (done) => {
      runInRoot(() =>
        deflateRaw(payload, this.deflateOptions, (error, deflated) => {
          done();
          if (error === null) kept.frame = this.toFrame(packet, payload, deflated);
          readiness.finish("ready"); // after an error it is sent plain
        }),
      );
    });
    return readiness;
  }

  private mayCompress(packet: Prepared): boolean {
    const { data } = packet;
    if (!packet.compress || data === undefined) return false;
    const { threshold } = this.deflater.options;
    if (typeof data !== "string") return data.length >= threshold;
    return data.length * 3 + 1 >= threshold && Buffer.byteLength(data) + packet.typeCode.length >= threshold;
  }

  private keep(packet: Prepared, readiness: Readiness | null): CompressedFrame {
    const entry = { windowBits: this.windowBits, readiness, frame: null, next: packet.compressed };
    packet.compressed = entry;
    return entry;
  }

  /** Null when compression doesn't make the message smaller. */
  private toFrame(packet: Prepared, payload: Buffer, deflated: Buffer): Buffer | null {
    const length = deflated.length - TAIL.length;
    if (length >= payload.length) return null;
    const { frame, offset } = allocateFrame(packet.isBinary ? RSV1_BINARY : RSV1_TEXT, length);
    deflated.copy(frame, offset, 0, length);
    return frame;
  }

  // -- in ----------------------------------------------------------------------------------------------

  inflate(payload: Buffer): Buffer | FrameError {
    try {
      return this.deflater.inflate(payload, this.clientWindowBits, this.inflateOptions) ?? tooLarge();
    } catch (error) {
      const { code, message } = error as ZlibError;
      return new FrameError(1007, code, message);
    }
  }
}

function bytesOf(packet: Prepared): Buffer {
  const payload = packet.toPayload();
  return typeof payload === "string" ? Buffer.from(payload) : payload;
}
