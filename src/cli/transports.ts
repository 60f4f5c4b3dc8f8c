// What brings the packets of a command's client to the server: a WebSocket, or long-polling.
import { Agent, request as requestHttp } from "node:http";
import { Agent as SecureAgent, request as requestHttps } from "node:https";
import { WebSocket } from "ws";
import { handshakeOf } from "./handshake";
import { engineUrl } from "./http";

const MAX_PAYLOAD_BYTES = 100 * 1024 * 1024;
/** What is sent last may take so long, before the connection is cut. */
const CLOSING_MS = 1_000;
const SEPARATOR = "\u001e";

/** Where a client connects, and how. */
export interface TransportOptions {
  /** Of the server: its origin and query are used. */
  readonly url: URL;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly insecure: boolean;
  readonly timeoutMs: number;
}

/** Gets what arrives. `onClose` may be called several times. */
export interface TransportListener {
  /** An Engine.IO packet: a text with its type, or bytes. */
  onPacket(packet: string | Buffer): void;
  onClose(reason: string): void;
}

export interface Transport {
  /** Engine.IO packets: texts with their type, or bytes of a message. */
  send(packets: readonly (string | Buffer)[]): void;
  /** @returns resolves when what was sent is on its way and the connection ended, at the latest after one second */
  close(): Promise<void>;
}

export class WebSocketTransport implements Transport {
  private readonly socket: WebSocket;

  constructor({ url, path, headers, insecure, timeoutMs }: TransportOptions, listener: TransportListener) {
    const target = engineUrl(url, path, { EIO: "4", transport: "websocket" });
    const settings = { headers, rejectUnauthorized: !insecure, handshakeTimeout: timeoutMs, maxPayload: MAX_PAYLOAD_BYTES };
    this.socket = new WebSocket(target, settings);
    this.socket.on("error", (error) => listener.onClose(error.message));
    this.socket.on("close", (code, reason) => listener.onClose(`the connection was closed with ${code} ${reason.toString()}`.trim()));
    this.socket.on("message", (data, isBinary) => listener.onPacket(isBinary ? (data as Buffer) : (data as Buffer).toString()));
  }

  send(packets: readonly (string | Buffer)[]): void {
    if (this.socket.readyState === WebSocket.OPEN) for (const packet of packets) this.socket.send(packet);
  }

  close(): Promise<void> {
    if (this.socket.readyState === WebSocket.CLOSED) return Promise.resolve();
    this.socket.close();
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.socket.terminate(), CLOSING_MS);
      this.socket.once("close", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

/**
 * One GET waits at a time; POSTs carry what was sent meanwhile, each as much as the server takes.
 *
 *     opening --handshake--> open --close, failure--> closed
 */
export class PollingTransport implements Transport {
  private readonly options: TransportOptions;
  private readonly listener: TransportListener;
  private readonly agent: Agent;
  private sid: string | null = null;
  private maxPayload = Infinity;
  private queue: string[] = [];
  /** Settles when the queue is empty. */
  private posting: Promise<void> | null = null;
  private isClosed = false;

  constructor(options: TransportOptions, listener: TransportListener) {
    this.options = options;
    this.listener = listener;
    const settings = { keepAlive: true, maxSockets: 2 };
    this.agent =
      options.url.protocol === "https:" ? new SecureAgent({ ...settings, rejectUnauthorized: !options.insecure }) : new Agent(settings);
    void this.poll();
  }

  send(packets: readonly (string | Buffer)[]): void {
    if (this.isClosed || this.sid === null) return;
    for (const packet of packets) this.queue.push(typeof packet === "string" ? packet : `b${packet.toString("base64")}`);
    this.posting ??= this.post();
  }

  async close(): Promise<void> {
    this.send(["1"]);
    this.isClosed = true;
    if (this.posting !== null) {
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([this.posting, new Promise((resolve) => (timer = setTimeout(resolve, CLOSING_MS)))]);
      clearTimeout(timer);
    }
    this.agent.destroy();
  }

  /** The heartbeat of the client ends a GET that waits too long. */
  private async poll(): Promise<void> {
    try {
      while (!this.isClosed) {
        const body = await this.request("GET");
        for (const part of body.split(SEPARATOR)) {
          if (part === "1") return this.fail("closed by the server");
          if (part.startsWith("0")) {
            const handshake = handshakeOf(part.slice(1));
            this.sid = handshake?.sid ?? null;
            this.maxPayload = handshake?.maxPayload ?? Infinity;
          }
          this.listener.onPacket(part.startsWith("b") ? Buffer.from(part.slice(1), "base64") : part);
        }
      }
    } catch (error) {
      this.fail((error as Error).message);
    }
  }

  private async post(): Promise<void> {
    try {
      while (this.queue.length > 0) await this.request("POST", this.nextBody());
    } catch (error) {
      this.fail((error as Error).message);
    } finally {
      this.posting = null;
    }
  }

  /** As many packets as the server takes at a time, and one at least. */
  private nextBody(): string {
    let count = 0;
    for (let bytes = -1; count < this.queue.length; count++) {
      bytes += 1 + Buffer.byteLength(this.queue[count]);
      if (count > 0 && bytes > this.maxPayload) break;
    }
    return this.queue.splice(0, count).join(SEPARATOR);
  }

  private fail(reason: string): void {
    this.queue = [];
    if (this.isClosed) return;
    this.isClosed = true;
    this.listener.onClose(reason);
  }

  private request(method: "GET" | "POST", body?: string): Promise<string> {
    const { url, path, headers, timeoutMs } = this.options;
    const target = engineUrl(url, path, { EIO: "4", transport: "polling", ...(this.sid === null ? {} : { sid: this.sid }) });
    const send = target.protocol === "https:" ? requestHttps : requestHttp;
    const length = body === undefined ? {} : { "content-type": "text/plain;charset=UTF-8", "content-length": Buffer.byteLength(body) };
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const fail = (error: Error): void => {
        clearTimeout(timer);
        reject(error);
        outgoing.destroy();
      };
      const outgoing = send(target, { method, agent: this.agent, headers: { ...headers, ...length } }, (response) => {
        const parts: Buffer[] = [];
        let bytes = 0;
        response.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MAX_PAYLOAD_BYTES) fail(new Error(`a response has more than ${MAX_PAYLOAD_BYTES} bytes`));
          else parts.push(chunk);
        });
        response.on("error", fail);
        response.on("end", () => {
          clearTimeout(timer);
          const text = Buffer.concat(parts).toString();
          if (response.statusCode === 200) resolve(text);
          else reject(new Error(`${response.statusCode} ${text.slice(0, 100)}`.trim()));
        });
      });
      if (method === "POST") timer = setTimeout(() => fail(new Error(`no response to a POST within ${timeoutMs} ms`)), timeoutMs);
      outgoing.on("error", fail);
      outgoing.end(body);
    });
  }
}
