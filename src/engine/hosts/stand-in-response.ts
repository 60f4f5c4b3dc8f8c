// The base class of responses for middlewares where Node has no response object: upgrade requests, and uWebSockets.js.
import { EventEmitter } from "node:events";
import { checkHeader } from "../headers";
import type { HeaderValue } from "../host";

/**
 * A `res` with the members that middlewares use (ENG-73, ENG-185). Header names are case-insensitive; each element of an array becomes a
 * header line (ENG-74).
 *
 * Events: `finish` when the response was ended, `close` when the connection is closed.
 */
export abstract class StandInResponse extends EventEmitter {
  statusCode: number;
  headersSent: boolean;
  writableEnded: boolean;
  finished: boolean;
  private readonly headersByName: Map<string, { name: string; value: HeaderValue }>;

  constructor(statusCode: number) {
    super();
    this.statusCode = statusCode;
    this.headersSent = false;
    this.writableEnded = false;
    this.finished = false;
    this.headersByName = new Map();
  }

  setHeader(name: string, value: HeaderValue): this {
    checkHeader(name, value);
    this.headersByName.set(name.toLowerCase(), { name, value });
    return this;
  }

  appendHeader(name: string, value: string | readonly string[]): this {
    const before = this.getHeader(name);
    if (before === undefined) return this.setHeader(name, value);
    return this.setHeader(name, ([] as string[]).concat(before as string, value));
  }

  getHeader(name: string): HeaderValue | undefined {
    return this.headersByName.get(name.toLowerCase())?.value;
  }

  getHeaders(): Record<string, HeaderValue> {
    return Object.fromEntries([...this.headersByName].map(([name, { value }]) => [name, value]));
  }

  getHeaderNames(): string[] {
    return [...this.headersByName.keys()];
  }

  hasHeader(name: string): boolean {
    return this.headersByName.has(name.toLowerCase());
  }

  removeHeader(name: string): void {
    this.headersByName.delete(name.toLowerCase());
  }

  flushHeaders(): void {}

  abstract writeHead(status?: number, ...rest: unknown[]): this;
  abstract write(chunk: unknown): boolean;
  abstract end(body?: unknown): this;

  /** The headers, with their names as they were set. @internal */
  toHeaders(): Record<string, HeaderValue> {
    return Object.fromEntries([...this.headersByName.values()].map(({ name, value }) => [name, value]));
  }
}
