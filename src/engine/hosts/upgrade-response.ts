import { EventEmitter } from "node:events";
import type { Duplex } from "node:stream";
import type { HeaderValue } from "../host";

/**
 * The `res` that middlewares get for an upgrade request: what they set goes into the 101 response.
 * Names are case-insensitive, and of an array each element becomes a line of its own.
 */
export class UpgradeResponse extends EventEmitter {
  statusCode: number;
  headersSent: boolean;
  writableEnded: boolean;
  finished: boolean;
  private readonly socket: Duplex;
  private readonly headersByName: Map<string, { name: string; value: HeaderValue }>;

  constructor(socket: Duplex) {
    super();
    this.statusCode = 101;
    this.headersSent = false;
    this.writableEnded = false;
    this.finished = false;
    this.socket = socket;
    this.headersByName = new Map();
    socket.once("close", () => this.emit("close"));
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

  /** Called by the engine once, before the 101; session middlewares wrap it to set their cookie. */
  writeHead(_status?: number, ..._rest: unknown[]): this {
    return this;
  }

  flushHeaders(): void {}

  write(): boolean {
    return true;
  }

  /** A middleware refuses the upgrade: the connection is cut. */
  end(): this {
    if (this.writableEnded) return this;
    this.writableEnded = this.finished = true;
    this.socket.destroy();
    this.emit("finish");
    return this;
  }

  /** What was set, under the names as they were given. @internal */
  toHeaders(): Record<string, HeaderValue> {
    return Object.fromEntries([...this.headersByName.values()].map(({ name, value }) => [name, value]));
  }
}
