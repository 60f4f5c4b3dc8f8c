// Requests that arrived at another process, for sessions of this one. The other half is in `cluster/carry/`.
import type { Socket as NetSocket } from "node:net";
import { nextTick } from "../../../support/tick";
import type { BodyLimits, EngineRequest, Exchange, OnBody, ResponseHeaders } from "../../host";
import { KeptRequest, requestOf } from "../../request";

const EMPTY = Buffer.alloc(0);

/** A request as the process tells it that has the connection. Its headers are those that an engine reads. */
export interface CarriedRequest {
  readonly method: string;
  /** The request target, with its query. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly remoteAddress: string;
  readonly body: Buffer;
}

/** The way back to the process that has the connection. */
export interface ResponsePort {
  respond(status: number, headers: ResponseHeaders | null, body: string | Buffer): void;
  /** Destroys the connection without an answer. */
  destroy(): void;
}

/** One carried request and its response. */
export class CarriedExchange implements Exchange {
  readonly request: EngineRequest;
  readonly method: string;
  readonly isHeadSent = false;
  readonly untakenBytes = 0;
  isGone = false;
  onClose: (() => void) | null = null;
  private body: Buffer | null;
  private port: ResponsePort | null;

  constructor({ method, url, headers, remoteAddress, body }: CarriedRequest, port: ResponsePort) {
    const socket = { remoteAddress, destroyed: false, encrypted: false } as unknown as NetSocket;
    const rawHeaders = Object.entries(headers).flat();
    this.request = requestOf(new KeptRequest({ url, socket, httpVersion: "1.1", rawHeaders, headers }));
    this.request.method = method;
    this.method = method;
    this.body = body;
    this.port = port;
  }

  get heldInputBytes(): number {
    return this.body === null ? 0 : this.body.length;
  }

  readBody(limits: BodyLimits, onBody: OnBody): void {
    const { body } = this;
    this.body = null;
    if (body !== null && body.length > limits.bytes) return onBody("too large", EMPTY, body.length);
    nextTick(() => {
      if (this.port !== null) onBody(body === null ? "aborted" : "complete", body ?? EMPTY, 0);
    });
  }

  respond(status: number, headers: ResponseHeaders | null, body: string | Buffer): boolean {
    this.end()?.respond(status, headers, body);
    return true;
  }

  refuse(status: number, headers: ResponseHeaders | null, body: string | Buffer): void {
    this.respond(status, headers, body);
  }

  /** The process that has the connection limits how long the peer may take. */
  cutUnlessTaken(): void {}

  destroy(): void {
    this.end()?.destroy();
  }

  /** The peer has left, or the process that has its connection. */
  onPeerGone(): void {
    this.isGone = true;
    const listener = this.onClose;
    if (this.end() !== null) listener?.();
  }

  private end(): ResponsePort | null {
    const { port } = this;
    this.port = null;
    this.body = null;
    this.onClose = null;
    return port;
  }
}
