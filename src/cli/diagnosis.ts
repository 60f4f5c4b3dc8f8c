// The examination behind `roomcast doctor`, step by step; each step needs what the one before has found out.
import { performance } from "node:perf_hooks";
import { findingOf, type Finding, type FindingId } from "./findings";
import { handshakeIn, type Handshake } from "./handshake";
import { NoResponse, type Reply } from "./http";
import { engineErrorOf, Probe, shownBody, type DoctorOptions } from "./probe";
import { examineStickiness } from "./stickiness";

export interface Diagnosis {
  /** What is not wrong, by name. */
  readonly facts: Record<string, string>;
  readonly findings: Finding[];
}

/** Beyond the ping interval: a ping that is a little late is no finding. */
const SLACK_MS = 2_000;
/** The default ends here, as `--wait` does: a server may have no pings, practically. */
const LONGEST_WATCH_MS = 3_600_000;
/** The largest body that is tried. */
const MAX_TRIED_BYTES = 1_100_000;
const ENGINE_ERRORS: Readonly<Record<number, FindingId>> = { 0: "query", 3: "query", 4: "forbidden", 5: "revision" };

/** @param progress  is told what happens at the moment */
export async function diagnose(options: DoctorOptions, progress: (text: string) => void): Promise<Diagnosis> {
  const examination = new Examination(options, progress);
  await examination.run();
  return { facts: examination.facts, findings: examination.findings };
}

class Examination {
  readonly facts: Record<string, string> = {};
  readonly findings: Finding[] = [];
  private readonly options: DoctorOptions;
  private readonly probe: Probe;
  private readonly progress: (text: string) => void;

  constructor(options: DoctorOptions, progress: (text: string) => void) {
    this.options = options;
    this.probe = new Probe(options);
    this.progress = progress;
  }

  async run(): Promise<void> {
    const handshake = await this.step("handshake over long-polling", () => this.handshake());
    if (handshake === null) return;
    await this.probe.leave(handshake);
    this.facts["transports"] = ["polling", ...handshake.upgrades].join(", ");
    this.describe(handshake);
    const found = this.found.bind(this);
    const isSticky = await this.step("requests of one session", () => examineStickiness(this.probe, found, this.facts));
    if (isSticky !== true) return;
    if (this.options.revision === 4) await this.step("large body", () => this.largeBody(handshake));
    const takesWebSocket = await this.step("WebSocket", () => this.webSocket(handshake));
    await this.watch(handshake, { polling: true, webSocket: takesWebSocket === true });
  }

  /** @returns null when a request failed where earlier ones have passed: a finding */
  private async step<T>(name: string, work: () => Promise<T>): Promise<T | null> {
    this.progress(name);
    try {
      return await work();
    } catch (error) {
      this.found("interrupted", `${name}: ${reasonOf(error)}`);
      return null;
    }
  }

  private found(id: FindingId, seen: string, values?: Record<string, string>): void {
    if (!this.findings.some((finding) => finding.id === id)) this.findings.push(findingOf(id, seen, values));
  }

  private describe({ pingInterval, pingTimeout, maxPayload }: Handshake): void {
    this.facts["ping"] = `every ${pingInterval} ms, time-out ${pingTimeout} ms`;
    if (maxPayload !== undefined) this.facts["largest"] = `${maxPayload} bytes per message`;
  }

  private async handshake(): Promise<Handshake | null> {
    let reply: Reply;
    try {
      reply = await this.probe.send({});
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      const { url } = this.options;
      if (code === "EPROTO" || code === "ERR_SSL_WRONG_VERSION_NUMBER") {
        this.found("plaintext", `${url.origin}: the first bytes are not of TLS`, { PLAIN: JSON.stringify(`http://${url.host}`) });
        return null;
      }
      const isCertificate = /CERT|SELF_SIGNED|UNABLE_TO_|ALTNAME/.test(code);
      if (error instanceof NoResponse) this.found("path", `GET ${this.options.path}: ${error.message}`);
      else this.found(isCertificate ? "certificate" : "unreachable", reasonOf(error));
      return null;
    }
    const server = [reply.headers.server, reply.headers.via].filter(Boolean).join(", ");
    if (server !== "") this.facts["server"] = server;
    const handshake = handshakeIn(reply.body);
    if (reply.status === 200 && handshake !== null) {
      this.facts["handshake"] = `${Math.round(reply.ms)} ms`;
      this.checkCors(reply);
      return handshake;
    }
    if (reply.status === 400 && /Transport unknown/.test(reply.body) && (await this.isWebSocketAlone())) return null;
    this.explainRefusal(reply);
    return null;
  }

  private explainRefusal({ status, headers, body }: Reply): void {
    const { url } = this.options;
    const answered = `${status} to GET ${this.options.path}`;
    const code = engineErrorOf(body);
    if (status >= 300 && status < 400) {
      const target = headers.location ?? "";
      return this.found("redirect", `${answered}: ${target}`, { TARGET: JSON.stringify(originOf(target, url)) });
    }
    if (code !== null && ENGINE_ERRORS[code] !== undefined) return this.found(ENGINE_ERRORS[code], `${answered}: ${body}`);
    if (code !== null) return this.found("protocol", `${answered}: ${body}`);
    if ([502, 503, 504].includes(status)) return this.found("bad-gateway", `${answered}: ${shownBody(body)}`);
    if (status === 404 || status === 501 || status === 200 || status === 426) return this.found("path", `${answered}: ${shownBody(body)}`);
    if (status === 401 || status === 403) return this.found("forbidden", `${answered}: ${shownBody(body)}`);
    this.found("protocol", `${answered}: ${shownBody(body)}`);
  }

  /** A server without polling: its refusal is no finding when WebSockets pass. */
  private async isWebSocketAlone(): Promise<boolean> {
    const opened = await this.probe.openWebSocket();
    if (typeof opened === "string") return false;
    opened.socket.terminate();
    this.facts["transports"] = "websocket";
    this.facts["skipped"] = "CORS, sticky sessions, large bodies and the namespace: they are examined over long-polling";
    this.describe(opened.handshake);
    await this.watch(opened.handshake, { polling: false, webSocket: true });
    return true;
  }

  private checkCors({ all }: Reply): void {
    const { origin, url } = this.options;
    if (origin === null || origin === url.origin) return;
    const allowed = all["access-control-allow-origin"] ?? [];
    const credentials = all["access-control-allow-credentials"] ?? [];
    const values = { ORIGIN: JSON.stringify(origin) };
    if (allowed.length > 1 || /,/.test(allowed[0] ?? ""))
      return this.found("cors-twice", `Access-Control-Allow-Origin: ${allowed.join(" and ")}`, values);
    if (allowed.length === 0) return this.found("cors", `no Access-Control-Allow-Origin for ${origin}`, values);
    if (allowed[0] === "*" && credentials[0] === "true")
      return this.found("cors-credentials", "Access-Control-Allow-Origin: * with Access-Control-Allow-Credentials: true", values);
    if (allowed[0] !== "*" && allowed[0] !== origin)
      return this.found("cors", `Access-Control-Allow-Origin: ${allowed[0]} for ${origin}`, values);
    this.facts["cors"] = `${origin} is allowed${credentials[0] === "true" ? ", with credentials" : ""}`;
  }

  private async largeBody({ maxPayload = 1_000_000 }: Handshake): Promise<void> {
    const session = await this.probe.open();
    if (session === null) return;
    const { handshake } = session;
    const bytes = Math.min(maxPayload, MAX_TRIED_BYTES) - 100;
    if (bytes >= 1_000) {
      const reply = await this.probe.send({ sid: handshake.sid }, { method: "POST", body: `6${"x".repeat(bytes)}` }).catch(() => null);
      if (reply?.status === 413 && engineErrorOf(reply.body) === null)
        this.found("body", `413 to a POST of ${bytes} bytes; the server takes ${maxPayload}`, { BYTES: "100_000" });
    }
    await this.probe.leave(handshake);
  }

  /** @returns whether WebSockets pass */
  private async webSocket(handshake: Handshake): Promise<boolean> {
    if (!handshake.upgrades.includes("websocket")) {
      this.found("websocket-off", `upgrades: ${JSON.stringify(handshake.upgrades)}`);
      return false;
    }
    const opened = await this.probe.openWebSocket();
    if (typeof opened === "string") {
      this.found("upgrade", opened);
      return false;
    }
    this.facts["websocket"] = opened.socket.extensions === "" ? "without compression" : opened.socket.extensions;
    opened.socket.terminate();
    return true;
  }

  /** Watches idle connections until behind the server's next ping. */
  private async watch(handshake: Handshake, { polling, webSocket }: { polling: boolean; webSocket: boolean }): Promise<void> {
    const waitMs = this.options.waitMs ?? Math.min(handshake.pingInterval + SLACK_MS, LONGEST_WATCH_MS);
    if (waitMs <= 0 || this.options.revision !== 4) return;
    await this.step(`watching idle connections for ${Math.ceil(waitMs / 1000)} s`, () =>
      Promise.all([polling ? this.idlePoll(waitMs) : null, webSocket ? this.idleWebSocket(waitMs) : null]),
    );
  }

  /** A poll that nothing answers before the server's ping. */
  private async idlePoll(waitMs: number): Promise<void> {
    const session = await this.probe.open();
    if (session === null) return;
    const { handshake } = session;
    const startedAt = performance.now();
    const reply = await this.probe.send({ sid: handshake.sid }, {}, waitMs).catch((error: Error) => error);
    const ms = performance.now() - startedAt;
    const values = secondsAbove(handshake);
    if (reply instanceof Error) {
      if (ms < waitMs - 100) this.found("idle-poll", `a waiting poll is cut after ${inSeconds(ms)}: ${reply.message}`, values);
    } else if (reply.status >= 500 || reply.status === 408) {
      this.found("idle-poll", `${reply.status} to a waiting poll after ${inSeconds(ms)}`, values);
    }
    await this.probe.leave(handshake);
  }

  /** A WebSocket on which nothing happens but the server's pings, which are answered. It joins the namespace: who does not is cut by the server. */
  private async idleWebSocket(waitMs: number): Promise<void> {
    const opened = await this.probe.openWebSocket();
    if (typeof opened === "string") return;
    const { socket, handshake } = opened;
    const startedAt = performance.now();
    const code = await new Promise<number | null>((resolve) => {
      const end = (closeCode: number | null): void => {
        clearTimeout(timer);
        resolve(closeCode);
      };
      const timer = setTimeout(() => end(null), waitMs);
      socket.on("message", (data) => {
        const packet = (data as Buffer).toString();
        if (packet === "2") socket.send("3");
        if (packet.startsWith("44")) end(null); // refused: the server may cut what has not joined
      });
      socket.removeAllListeners("close").on("close", end);
      socket.send(this.probe.connectPacket);
    });
    const ms = performance.now() - startedAt;
    socket.terminate();
    if (code !== null) this.found("idle-websocket", `an idle WebSocket is cut after ${inSeconds(ms)} (${code})`, secondsAbove(handshake));
  }
}

function originOf(target: string, base: URL): string {
  try {
    return new URL(target, base).origin;
  } catch {
    return target;
  }
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return [code, message].filter(Boolean).join(": ");
}

function secondsAbove({ pingInterval, pingTimeout }: Handshake): Record<string, string> {
  return { SECONDS: String(Math.ceil((pingInterval + pingTimeout) / 1000) + 5) };
}

function inSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
