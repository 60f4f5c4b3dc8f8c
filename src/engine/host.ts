import type { IncomingMessage } from "node:http";

/** A request as the engine and its users see it: Node's, or a host's stand-in with the same members. */
export interface EngineRequest extends IncomingMessage {
  /** The parsed query string; null-prototype, the last of repeated parameters. */
  _query: Record<string, string>;
  /** The response, while one is being prepared; null afterwards. */
  res?: unknown;
  /** The WebSocket, on a WebSocket handshake. */
  websocket?: unknown;
}

export type HeaderValue = string | number | readonly string[];
export type ResponseHeaders = Record<string, HeaderValue>;

/** How reading a request body ended; `no length` where a host asks for a declared length. */
export type BodyOutcome = "complete" | "too large" | "no length" | "aborted";

/**
 * One HTTP request and the response to it, whatever server carries them.
 *
 * Contract: `respond` is called at most once and never throws, even when the peer is gone or somebody else has
 * answered; `onClose` is called once, when the connection ends before the response was finished.
 */
export interface Exchange {
  readonly request: EngineRequest;
  readonly method: string;
  /** True when the head of the response went out already (an application's listener answered). */
  readonly isHeadSent: boolean;
  /** True when the peer has left. */
  readonly isGone: boolean;
  onClose: (() => void) | null;
  /** Reads the whole body, at most `limitBytes`; `onBody` is called once. */
  readBody(limitBytes: number, onBody: (outcome: BodyOutcome, body: Buffer) => void): void;
  respond(status: number, headers: ResponseHeaders | null, body: string | Buffer): void;
  /** Ends the connection without an answer. */
  destroy(): void;
}

/** What a WebSocket transport hears from the connection beneath it. */
export interface WireListener {
  onWireText(text: string): void;
  onWireBinary(data: Buffer): void;
  /** The end of a tick, or the system took everything: there is room for more. */
  onWireReady(): void;
  /** Everything written so far was taken by the system. */
  onWireWritten(): void;
  /** The system has not taken everything after all; `onWireWritten` follows. */
  onWireHeldUp(): void;
  onWireClose(): void;
  /** @param message  what the session is told; by default the error as text */
  onWireError(error: Error, message?: string): void;
}
