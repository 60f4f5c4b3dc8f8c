import type { EnginePacket } from "../protocol/engine-packet";
import { FrameDecoder } from "../protocol/webtransport-frame";
import { Deadline } from "../support/deadline";
import { WebTransportTransport, type WebTransportSession, type WebTransportStream } from "./transports/webtransport";

/** What the first packet of a WebTransport session asks for. */
export type WebTransportRequest = { readonly kind: "open" } | { readonly kind: "upgrade"; readonly sid: string };

/**
 * Waits for the client's stream and its first packet, at most `timeoutMs`.
 * @returns the transport and what was asked for; null when nothing acceptable came, and the session is closed then
 */
export async function awaitHandshake(
  session: WebTransportSession,
  options: { timeoutMs: number; maxPayloadBytes: number },
): Promise<{ transport: WebTransportTransport; request: WebTransportRequest } | null> {
  const streams = session.incomingBidirectionalStreams.getReader();
  let reader: ReadableStreamDefaultReader<Uint8Array> | null = null;
  const giveUp = (): void => {
    streams.cancel().catch(ignore);
    reader?.cancel().catch(ignore);
    try {
      session.close();
    } catch {
      // closed already
    }
  };
  const deadline = new Deadline(giveUp, null);
  deadline.start(options.timeoutMs);
  session.closed.then(giveUp, giveUp);
  try {
    const { done, value: stream } = await streams.read();
    if (!done) {
      reader = stream.readable.getReader();
      const handshake = await readFirst(session, stream, reader, options.maxPayloadBytes);
      if (handshake !== null) return handshake;
    }
  } catch {
    // the session or its stream failed: nobody is left to answer
  } finally {
    deadline.cancel();
  }
  giveUp();
  return null;
}

async function readFirst(
  session: WebTransportSession,
  stream: WebTransportStream,
  reader: ReadableStreamDefaultReader<Uint8Array>,
  maxPayloadBytes: number,
): Promise<{ transport: WebTransportTransport; request: WebTransportRequest } | null> {
  const decoder = new FrameDecoder(maxPayloadBytes);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return null;
    const [first, ...rest] = decoder.decode(value);
    if (first === undefined) continue;
    const request = requestOf(first);
    // A client waits for the answer before it sends more.
    if (request === null || rest.length > 0) return null;
    return { transport: new WebTransportTransport(session, stream, reader, decoder), request };
  }
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
