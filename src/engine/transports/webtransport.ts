// Step of the walks on a WebTransport stream: bytes from the peer become packets, packets become framed bytes.
import type { EnginePacket } from "../../protocol/engine-packet";
import { encodeFrame, type FrameDecoder } from "../../protocol/webtransport-frame";
import type { Prepared } from "../prepared";
import { HANDED_LIMIT_BYTES, Transport } from "../transport";

/** What is used of a WebTransport session (W3C WebTransport). */
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

/** Carries packets over one bidirectional stream of a WebTransport session. */
export class WebTransportTransport extends Transport {
  readonly name = "webtransport";
  private readonly session: WebTransportSession;
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  private readonly writer: WritableStreamDefaultWriter<Uint8Array>;
  private readonly decoder: FrameDecoder;
  private handedBytes: number;
  private doneBytes: number;

  constructor(session: WebTransportSession, stream: WebTransportStream, reader: ReadableStreamDefaultReader<Uint8Array>, decoder: FrameDecoder) {
    super(4, true);
    this.session = session;
    this.reader = reader;
    this.writer = stream.writable.getWriter();
    this.writer.closed.catch(() => this.onEnd()); // a stream that fails ends the transport; it never is an unhandled rejection
    this.handedBytes = 0;
    this.doneBytes = 0;
    this.writable = true;
    session.closed.then(
      () => this.onEnd(),
      () => this.onEnd(),
    );
    this.decoder = decoder;
  }

  /** Starts reading; called once somebody owns the transport. */
  start(): void {
    void this.read(this.decoder);
  }

  get hasRoom(): boolean {
    return this.writable || (this.handedBytes < HANDED_LIMIT_BYTES && this.readyState === "open" && this.handedBytes === 0);
  }

  get bufferedBytes(): number {
    return this.handedBytes;
  }

  get progress(): number {
    return this.doneBytes;
  }

  sendOne(packet: Prepared): void {
    this.send([packet]);
  }

  send(packets: readonly Prepared[]): void {
    this.writable = false;
    const parts = packets.flatMap((packet) => encodeFrame(packet as EnginePacket));
    const bytes = Buffer.concat(parts);
    this.handedBytes += bytes.length;
    this.writer.write(bytes).then(
      () => this.onWritten(bytes.length),
      () => this.onEnd(),
    );
  }

  close(onClosed: () => void): void {
    this.abort();
    onClosed();
  }

  abort(): void {
    if (this.readyState !== "open") return;
    this.readyState = "closing";
    this.writable = false;
    // What was handed over leaves first; a peer that doesn't read is cut by the end of the session itself.
    void this.writer.close().then(
      () => this.endSession(),
      () => this.endSession(),
    );
    this.reader.cancel().catch(ignore);
  }

  private onWritten(bytes: number): void {
    this.handedBytes -= bytes;
    this.doneBytes += bytes;
    if (this.handedBytes > 0 || this.readyState !== "open") return;
    this.owner?.onTransportReady();
    if (this.handedBytes > 0) return;
    this.writable = true;
    this.owner?.onTransportWritten();
  }

  private async read(decoder: FrameDecoder): Promise<void> {
    try {
      for (;;) {
        const { done, value } = await this.reader.read();
        if (done) break;
        this.deliver(decoder.decode(value));
      }
    } catch {
      // the stream was reset: the same as its end
    }
    this.onEnd();
  }

  private deliver(packets: readonly EnginePacket[]): void {
    for (const packet of packets) {
      if (this.owner === null) return;
      this.owner.onTransportPacket(packet);
    }
  }

  private onEnd(): void {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    this.writable = false;
    this.endSession();
    this.owner?.onTransportClose();
  }

  private endSession(): void {
    try {
      this.session.close();
    } catch {
      // closed already
    }
  }
}

function ignore(): void {}
