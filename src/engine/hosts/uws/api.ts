// Types of uWebSockets.js, version 20, as far as they are used. The library itself comes from the program, with its app.

/** A text or bytes. */
export type Bytes = string | ArrayBuffer | Uint8Array;

/** A request; may be used only while its handler runs. */
export interface UwsHttpRequest {
  getUrl(): string;
  getQuery(): string | undefined;
  getCaseSensitiveMethod(): string;
  /** Empty when there is none. */
  getHeader(lowerCaseName: string): string;
  forEach(callback: (name: string, value: string) => void): void;
  setYield(isUnhandled: boolean): unknown;
}

/** A response; may be used until it has ended or was aborted, and outside of handlers only inside `cork`. */
export interface UwsHttpResponse {
  writeStatus(status: string): this;
  writeHeader(name: string, value: string): this;
  end(body?: Bytes, closesConnection?: boolean): this;
  close(): this;
  cork(write: () => void): this;
  onAborted(listener: () => void): this;
  onData(listener: (chunk: ArrayBuffer, isLast: boolean) => void): this;
  getRemoteAddressAsText(): ArrayBuffer;
  upgrade(userData: object, key: string, protocol: string, extensions: string, context: unknown): void;
}

/** A WebSocket; may be used until its `close` event. */
export interface UwsWebSocket {
  /** 1: taken, 0: waits for the peer, 2: dropped. */
  send(message: Bytes, isBinary?: boolean, compress?: boolean): number;
  cork(write: () => void): this;
  end(code?: number, reason?: string): void;
  close(): void;
  /** Bytes that the system has not taken, without those in the cork buffer. */
  getBufferedAmount(): number;
  getUserData(): object;
  ping(): number;
  subscribe(topic: string): boolean;
  unsubscribe(topic: string): boolean;
}

/** Settings and handlers of the WebSockets of a route. */
export interface UwsBehavior {
  compression: number;
  idleTimeout: number;
  maxBackpressure: number;
  maxPayloadLength: number;
  upgrade(response: UwsHttpResponse, request: UwsHttpRequest, context: unknown): void;
  open(ws: UwsWebSocket): void;
  message(ws: UwsWebSocket, data: ArrayBuffer, isBinary: boolean): void;
  ping(ws: UwsWebSocket): void;
  drain(ws: UwsWebSocket): void;
  close(ws: UwsWebSocket, code: number, reason: ArrayBuffer): void;
}

/** An application of uWebSockets.js: the result of `uWS.App()` and `uWS.SSLApp()`. */
export interface TemplatedApp {
  get(pattern: string, handler: (response: UwsHttpResponse, request: UwsHttpRequest) => void): this;
  post(pattern: string, handler: (response: UwsHttpResponse, request: UwsHttpRequest) => void): this;
  any(pattern: string, handler: (response: UwsHttpResponse, request: UwsHttpRequest) => void): this;
  ws(pattern: string, behavior: UwsBehavior): this;
  /** Sends to all subscribers of a topic: at the end of the turn, or before the next message to a subscriber. */
  publish(topic: string, message: Bytes, isBinary?: boolean, compress?: boolean): boolean;
}
