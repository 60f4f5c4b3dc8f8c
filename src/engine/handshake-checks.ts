// The checks of a handshake, in their order (ENG-40): JSONP, origin, `allowRequest`, revision, id.
import { ask } from "../support/ask";
import { idProblemOf } from "../support/ids";
import type { EngineRequest } from "./host";
import type { ResolvedEngineOptions } from "./options";
import { handshakeOriginOf, type Origins } from "./origins";
import { ERRORS, ERROR_MESSAGES, refuse, revisionOf, type Refusal } from "./verification";

/** Called with a refusal, or with the id of the new session. */
export type OnChecked = (refusal: Refusal | null, sid: string) => void;

/** What the checks need of the engine. */
export interface HandshakePort {
  readonly origins: Origins | null;
  /** Read at each use: programs may change them. */
  opts(): Pick<ResolvedEngineOptions, "jsonp" | "allowRequest" | "allowEIO3">;
  /** Why no sessions are opened; null while they are. */
  sessionRefusal(): Refusal | null;
  /** The id of a new session; a function of the program that may fail. */
  generateId(request: EngineRequest): unknown;
  hasSession(sid: string): boolean;
  /** A function of the program has failed. */
  warn(name: string, error: unknown): void;
}

/** Checks handshakes. Each check calls `done` also when the peer has left: the handshake is over then. */
export class HandshakeChecks {
  private readonly port: HandshakePort;

  constructor(port: HandshakePort) {
    this.port = port;
  }

  /** @param isGone  whether the peer has left meanwhile */
  run(request: EngineRequest, isGone: () => boolean, done: OnChecked): void {
    const isJsonp = request._query["j"] !== undefined && request._query["transport"] === "polling";
    const servesJsonp = this.port.opts().jsonp ?? revisionOf(request._query) === 3; // ROB-193
    if (isJsonp && !servesJsonp) return done(refuse(ERRORS.BAD_REQUEST, { name: "JSONP_NOT_ENABLED" }), "");
    const { origins } = this.port;
    if (origins === null) return this.checkAllowed(request, isGone, done);
    origins.check(handshakeOriginOf(request.headers, isJsonp), (refusal) => {
      if (refusal === null && !isGone()) this.checkAllowed(request, isGone, done);
      else done(refusal, "");
    });
  }

  private checkAllowed(request: EngineRequest, isGone: () => boolean, done: OnChecked): void {
    const { allowRequest } = this.port.opts();
    if (allowRequest == null) return this.checkRevision(request, isGone, done);
    ask<[error: string | null | undefined, isAllowed: boolean]>((answer) => allowRequest(request, answer), {
      onAnswer: (error, isAllowed) => {
        if (isGone()) return done(null, "");
        if (!isAllowed) return done(refuse(ERRORS.FORBIDDEN, { message: error }, error || ERROR_MESSAGES[ERRORS.FORBIDDEN]), "");
        this.checkRevision(request, isGone, done);
      },
      onFailure: (error) => {
        this.port.warn("allowRequest", error);
        done(refuse(ERRORS.BAD_REQUEST, { name: "ALLOW_REQUEST_FAILURE", error }), "");
      },
      onLateFailure: (error) => this.port.warn("allowRequest", error),
    });
  }

  private checkRevision(request: EngineRequest, isGone: () => boolean, done: OnChecked): void {
    if (revisionOf(request._query) === 3 && !this.port.opts().allowEIO3)
      return done(refuse(ERRORS.UNSUPPORTED_PROTOCOL_VERSION, { protocol: 3 }), ""); // EIO-2
    this.generateId(request, isGone, done);
  }

  /** ENG-18 */
  private generateId(request: EngineRequest, isGone: () => boolean, done: OnChecked): void {
    const settle = (sid: unknown): void => {
      const refusal = this.port.sessionRefusal();
      if (isGone()) return done(null, "");
      if (refusal !== null) return done(refusal, "");
      const problem = idProblemOf(sid, (id) => this.port.hasSession(id));
      if (problem === null) done(null, sid as string);
      else fail(new Error(problem));
    };
    const fail = (error: unknown): void => {
      this.port.warn("generateId", error);
      done(refuse(ERRORS.BAD_REQUEST, { name: "ID_GENERATION_ERROR", error }), "");
    };
    let sid: unknown;
    try {
      sid = this.port.generateId(request);
    } catch (error) {
      return fail(error);
    }
    if (typeof sid !== "string" && typeof (sid as PromiseLike<unknown> | undefined)?.then === "function")
      (sid as PromiseLike<unknown>).then(settle, fail);
    else settle(sid);
  }
}
