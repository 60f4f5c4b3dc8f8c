// The joining of one namespace by one client: namespace look-up, session recovery, middlewares, admission.
import createDebug from "debug";
import { probe } from "../../engine/probe";
import { Session } from "../../engine/session";
import { ask, runInTurn } from "../../support/ask";
import { quoted } from "../../support/log-text";
import { nextTick } from "../../support/tick";
import { runSpanned } from "../../support/channel";
import { middlewareEnd, middlewareStart, socketConnect, socketRefuse, type MiddlewareMessage } from "../channels";
import type { RestorableSession } from "../adapter/contract";
import type { Client } from "./client";
import type { ExtendedError, Namespace, NamespaceMiddleware } from "../namespace";
import { MIDDLEWARE_FAILED, refusalOf, sendRefusal, SERVER_BUSY, type Refusal } from "./refusal";
import { Socket } from "../socket/socket";

const debug = createDebug("socket.io:client");

/** Regular expressions answer at once: their joins need no place. */
const NO_PLACE = { takenAt: 0 };

type AnyClient = Client<any, any, any>;
type AnyNamespace = Namespace<any, any, any, any>;
type AnySocket = Socket<any, any, any, any>;
type AnyMiddleware = NamespaceMiddleware<any, any, any, any>;

/**
 * The joining of one namespace by one client, from the CONNECT packet to the answer (NSP-20).
 *
 *     looking up --namespace found--> in middlewares --all passed--> passed --next tick--> done (admitted)
 *     with recovery, before the middlewares: probing (the earlier connection, if it is still open) --no pong--> restoring
 *     any --refused, or connection closed--> done
 */
export class NamespaceJoin {
  readonly name: string;
  private readonly client: AnyClient;
  private readonly auth: Record<string, unknown>;
  private state: "looking up" | "probing" | "restoring" | "in middlewares" | "passed" | "done";
  private namespace: AnyNamespace | null;
  private socket: AnySocket | null;
  private session: RestorableSession | null;

  constructor(client: AnyClient, name: string, auth: Record<string, unknown>) {
    this.name = name;
    this.client = client;
    this.auth = auth;
    this.state = "looking up";
    this.namespace = null;
    this.socket = null;
    this.session = null;
  }

  /** Finds the namespace, or has a parent namespace create it, and continues there. */
  start(): void {
    const { server } = this.client;
    if (debug.enabled) debug("%s: asks to join %s", quoted(this.client.id), quoted(this.name));
    const known = server._nsps.get(this.name);
    if (known !== undefined) return this.enter(known);
    const places = server._middlewarePlaces;
    const place = server._asksFunctions ? places.take() : NO_PLACE;
    if (place === null) return this.refuseBusy();
    server._checkNamespace(this.name, this.auth, (found) => {
      places.release(place);
      if (server._isClosing) return;
      if (found === false) return this.refuseUnknown();
      if (this.state === "done") return found._removeIfEmpty();
      this.enter(found);
    });
  }

  /** The connection was closed, or the server closes (NSP-26). A restored session is stored again. */
  cancel(): void {
    if (this.state === "done") return;
    const { socket, session } = this;
    if (session !== null) this.storeAgain(session);
    this.finish();
    socket?._cleanup();
    this.namespace?._removeIfEmpty();
  }

  private enter(namespace: AnyNamespace): void {
    this.namespace = namespace;
    namespace._pendingJoins++;
    const { pid, offset } = this.auth;
    const mayRecover =
      namespace.server._recovery !== null && typeof pid === "string" && (typeof offset === "string" || offset === undefined); // CSR-7
    if (mayRecover) this.recover(pid, offset as string);
    else this.createSocket(null);
  }

  /** Probes the earlier connection of the session, if it is open: a client often returns before the server has noticed the loss (CSR-14). */
  private recover(pid: string, offset: string): void {
    const conn = this.namespace!._socketsByPid.get(pid)?.conn as unknown;
    if (!(conn instanceof Session)) return this.restore(pid, offset);
    this.state = "probing";
    probe(conn, (isAlive) => {
      if (this.state === "done") return;
      if (isAlive)
        this.createSocket(null); // another client uses this pid
      else this.recover(pid, offset); // again, since a concurrent attempt of the same client may have restored the session meanwhile
    });
  }

  private restore(pid: string, offset: string): void {
    const { adapter } = this.namespace!;
    this.state = "restoring";
    let restored: Promise<RestorableSession | null> | RestorableSession | null;
    try {
      restored = adapter.restoreSession(pid, offset);
    } catch (error) {
      debug("the adapter failed to restore a session: %s", quoted(error));
      restored = null;
    }
    const isPromise = typeof (restored as Promise<RestorableSession> | null)?.then === "function";
    if (!isPromise) return this.createSocket(restored as RestorableSession | null);
    (restored as Promise<RestorableSession | null>).then(
      (session) => this.createSocket(session),
      (error) => {
        debug("the adapter failed to restore a session: %s", quoted(error));
        this.createSocket(null);
      },
    );
  }

  /** Creates the socket, from the restored session if there is one. */
  private createSocket(session: RestorableSession | null | undefined): void {
    const namespace = this.namespace!;
    if (this.state === "done") {
      if (session) this.storeAgain(session);
      return;
    }
    const isIdTaken = session && (namespace.sockets.has(session.sid) || namespace._preConnectSockets.has(session.sid));
    this.session = isIdTaken ? null : session || null; // CSR-14: never two sockets with one id; CSR-7: any falsy value means no session
    if (this.session !== null && debug.enabled) debug("%s: is restored with %d rooms", quoted(this.session.sid), this.session.rooms.length);
    const socket: AnySocket = new Socket(namespace, this.client, this.auth, this.session ?? undefined);
    this.socket = socket;
    namespace._preConnectSockets.set(socket.id, socket);
    if (this.session !== null) {
      void socket.join(this.session.rooms);
      if (namespace.server._recovery!.skipMiddlewares) return this.admit(); // CSR-9; in this tick, so that no packet is missed
    }
    this.state = "in middlewares";
    if (namespace._fns.length === 0) return this.pass();
    const place = namespace.server._middlewarePlaces.take();
    if (place === null) return this.refuseBusy();
    const leavePlace = (): void => namespace.server._middlewarePlaces.release(place);
    if (!middlewareStart.hasSubscribers && !middlewareEnd.hasSubscribers) return this.runMiddlewares(namespace._fns.slice(), leavePlace);
    const message: MiddlewareMessage = { socket, error: undefined, run: null };
    middlewareStart.publish(message);
    const onIdle = (error?: unknown): void => {
      message.error = error;
      middlewareEnd.publish(message);
      leavePlace();
    };
    runSpanned(message, () => this.runMiddlewares(namespace._fns.slice(), onIdle));
  }

  /**
   * Runs the middlewares of the namespace, in order. Only the first call of `next` counts (MID-10).
   * @param onIdle  called when none of them is under way any more, also when the connection was closed meanwhile (ROB-773); with the error if
   *                the client is refused
   */
  private runMiddlewares(middlewares: readonly AnyMiddleware[], onIdle: (error?: unknown) => void): void {
    const run = (middleware: AnyMiddleware, next: (error?: unknown) => void): void =>
      ask<[error?: ExtendedError]>((answer) => middleware(this.socket!, answer), {
        onAnswer: (error) => {
          if (this.state === "in middlewares") next(error);
          else onIdle();
        },
        onFailure: (error) => {
          onIdle(error);
          this.warnOfFailure(error);
          if (this.state === "in middlewares") this.refuse(MIDDLEWARE_FAILED);
        },
        onLateFailure: (error) => this.warnOfFailure(error),
      });
    runInTurn(middlewares, run, (error) => {
      onIdle(error ?? undefined);
      if (error === null) this.pass();
      else this.refuse(refusalOf(error));
    });
  }

  private refuseBusy(): void {
    (this.client.conn as Partial<Session>).server?.counts?.add("RC_ERR_PENDING_MIDDLEWARES");
    if (this.socket !== null) return this.refuse(SERVER_BUSY);
    this.finish();
    this.client._refuse(this.name, SERVER_BUSY.message as string);
  }

  /** Warns the operator. The client doesn't get the text of the error, which may be confidential (MID-9, ROB-410). */
  private warnOfFailure(error: unknown): void {
    const text = `a middleware of namespace ${quoted(this.name)} failed, the client is refused`;
    this.client.server._warnings.warn("ROOMCAST_MIDDLEWARE_FAILED", text, error);
  }

  private pass(): void {
    this.state = "passed";
    nextTick(admit, this);
  }

  /** Admits the socket (NSP-21). Events emitted from now on reach the client after the answer to its CONNECT. @internal */
  admit(): void {
    if (this.state === "done") return;
    if (this.client.conn.readyState !== "open" || this.client.server._isClosing) return this.cancel();
    const namespace = this.namespace!;
    const socket = this.socket!;
    namespace._preConnectSockets.delete(socket.id);
    namespace.sockets.set(socket.id, socket);
    let failure: unknown;
    try {
      socket._onconnect(this.session);
    } catch (error) {
      failure = error ?? new Error("it failed without an error"); // thrown by a custom parser or a custom adapter
    }
    this.finish();
    if (debug.enabled) debug("%s: joined %s as %s", quoted(this.client.id), quoted(this.name), quoted(socket.id));
    this.client._add(socket);
    if (socketConnect.hasSubscribers) socketConnect.publish({ socket });
    if (failure === undefined) return namespace._announce(socket);
    const text = `a client can't be let into namespace ${quoted(this.name)}, its connection is closed`;
    namespace.server._warnings.warn("ROOMCAST_CALLBACK_FAILED", text, failure);
    this.client.close();
  }

  private refuse(refusal: Refusal): void {
    const socket = this.socket!;
    if (debug.enabled) debug("%s: a middleware refuses it in %s: %s", quoted(this.client.id), quoted(this.name), quoted(refusal.message));
    this.finish();
    socket._cleanup();
    if (socketRefuse.hasSubscribers) socketRefuse.publish({ client: this.client, namespace: this.name, message: refusal.message });
    sendRefusal(socket, refusal, { isLegacy: this.client.conn.protocol === 3 });
  }

  private refuseUnknown(): void {
    if (this.state === "done") return;
    this.finish();
    this.client._refuse(this.name, "Invalid namespace"); // NSP-11
  }

  private finish(): void {
    this.state = "done";
    this.client._removeJoin(this);
    if (this.namespace !== null) this.namespace._pendingJoins--;
  }

  private storeAgain({ sid, pid, rooms, data }: RestorableSession): void {
    void this.namespace!.adapter.persistSession({ sid, pid, rooms, data });
  }
}

function admit(join: NamespaceJoin): void {
  join.admit();
}
