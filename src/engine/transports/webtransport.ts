// The WebTransport transport. A step of the walks: bytes from the peer become packets, packets become framed bytes.
import type { ReadableStream, ReadableStreamDefaultReader, WritableStream, WritableStreamDefaultWriter } from "node:stream/web";
import { ERROR_PACKET, type EnginePacket } from "../../protocol/engine-packet";
import { encodeFrame, type FrameDecoder } from "../../protocol/webtransport-frame";
import { nextTick } from "../../support/tick";
import type { Endings } from "../endings";
import type { Prepared } from "../prepared";
import { coarseClock } from "../coarse-clock";
import { HANDED_LIMIT_BYTES, Transport, type Flow } from "../transport";
import type { InputTotal } from "../totals";
import { ignore } from "../../support/ignore";

/** The members of a WebTransport session (W3C WebTransport) that are used here (ENG-170). */
export interface WebTransportSession {
  readonly incomingBidirectionalStreams: ReadableStream<WebTransportStream>;
  readonly closed: Promise<unknown>;
  close(): void;
}

/** A bidirectional stream of such a session. */
export interface WebTransportStream {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
}

/** The result of a handshake: the stream, its reader, and the packets that were read behind the first one. */
export interface OpenedStream {
  readonly session: WebTransportSession;
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly decoder: FrameDecoder;
  /** Packets that arrived in one chunk with the first one: a client that upgrades sends its probe right behind it. */
  readonly early: readonly EnginePacket[];
}

/** What all transports of an engine share. */
export interface WebTransportSettings {
  readonly endings: Endings;
  readonly inputTotal: InputTotal;
  /** Whether the first packet of a tick is written at once, instead of at the end of the tick. */
  readonly writesAtOnce: boolean;
}

/**
 * The WebTransport transport: packets over one bidirectional stream of a WebTransport session.
 *
 *     open --close, abort--> closing --written bytes taken, or time-out--> closed        open, closing --stream or session ends--> closed
 */
export class WebTransportTransport extends Transport {
  readonly name = "webtransport";
  readonly writesAtOnce: boolean;
  private readonly session: WebTransportSession;
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  private readonly writer: WritableStreamDefaultWriter<Uint8Array>;
  private readonly decoder: FrameDecoder;
  private readonly endings: Endings;
  private readonly inputTotal: InputTotal;
  private early: readonly EnginePacket[];
  /** While input is paused: the next chunk is read when this promise is fulfilled. */
  private resumed: Promise<void> | null;
  private resume: () => void;
  private handedBytes: number;
  private doneBytes: number;

  constructor({ session, reader, writable, decoder, early }: OpenedStream, settings: WebTransportSettings) {
    super(4, true);
    this.session = session;
    this.reader = reader;
    this.writer = writable.getWriter();
    this.decoder = decoder;
    this.endings = settings.endings;
    this.inputTotal = settings.inputTotal;
    this.writesAtOnce = settings.writesAtOnce;
    this.early = early;
    this.resumed = null;
    this.resume = ignore;
    this.handedBytes = 0;
    this.doneBytes = 0;
    this.writable = true;
    const onEnd = (): void => outside(() => this.onEnd());
    this.writer.closed.catch(onEnd); // a failure of the stream ends the transport, and is never an unhandled rejection (ENG-175)
    session.closed.then(onEnd, onEnd);
  }

  /** Starts reading; called once the transport has an owner. */
  start(): void {
    const { early } = this;
    this.early = [];
    this.deliver(early);
    void this.read();
  }

  get flow(): Flow {
    if (this.handedBytes === 0) return "free";
    return this.handedBytes < HANDED_LIMIT_BYTES ? "in flight" : "held up";
  }

  get bufferedBytes(): number {
    return this.handedBytes;
  }

  override get heldInputBytes(): number {
    return this.decoder.heldBytes;
  }

  get progress(): number {
    return this.doneBytes;
  }

  write(first: Prepared, more: readonly Prepared[] | null): void {
    if (this.readyState !== "open") return;
    this.lastOut = coarseClock.now;
    let bytes = 0;
    let written: Promise<void> | undefined;
    for (const packet of more === null ? [first] : [first, ...more]) {
      for (const chunk of encodeFrame(packet as EnginePacket)) {
        bytes += chunk.length;
        written = this.writer.write(chunk);
        written.catch(ignore); // if one write fails, the last one fails too, and is handled below
      }
    }
    this.handedBytes += bytes;
    written?.then(
      () => this.onWritten(bytes),
      () => outside(() => this.onEnd()),
    );
  }

  close(onClosed = ignore): void {
    this.abort(null);
    onClosed();
  }

  abort(last: Prepared | null, hard = false): void {
    if (hard) return this.onEnd();
    if (this.readyState !== "open") return;
    if (last !== null) this.write(last, null);
    this.readyState = "closing";
    this.writable = false;
    this.endings.limit(this);
    const onEnd = (): void => outside(() => this.onEnd());
    this.writer.close().then(onEnd, onEnd); // bytes that were written leave first
  }

  private onWritten(bytes: number): void {
    this.handedBytes -= bytes;
    this.doneBytes += bytes;
    if (this.handedBytes === 0 && this.readyState === "open") outside(() => this.owner?.onTransportReady());
  }

  override pauseInput(): void {
    this.resumed ??= new Promise((resolve) => (this.resume = resolve));
  }

  override resumeInput(): void {
    this.resume();
    this.resumed = null;
  }

  private async read(): Promise<void> {
    for (;;) {
      if (this.resumed !== null) await this.resumed;
      const chunk = await this.reader.read().catch(ignore); // a reset counts as the end
      if (chunk === undefined || chunk.done) break;
      this.lastIn = coarseClock.now;
      this.deliver(this.decode(chunk.value));
      const { heldBytes } = this.decoder;
      if (heldBytes > 0) this.inputTotal.add(Math.min(chunk.value.byteLength, heldBytes));
    }
    if (this.readyState === "open") outside(() => this.onEnd());
  }

  /** Decodes a chunk; anything that can't be decoded is an error of the peer (ROB-143). */
  private decode(chunk: Uint8Array): readonly EnginePacket[] {
    try {
      return this.decoder.decode(chunk);
    } catch {
      return [ERROR_PACKET]; // not bytes, or a text longer than the maximum of Node.js
    }
  }

  private deliver(packets: readonly EnginePacket[]): void {
    for (const packet of packets) {
      if (this.owner === null) return;
      outside(() => this.owner?.onTransportPacket(packet));
    }
  }

  /** Ends the transport: the stream or the session has ended, or must end. */
  private onEnd(): void {
    if (this.readyState === "closed") return;
    this.retire();
    this.endings.forget(this);
    this.resumeInput();
    endSession(this.session); // before the stream: some clients fail when the stream ends first
    this.writer.abort().catch(ignore);
    this.reader.cancel().catch(ignore);
    this.owner?.onTransportClose();
  }

  /** Ends it without waiting for the peer. @internal */
  destroy(): void {
    this.onEnd();
  }
}

/** Closes a session of the user's HTTP/3 server, which may throw if the session has ended already. */
export function endSession(session: WebTransportSession): void {
  try {
    session.close();
  } catch {
    // closed already
  }
}

/** Runs code that may call listeners of the program: an exception becomes an uncaughtException, not a rejection of an internal promise. */
function outside(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    nextTick(() => {
      throw error;
    });
  }
}
