import type { EnginePacket } from "../protocol/engine-packet";
import { FrameDecoder } from "../protocol/webtransport-frame";
import { Deadline } from "../support/deadline";
import { endSession, type OpenedStream, type WebTransportSession, type WebTransportStream } from "./transports/webtransport";

/** What the first packet of a WebTransport session asks for. */
export type WebTransportRequest = { readonly kind: "open" } | { readonly kind: "upgrade"; readonly sid: string };

/**
 * The time between a WebTransport session and its first packet.
 *
 *     waiting --stream, first packet--> opened
 *     waiting --time-out, session closed, anything else, cancel()--> failed: reader released, session closed
 */
export class WebTransportHandshake {
  private readonly session: WebTransportSession;
  private readonly decoder: FrameDecoder;
  private readonly timeout: Deadline<WebTransportHandshake>;
  private readonly streams: ReadableStreamDefaultReader<WebTransportStream>;
  private reader: ReadableStreamDefaultReader<Uint8Array> | null;
  private state: "waiting" | "opened" | "failed";

  constructor(session: WebTransportSession, options: { timeoutMs: number; maxPayloadBytes: number }) {
    this.session = session;
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
   * @returns the stream and what was asked for; null when nothing acceptable came, and the session is closed then
   */
  async run(): Promise<{ stream: OpenedStream; request: WebTransportRequest } | null> {
    try {
      const { value: stream } = await this.streams.read();
      if (stream !== undefined && this.isWaiting) return await this.readFirst(stream);
    } catch {
      // the session or its stream failed: nobody is left to answer
    } finally {
      this.cancel(); // unless it was opened
    }
    return null;
  }

  /** Gives up, unless it is over. */
  cancel(): void {
    if (this.state !== "waiting") return;
    this.state = "failed";
    this.timeout.cancel();
    release(this.reader);
    release(this.streams);
    endSession(this.session);
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
      if (first === undefined) continue;
      const request = requestOf(first);
      if (request === null) return null;
      this.state = "opened";
      this.timeout.cancel();
      return { stream: { session, reader, writable: stream.writable, decoder, early }, request };
    }
  }
}

function cancel(handshake: WebTransportHandshake): void {
  handshake.cancel();
}

/** Lets a stream go: what comes is discarded, and nobody holds it. */
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

function ignore(): void {}
