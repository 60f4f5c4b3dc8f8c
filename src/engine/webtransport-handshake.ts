// The handshake of a WebTransport session: waiting for its stream and first packet (ENG-172, ENG-173).
import type { EnginePacket } from "../protocol/engine-packet";
import { FrameDecoder } from "../protocol/webtransport-frame";
import { Deadline } from "../support/deadline";
import type { InputHolder, InputTotal } from "./totals";
import { endSession, type OpenedStream, type WebTransportSession, type WebTransportStream } from "./transports/webtransport";
import { ignore } from "../support/ignore";

/** The request in the first packet of a WebTransport session: a new session, or the upgrade of one. */
export type WebTransportRequest = { readonly kind: "open" } | { readonly kind: "upgrade"; readonly sid: string };

/**
 * Waits for the first packet of a WebTransport session.
 *
 *     waiting --stream, first packet--> opened
 *     waiting --time-out, session closed, anything else, cancel()--> failed: reader released, session closed
 */
export class WebTransportHandshake implements InputHolder {
  private readonly session: WebTransportSession;
  private readonly decoder: FrameDecoder;
  private readonly timeout: Deadline<WebTransportHandshake>;
  private readonly streams: ReadableStreamDefaultReader<WebTransportStream>;
  private reader: ReadableStreamDefaultReader<Uint8Array> | null;
  private readonly inputTotal: InputTotal;
  private state: "waiting" | "opened" | "failed";

  constructor(session: WebTransportSession, options: { timeoutMs: number; maxPayloadBytes: number; inputTotal: InputTotal }) {
    this.session = session;
    this.inputTotal = options.inputTotal;
    this.inputTotal.others.add(this);
    this.decoder = new FrameDecoder(options.maxPayloadBytes);
    this.timeout = new Deadline<WebTransportHandshake>(cancel, this);
    this.streams = session.incomingBidirectionalStreams.getReader();
    this.reader = null;
    this.state = "waiting";
    this.timeout.start(options.timeoutMs);
    const onClosed = (): void => this.cancel();
    session.closed.then(onClosed, onClosed);
  }

  /**
   * Waits for the client's stream and its first packet.
   * @returns the stream and the request; null when no valid packet came and the session was closed
   */
  async run(): Promise<{ stream: OpenedStream; request: WebTransportRequest } | null> {
    try {
      const { value: stream } = await this.streams.read();
      if (stream !== undefined && this.isWaiting) return await this.readFirst(stream);
    } catch {
      // the session or its stream failed: there is no peer to answer
    } finally {
      this.cancel(); // has no effect once it was opened
    }
    return null;
  }

  /** Ends the handshake if it is still waiting. */
  cancel(): void {
    if (this.state !== "waiting") return;
    this.state = "failed";
    this.inputTotal.others.delete(this);
    this.timeout.cancel();
    release(this.reader);
    release(this.streams);
    endSession(this.session);
  }

  get heldInputBytes(): number {
    return this.decoder.heldBytes;
  }

  endForLimit(): void {
    this.cancel();
  }

  private get isWaiting(): boolean {
    return this.state === "waiting";
  }

  private async readFirst(stream: WebTransportStream): Promise<{ stream: OpenedStream; request: WebTransportRequest } | null> {
    const { session, decoder } = this;
    const reader = (this.reader = stream.readable.getReader());
    for (;;) {
      const { done, value } = await reader.read();
      if (done || !this.isWaiting) return null;
      const [first, ...early] = decoder.decode(value);
      if (first === undefined) {
        this.inputTotal.add(value.byteLength);
        continue;
      }
      const request = requestOf(first);
      if (request === null) return null;
      this.state = "opened";
      this.inputTotal.others.delete(this);
      this.timeout.cancel();
      return { stream: { session, reader, writable: stream.writable, decoder, early }, request };
    }
  }
}

function cancel(handshake: WebTransportHandshake): void {
  handshake.cancel();
}

/** Cancels a stream and releases its lock. */
function release(reader: ReadableStreamDefaultReader<unknown> | null): void {
  if (reader === null) return;
  reader.cancel().catch(ignore);
  reader.releaseLock();
}

function requestOf(packet: EnginePacket): WebTransportRequest | null {
  if (packet.type !== "open") return null;
  if (packet.data === undefined) return { kind: "open" };
  try {
    const { sid } = JSON.parse(packet.data as string) as { sid?: unknown };
    return typeof sid === "string" ? { kind: "upgrade", sid } : null;
  } catch {
    return null;
  }
}
