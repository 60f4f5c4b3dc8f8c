// Limits on handshakes: how many sessions are open, in total and per address, how many handshakes are under way, and how late the event loop is.
import type { BlockList } from "node:net";
import { clientAddressOf, proxiesOf } from "./client-address";
import type { EngineRequest } from "./host";
import { limitError, type LimitCode, type Limits } from "./limits";
import { LoopLag } from "./loop-lag";
import type { Middleware } from "./middleware";
import { Places, type Place } from "../support/places";
import { ERRORS, refuse, type Refusal } from "./verification";

/** Seconds in `Retry-After`. Official clients choose their own time; proxies and other programs read it. */
const RETRY_AFTER_SECONDS = "5";

type Done = (refusal: Refusal | null, sid: string) => void;

/** Refuses handshakes before any function of the application is called. An engine has one if one of these limits is on. */
export class Admission {
  private readonly limits: Limits;
  private readonly proxies: BlockList | null;
  private readonly engine: { readonly clientsCount: number };
  private readonly handshakes: Places;
  private readonly lag: LoopLag | null;
  /** How many sessions are open, by address. */
  private readonly countsByAddress: Map<string, number>;
  private readonly addresses: Map<object, string>;

  constructor(engine: { readonly clientsCount: number }, limits: Limits, trustedProxies: readonly string[] | undefined) {
    this.engine = engine;
    this.limits = limits;
    this.proxies = proxiesOf(trustedProxies);
    this.handshakes = new Places(limits.pendingHandshakes);
    this.lag = limits.loopLagMs === Infinity ? null : new LoopLag();
    this.countsByAddress = new Map();
    this.addresses = new Map();
  }

  /** @returns null if none of the limits is on */
  static from(engine: { readonly clientsCount: number }, limits: Limits, trustedProxies: readonly string[] | undefined): Admission | null {
    const { connections, connectionsPerAddress, pendingHandshakes, loopLagMs } = limits;
    const isOff = Math.min(connections, connectionsPerAddress, pendingHandshakes, loopLagMs) === Infinity;
    return isOff ? null : new Admission(engine, limits, trustedProxies);
  }

  /**
   * Runs the checks of a handshake within the limits.
   * @param check  runs them; must call its argument once, also when the peer has left meanwhile
   */
  run(request: EngineRequest, done: Done, check: (checked: Done) => void): void {
    const refusal = this.refusalFor(request);
    if (refusal !== null) return done(refusal, "");
    const place = this.handshakes.take();
    if (place === null) return done(this.tooManyHandshakes, "");
    check((reason, sid) => {
      this.handshakes.release(place);
      done(reason ?? this.refusalFor(request), sid); // again: other sessions were opened meanwhile
    });
  }

  /**
   * Counts the middlewares of the application as a handshake under way. One that answers the request itself, and doesn't call `next`, is done when the
   * response is.
   * @returns `enter` runs before them; `leave` is called in place of `done`, after the last
   */
  middlewareGate(done: (error: unknown) => void): { enter: Middleware; leave: (error: unknown) => void } {
    let place: Place | null = null;
    const release = (): void => {
      if (place !== null) this.handshakes.release(place);
    };
    const enter: Middleware = (_request, response, next) => {
      place = this.handshakes.take();
      if (place === null) return next(new HandshakeRefusal(this.tooManyHandshakes));
      response.once("finish", release);
      next();
    };
    const leave = (error: unknown): void => {
      release();
      done(error);
    };
    return { enter, leave };
  }

  private get tooManyHandshakes(): Refusal {
    const { limit, count } = this.handshakes;
    return refusalOf(503, "Too many handshakes", "RC_ERR_PENDING_HANDSHAKES", "handshakes under way", limit, count + 1);
  }

  /** @param request  null for WebTransport, whose address isn't known @returns null if the session may be opened */
  refusalFor(request: EngineRequest | null): Refusal | null {
    const { connections, connectionsPerAddress, loopLagMs } = this.limits;
    const { clientsCount } = this.engine;
    if (clientsCount >= connections) {
      return refusalOf(503, "Too many connections", "RC_ERR_CONNECTIONS", "open connections", connections, clientsCount + 1);
    }
    if (this.lag !== null) {
      const { ms } = this.lag;
      if (ms > loopLagMs)
        return refusalOf(503, "Server is busy", "RC_ERR_LOOP_LAG", "milliseconds that the event loop is late", loopLagMs, Math.round(ms));
    }
    if (connectionsPerAddress === Infinity) return null;
    const address = this.addressOf(request);
    const count = address === null ? 0 : (this.countsByAddress.get(address) ?? 0);
    if (count < connectionsPerAddress) return null;
    const what = "open connections of one address";
    return refusalOf(
      429,
      "Too many connections from this address",
      "RC_ERR_CONNECTIONS_PER_ADDRESS",
      what,
      connectionsPerAddress,
      count + 1,
    );
  }

  /** A session was opened. */
  onOpen(session: object, request: EngineRequest | null): void {
    if (this.limits.connectionsPerAddress === Infinity) return;
    const address = this.addressOf(request);
    if (address === null) return;
    this.addresses.set(session, address);
    this.countsByAddress.set(address, (this.countsByAddress.get(address) ?? 0) + 1);
  }

  /** A session has ended. */
  onEnd(session: object): void {
    const address = this.addresses.get(session);
    if (address === undefined) return;
    this.addresses.delete(session);
    const count = this.countsByAddress.get(address)! - 1;
    if (count === 0) this.countsByAddress.delete(address);
    else this.countsByAddress.set(address, count);
  }

  /** Sizes of the tables. */
  get sizes(): { addresses: number; handshakes: number } {
    return { addresses: this.countsByAddress.size, handshakes: this.handshakes.count };
  }

  private addressOf(request: EngineRequest | null): string | null {
    return request === null ? null : clientAddressOf(request, this.proxies, this.limits.ipv6PrefixBits);
  }
}

/** What `enter` passes to `next`. */
export class HandshakeRefusal {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    this.refusal = refusal;
  }
}

/** @param error  what a middleware of the engine gave to `next` */
export function refusalOfMiddleware(error: unknown): Refusal {
  return error instanceof HandshakeRefusal ? error.refusal : refuse(ERRORS.BAD_REQUEST, { name: "MIDDLEWARE_FAILURE", error });
}

function refusalOf(status: 429 | 503, message: string, code: LimitCode, what: string, limit: number, met: number): Refusal {
  const context = { name: code.slice("RC_ERR_".length), error: limitError(code, what, limit, met) };
  return { code: ERRORS.BAD_REQUEST, context, message, status, headers: { "Retry-After": RETRY_AFTER_SECONDS } };
}
