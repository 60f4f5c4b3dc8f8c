// How `roomcast doctor` connects: requests and WebSockets as of a client, with the cookie that a balancer has set.
import { WebSocket } from "ws";
import { handshakeIn, handshakeOf, type Handshake } from "./handshake";
import { engineUrl, request, type Reply, type RequestSettings } from "./http";

/** What to examine. */
export interface DoctorOptions {
  readonly url: URL;
  readonly path: string;
  readonly namespace: string;
  readonly origin: string | null;
  readonly auth: unknown;
  readonly revision: number;
  /** How long idle connections are watched; null: a little longer than the ping interval. */
  readonly waitMs: number | null;
  readonly settings: RequestSettings;
}

/** A session over long-polling. */
export interface PollingSession {
  readonly handshake: Handshake;
  readonly reply: Reply;
}

/** A WebSocket that has got its handshake. */
export interface OpenWebSocket {
  readonly handshake: Handshake;
  readonly socket: WebSocket;
}

/** What is read of an answer that refuses a WebSocket; a line of it is shown. */
const REFUSAL_LENGTH = 400;
/** Attempts to end a session: without stickiness each may reach another server. */
const LEAVES = 4;

export class Probe {
  readonly options: DoctorOptions;
  /** The cookie that brings requests to their server; empty without. */
  cookie = "";

  constructor(options: DoctorOptions) {
    this.options = options;
  }

  /** The packet that joins the namespace. */
  get connectPacket(): string {
    const { namespace, auth } = this.options;
    return `40${namespace === "/" ? "" : `${namespace},`}${auth === undefined ? "" : JSON.stringify(auth)}`;
  }

  send(
    query: Record<string, string>,
    { method = "GET", body }: { method?: string; body?: string } = {},
    timeoutMs?: number,
  ): Promise<Reply> {
    const { url, path, settings, origin } = this.options;
    const headers = this.headers();
    if (origin !== null) headers["origin"] = origin;
    if (body !== undefined) headers["content-type"] = "text/plain;charset=UTF-8";
    const effective = timeoutMs === undefined ? settings : { ...settings, timeoutMs };
    const target = engineUrl(url, path, { ...this.query("polling"), ...query });
    return request(target, effective, body === undefined ? { method, headers } : { method, headers, body });
  }

  /** Opens a session, at the server that the cookie leads to. @returns null when the server gives none: a limit of it, or the refusal of a further session */
  async open(): Promise<PollingSession | null> {
    const reply = await this.send({});
    const handshake = handshakeIn(reply.body);
    return handshake === null ? null : { handshake, reply };
  }

  /** Ends a session, so that the server need not wait for its heartbeat. */
  async leave({ sid }: Handshake): Promise<void> {
    const body = this.options.revision === 4 ? "1" : "1:1";
    for (let attempt = 0; attempt < LEAVES; attempt++) {
      const reply = await this.send({ sid }, { method: "POST", body }).catch(() => null);
      if (reply === null || engineErrorOf(reply.body) !== 1) return;
    }
  }

  /** @returns what went wrong as a text */
  openWebSocket(): Promise<OpenWebSocket | string> {
    const { settings, origin, url, path } = this.options;
    const socket = new WebSocket(engineUrl(url, path, this.query("websocket")), {
      headers: this.headers(),
      rejectUnauthorized: !settings.insecure,
      handshakeTimeout: settings.timeoutMs,
      ...(origin === null ? {} : { origin }),
    });
    return new Promise((resolve) => {
      const fail = (seen: string): void => {
        clearTimeout(timer);
        resolve(seen);
        socket.terminate();
      };
      let told = (): string => "the WebSocket opens, and nothing arrives on it";
      const timer = setTimeout(() => fail(told()), settings.timeoutMs);
      socket.on("unexpected-response", (_request, response) => {
        let body = "";
        told = () => `${response.statusCode} to the upgrade request: ${shownBody(body)}`;
        response.setEncoding("utf8").on("data", (chunk: string) => {
          body += chunk.slice(0, REFUSAL_LENGTH - body.length);
          if (body.length >= REFUSAL_LENGTH) fail(told());
        });
        response.on("close", () => fail(told()));
      });
      socket.on("error", (error) => fail(`the WebSocket fails: ${error.message}`));
      socket.on("close", (code) => fail(`the WebSocket is closed with ${code} at once`));
      socket.once("message", (data) => {
        const text = (data as Buffer).toString();
        const handshake = text.startsWith("0") ? handshakeOf(text.slice(1)) : null;
        if (handshake === null) return fail(`the WebSocket begins with ${shortened(text)}`);
        clearTimeout(timer);
        resolve({ handshake, socket });
      });
    });
  }

  private query(transport: string): Record<string, string> {
    return { EIO: String(this.options.revision), transport };
  }

  /** Those that were given, with the balancer's cookie beside the given ones. */
  private headers(): Record<string, string> {
    const { headers } = this.options.settings;
    if (this.cookie === "") return { ...headers };
    return { ...headers, cookie: [headers["cookie"], this.cookie].filter(Boolean).join("; ") };
  }
}

/** The code of an error of the engine: `{"code":1,"message":"…"}`. */
export function engineErrorOf(body: string): number | null {
  const [, code] = /^\{"code":(\d+),"message":/.exec(body) ?? [];
  return code === undefined ? null : Number(code);
}

/** What a peer has answered, as a line. */
export function shownBody(body: string): string {
  return shortened(body) || "(empty)";
}

/** A line of what a peer has sent. */
function shortened(body: string): string {
  const text = body.replace(/\s+/g, " ").trim();
  return text.length > 100 ? `${text.slice(0, 99)}…` : text;
}
