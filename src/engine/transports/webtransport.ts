// Step of the walks on a WebTransport stream: bytes from the peer become packets, packets become framed bytes.
import type { EnginePacket } from "../../protocol/engine-packet";
import { encodeFrame, type FrameDecoder } from "../../protocol/webtransport-frame";
import { Deadline } from "../../support/deadline";
import { hasListeners } from "../../support/lean-emitter";
import { nextTick } from "../../support/tick";
import type { Prepared } from "../prepared";
import { Transport } from "../transport";

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

/** What the handshake hands over: the stream, and what it has read of it. */
export interface OpenedStream {
  readonly session: WebTransportSession;
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly decoder: FrameDecoder;
  /** Packets that came together with the first one: a client that upgrades sends its probe right behind it. */
  readonly early: readonly EnginePacket[];
}

/** How long a peer that doesn't read has for what was handed over before the end; as for a WebSocket's closing handshake. */
const CLOSE_WAIT_MS = 30_000;

/**
 * Carries packets over one bidirectional stream of a WebTransport session.
 *
 *     open --close, abort--> closing --handed over bytes taken, or time-out--> closed        open, closing --stream or session ends--> closed
 */
export class WebTransportTransport extends Transport {
  readonly name = "webtransport";
  private readonly session: WebTransportSession;
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  private readonly writer: WritableStreamDefaultWriter<Uint8Array>;
  private readonly decoder: FrameDecoder;
  private readonly closeWait: Deadline<WebTransportTransport>;
  private early: readonly EnginePacket[];
  private handedBytes: number;
  private doneBytes: number;

  constructor({ session, reader, writable, decoder, early }: OpenedStream) {
    super(4, true);
    this.session = session;
    this.reader = reader;
    this.writer = writable.getWriter();
    this.decoder = decoder;
    this.closeWait = new Deadline<WebTransportTransport>(cut, this);
    this.early = early;
    this.handedBytes = 0;
    this.doneBytes = 0;
    this.writable = true;
    const onEnd = (): void => outside(() => this.onEnd());
    this.writer.closed.catch(onEnd); // a stream that fails ends the transport; it never is an unhandled rejection
    session.closed.then(onEnd, onEnd);
  }

  /** Starts reading; called once somebody owns the transport. */
  start(): void {
    const { early } = this;
    this.early = [];
    this.deliver(early);
    void this.read();
  }

  get hasRoom(): boolean {
    return this.readyState === "open" && this.handedBytes === 0;
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
    const bytes = Buffer.concat(packets.flatMap((packet) => encodeFrame(packet as EnginePacket)));
    this.handedBytes += bytes.length;
    this.writer.write(bytes).then(
      () => this.onWritten(bytes.length),
      () => outside(() => this.onEnd()),
    );
  }

  close(onClosed = ignore): void {
    this.abort();
    onClosed();
  }

  abort(hard = false): void {
    if (hard) return this.onEnd();
    if (this.readyState !== "open") return;
    this.readyState = "closing";
    this.writable = false;
    this.closeWait.start(CLOSE_WAIT_MS);
    const onEnd = (): void => outside(() => this.onEnd());
    this.writer.close().then(onEnd, onEnd); // what was handed over leaves first
  }

  private onWritten(bytes: number): void {
    this.handedBytes -= bytes;
    this.doneBytes += bytes;
    if (this.handedBytes > 0 || this.readyState !== "open") return;
    outside(() => this.owner?.onTransportReady());
    if (this.handedBytes > 0) return;
    this.writable = (this.readyState as string) === "open";
    outside(() => hasListeners(this, "ready") && this.emit("ready"));
    outside(() => this.owner?.onTransportWritten());
  }

  private async read(): Promise<void> {
    for (;;) {
      const chunk = await this.reader.read().catch(ignore); // a stream that was reset has ended as well
      if (chunk === undefined || chunk.done) break;
      this.deliver(this.decoder.decode(chunk.value));
    }
    if (this.readyState === "open") outside(() => this.onEnd());
  }

  private deliver(packets: readonly EnginePacket[]): void {
    for (const packet of packets) {
      if (this.owner === null) return;
      outside(() => this.owner?.onTransportPacket(packet));
    }
  }

  /** The stream or the session has ended, or has to. */
  private onEnd(): void {
    if (this.readyState === "closed") return;
    this.retire();
    this.closeWait.cancel();
    endSession(this.session); // first: a stream that is let go before makes some clients fail
    this.writer.abort().catch(ignore);
    this.reader.cancel().catch(ignore);
    this.owner?.onTransportClose();
  }

  /** @internal */
  cut(): void {
    this.onEnd();
  }
}

function cut(transport: WebTransportTransport): void {
  transport.cut();
}

/** Ends a session of the user's HTTP/3 server; one that has ended already may say so by throwing. */
export function endSession(session: WebTransportSession): void {
  try {
    session.close();
  } catch {
    // closed already
  }
}

/** Runs what may call a user's listener: what it throws is raised as from any event, not as the rejection of a promise nobody knows. */
function outside(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    nextTick(() => {
      throw error;
    });
  }
}

function ignore(): void {}
