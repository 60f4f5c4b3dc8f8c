// Serves requests and WebSockets of this process' sessions that arrived at other processes. The other half is `carrier.ts`.
import { CarriedExchange } from "../../engine/hosts/carried/exchange";
import { CarriedWire } from "../../engine/hosts/carried/wire";
import type { BaseServer } from "../../engine/engine";
import { tieExchange } from "../../engine/host";
import { Session } from "../../engine/session";
import type { PollingTransport } from "../../engine/transports/polling";
import { WebSocketTransport } from "../../engine/transports/websocket";
import { ignore } from "../../support/ignore";
import { ERRORS, refusalResponse, refuse, revisionOf, supportsBinary, verify } from "../../engine/verification";
import { decodeMsgpack } from "../../protocol/msgpack-reader";
import { drainOne } from "../../server/http/drain";
import type { ServerId } from "../messages";
import { type CarryFrame, type CarryType, readJson, splitHead } from "./carry-frame";
import type { CarrierPort } from "./carrier";

const UNKNOWN = refuse(ERRORS.UNKNOWN_SID, {});

/** The engine of this process that has a session; any if none has it; undefined while there is no engine. */
export type EngineOf = (sid: string) => BaseServer | undefined;

/** What a carrier has sent, and has not ended. */
type Carried = { readonly session: Session | null } & ({ readonly exchange: CarriedExchange } | { readonly wire: CarriedWire });

/** The response to a poll, until its carrier says that it was passed on. */
interface Answered {
  readonly sender: ServerId;
  readonly session: Session;
}

/** A poll that is answered by this has no packets. */
const NOOP = "6";
const OPTIONS_DEPTH_MAX = 100;

export class Owner {
  private readonly port: Pick<CarrierPort, "send">;
  private readonly engineOf: EngineOf;
  /** Whether others have carried anything for this process. */
  hasCarried = false;
  /** By carrier, and the id that it gave. */
  private readonly byCarrier = new Map<ServerId, Map<number, Carried>>();
  /** By carrier and id, the oldest first. */
  private readonly answered = new Map<string, Answered>();

  constructor(port: Pick<CarrierPort, "send">, engineOf: EngineOf) {
    this.port = port;
    this.engineOf = engineOf;
  }

  get size(): number {
    let { size } = this.answered;
    for (const { size: carried } of this.byCarrier.values()) size += carried;
    return size;
  }

  /** A frame of a carrier. */
  onFrame(frame: CarryFrame): void {
    const { type, sender, id, payload } = frame;
    if (type === "request") return this.onRequest(frame);
    if (type === "open") return this.onOpen(frame);
    const carried = this.byCarrier.get(sender)?.get(id);
    if (carried === undefined)
      return type === "taken" || type === "gone" ? this.onResponse(`${sender} ${id}`, type === "taken") : undefined;
    if (type === "gone") return this.remove(sender, id, () => onCarrierGone(carried));
    if ("exchange" in carried) return type === "release" ? carried.session?.transport.releasePoll() : undefined;
    const { wire, session } = carried;
    const { listener } = wire;
    switch (type) {
      case "text":
        listener?.onWireBytes();
        return listener?.onWireText(payload.toString());
      case "binary":
        listener?.onWireBytes();
        return listener?.onWireBinary(payload);
      case "taken":
        return payload.length === 8 ? wire.onTaken(payload.readDoubleBE(0)) : undefined;
      case "close": {
        const { code, reason } = readJson(payload) ?? {};
        return typeof code === "number" && typeof reason === "string" ? listener?.onWireCloseFrame(code, reason) : undefined;
      }
      case "move":
        return drainOne(session!, readOptions(payload));
      default: // meant for a carrier
    }
  }

  /** This process is about to end: what is carried ends with its session. */
  close(): void {
    for (const all of [...this.byCarrier.values()]) for (const { session } of [...all.values()]) session?.close(true);
  }

  /** A carrier is gone, and with it the connections that it had. */
  onNodeGone(uid: ServerId): void {
    const carried = this.byCarrier.get(uid);
    this.byCarrier.delete(uid);
    for (const each of carried?.values() ?? []) onCarrierGone(each);
    for (const [key, { sender }] of this.answered) if (sender === uid) this.onResponse(key, false);
  }

  private onRequest({ sender, id, payload }: CarryFrame): void {
    const parts = splitHead(payload);
    if (parts === null) return this.tell(sender, "cut", id);
    const { method, url, headers, remoteAddress } = parts.head;
    if (typeof method !== "string" || typeof url !== "string" || !isTexts(headers)) return this.tell(sender, "cut", id);
    const given = { method, url, headers, remoteAddress: typeof remoteAddress === "string" ? remoteAddress : "", body: parts.body };
    let session: Session | null = null;
    const exchange: CarriedExchange = new CarriedExchange(given, {
      respond: (status, responseHeaders, body) => {
        this.remove(sender, id, ignore);
        if (session !== null && method === "GET" && status === 200 && body !== NOOP) this.addAnswered(sender, id, session);
        this.tell(sender, "response", id, body, { status, headers: responseHeaders });
      },
      destroy: () => this.remove(sender, id, () => this.tell(sender, "cut", id)),
    });
    const engine = this.engineOf(exchange.request._query["sid"] ?? "");
    if (engine === undefined) return this.tell(sender, "cut", id);
    const found = verify(exchange.request, false, engine.opts.transports, (sid) => sessionOf(engine, sid));
    if (found instanceof Session) session = found;
    this.add(sender, id, { exchange, session });
    tieExchange(exchange);
    if (found instanceof Session) return (found.transport as PollingTransport).onRequest(exchange.request);
    if (engine.latePosts.answer(exchange)) return;
    const { status, headers: own, body } = refusalResponse(found === null || found === "foreign" ? UNKNOWN : found);
    exchange.respond(status, own, body);
  }

  private onOpen({ sender, id, payload }: CarryFrame): void {
    const { sid, query: given } = readJson(payload) ?? {};
    const query = isTexts(given) ? given : {};
    const engine = typeof sid === "string" ? this.engineOf(sid) : undefined;
    const session = engine === undefined ? undefined : sessionOf(engine, sid as string);
    if (session === undefined || session.protocol !== revisionOf(query)) return this.tell(sender, "gone", id);
    const wire = new CarriedWire({
      send: (message) => this.tell(sender, typeof message === "string" ? "text" : "binary", id, message),
      close: (status) => this.remove(sender, id, () => this.tell(sender, "close", id, JSON.stringify(status ?? {}))),
      terminate: () => this.remove(sender, id, () => this.tell(sender, "cut", id)),
      pauseInput: () => this.tell(sender, "pause", id),
      resumeInput: () => this.tell(sender, "resume", id),
    });
    this.add(sender, id, { wire, session });
    session.maybeUpgrade(new WebSocketTransport(session.protocol, supportsBinary(query), wire));
  }

  private add(sender: ServerId, id: number, carried: Carried): void {
    this.hasCarried = true;
    let all = this.byCarrier.get(sender);
    if (all === undefined) this.byCarrier.set(sender, (all = new Map()));
    all.set(id, carried);
  }

  private addAnswered(sender: ServerId, id: number, session: Session): void {
    this.answered.set(`${sender} ${id}`, { sender, session });
    const [key, oldest] = this.answered.entries().next().value!;
    if (oldest.session.readyState === "closed") this.answered.delete(key); // the carrier's word may have been lost
  }

  private onResponse(key: string, hasArrived: boolean): void {
    const answered = this.answered.get(key);
    if (answered === undefined) return;
    this.answered.delete(key);
    if (!hasArrived) onResponseLost(answered);
  }

  /** Forgets what a carrier has sent, if it is known, and then acts. */
  private remove(sender: ServerId, id: number, act: () => void): void {
    const all = this.byCarrier.get(sender);
    if (all?.delete(id) === true && all.size === 0) this.byCarrier.delete(sender);
    act();
  }

  /** A carrier that isn't reached has lost its connections, or will say so when it returns. */
  private tell(to: ServerId, type: CarryType, id: number, payload?: string | Buffer | null, head?: object): void {
    this.port.send(to, type, id, payload, head).catch(() => {
      const carried = this.byCarrier.get(to)?.get(id);
      if (carried === undefined) return this.onResponse(`${to} ${id}`, false);
      this.remove(to, id, () => onCarrierGone(carried));
    });
  }
}

/** What it had is gone, too. */
function onCarrierGone(carried: Carried): void {
  if ("exchange" in carried) carried.exchange.onPeerGone();
  else carried.wire.onGone();
}

/**
 * A client whose packets are lost has to notice it: it connects again, and recovers what it missed. That it polls again says nothing: a proxy
 * may have repeated the poll.
 */
function onResponseLost({ session }: Answered): void {
  if (session.readyState !== "closed") session.onTransportError("poll response lost");
}

/** Only own properties are sessions (ENG-6). */
function sessionOf(engine: BaseServer, sid: string): Session | undefined {
  return Object.hasOwn(engine.clients, sid) ? engine.clients[sid] : undefined;
}

/** @returns null for anything but one value */
function readOptions(payload: Buffer): unknown {
  try {
    return decodeMsgpack(payload, OPTIONS_DEPTH_MAX);
  } catch {
    return null;
  }
}

function isTexts(value: unknown): value is Record<string, string> {
  return typeof value === "object" && value !== null && Object.values(value).every((text) => typeof text === "string");
}
