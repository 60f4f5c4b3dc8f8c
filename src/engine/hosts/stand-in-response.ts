import { EventEmitter } from "node:events";
import type { HeaderValue } from "../host";

/**
 * The `res` that middlewares get where Node has no response of its own: the members that they use.
 * Names are case-insensitive, and of an array each element becomes a line of its own.
 *
 * Events: `finish` once it was ended, `close` when the connection is gone.
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

  /** What was set, under the names as they were given. @internal */
  toHeaders(): Record<string, HeaderValue> {
    return Object.fromEntries([...this.headersByName.values()].map(({ name, value }) => [name, value]));
  }
}
