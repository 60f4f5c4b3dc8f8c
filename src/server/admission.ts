import createDebug from "debug";
import { probe } from "../engine/probe";
import { Session as EngineSession } from "../engine/session";
import { nextTick } from "../support/tick";
import type { Session } from "./adapter";
import type { Client } from "./connection";
import type { ExtendedError, Namespace, NamespaceMiddleware } from "./namespace";
import { Socket } from "./socket";

const debug = createDebug("socket.io:client");

type AnyClient = Client<any, any, any>;
type AnyNamespace = Namespace<any, any, any, any>;
type AnySocket = Socket<any, any, any, any>;
type AnyMiddleware = NamespaceMiddleware<any, any, any, any>;

/**
 * One client's way into one namespace, from its CONNECT packet to the answer.
 *
 *     seeking --namespace found--> filtering --middlewares passed--> passed --a tick--> over: admitted
 *     with recovery, before filtering: probing (while the connection it had seems to live) --gone--> restoring
 *        any --refused, or connection lost--> over
 */
export class Admission {
  readonly name: string;
  /** The next one of the same client. */
  next: Admission | null;
  private readonly client: AnyClient;
  private readonly auth: Record<string, unknown>;
  private state: "seeking" | "probing" | "restoring" | "filtering" | "passed" | "over";
  private namespace: AnyNamespace | null;
  private socket: AnySocket | null;
  private session: Session | null;

  constructor(client: AnyClient, name: string, auth: Record<string, unknown>, next: Admission | null) {
    this.name = name;
    this.next = next;
    this.client = client;
    this.auth = auth;
    this.state = "seeking";
    this.namespace = null;
    this.socket = null;
    this.session = null;
  }

  /** Looks for the namespace, which may open on demand, and goes on from there. */
  start(): void {
    const { server } = this.client;
    const known = server._nsps.get(this.name);
    if (known !== undefined) return this.enter(known);
    server._checkNamespace(this.name, this.auth, (found) => {
      if (found === false) return this.refuseUnknown();
      if (this.state === "over") return found._removeIfEmpty();
      this.enter(found);
    });
  }

  /** The connection is gone. What was restored for it can be restored again. */
  cancel(): void {
    if (this.state === "over") return;
    const { socket, session } = this;
    if (session !== null) this.giveBack(session);
    this.finish();
    socket?._cleanup();
    this.namespace?._removeIfEmpty();
  }

  private enter(namespace: AnyNamespace): void {
    this.namespace = namespace;
    namespace._admissions++;
    const { pid, offset } = this.auth;
    const mayRecover =
      namespace.server._recovery !== null && typeof pid === "string" && (typeof offset === "string" || offset === undefined);
    if (mayRecover) this.recover(pid, offset as string);
    else this.meet(null);
  }

  /** A client that lost its connection is often back before the server has noticed: asked, the old connection is silent. */
  private recover(pid: string, offset: string): void {
    const conn = this.namespace!._socketsByPid.get(pid)?.conn as unknown;
    if (!(conn instanceof EngineSession)) return this.restore(pid, offset);
    this.state = "probing";
    probe(conn, (isAlive) => {
      if (this.state === "over") return;
      if (isAlive)
        this.meet(null); // somebody else's, or known to somebody else
      else this.recover(pid, offset); // an earlier attempt of the same client may have got it, and be gone as well
    });
  }

  private restore(pid: string, offset: string): void {
    const { adapter } = this.namespace!;
    this.state = "restoring";
    let restored: Promise<Session | null> | Session | null;
    try {
      restored = adapter.restoreSession(pid, offset);
    } catch (error) {
      debug("the adapter failed to restore a session: %o", error);
      restored = null;
    }
    if (typeof (restored as Promise<Session> | null)?.then !== "function") return this.meet(restored as Session | null);
    (restored as Promise<Session | null>).then(
      (session) => this.meet(session),
      (error) => {
        debug("the adapter failed to restore a session: %o", error);
        this.meet(null);
      },
    );
  }

  /** Makes the socket, out of the session it had if there is one. */
  private meet(session: Session | null | undefined): void {
    const namespace = this.namespace!;
    if (this.state === "over") {
      if (session) this.giveBack(session);
      return;
    }
    if (session && (namespace.sockets.has(session.sid) || namespace._preConnectSockets.has(session.sid))) session = null; // never two with one id
    this.session = session || null; // adapters give all kinds of nothing
    const socket: AnySocket = new Socket(namespace, this.client, this.auth, this.session ?? undefined);
    this.socket = socket;
    namespace._preConnectSockets.set(socket.id, socket);
    if (this.session !== null) {
      void socket.join(this.session.rooms);
      if (namespace.server._recovery!.skipMiddlewares) return this.admit(); // at once: nothing is sent meanwhile that it would miss
    }
    this.state = "filtering";
    if (namespace._fns.length === 0) this.pass();
    else this.ask(namespace._fns.slice(), 0);
  }

  /** Asks one middleware, and with its consent the next ones. */
  private ask(middlewares: readonly AnyMiddleware[], at: number): void {
    let isAnswered = false;
    const answer = (error?: ExtendedError): void => {
      if (isAnswered || this.state !== "filtering") return;
      isAnswered = true;
      if (error) this.refuse(error);
      else if (at + 1 < middlewares.length) this.ask(middlewares, at + 1);
      else this.pass();
    };
    const onFailure = (error: unknown): void => {
      warnOfFailure(this.name, error);
      answer((error as ExtendedError | undefined) ?? new Error(String(error)));
    };
    try {
      const result = middlewares[at](this.socket!, answer) as unknown;
      if (typeof (result as PromiseLike<unknown> | undefined)?.then === "function")
        (result as PromiseLike<unknown>).then(undefined, onFailure);
    } catch (error) {
      onFailure(error);
    }
  }

  private pass(): void {
    this.state = "passed";
    nextTick(admit, this);
  }

  /** Lets the socket in. What is emitted from here on reaches the client after the answer to its CONNECT. @internal */
  admit(): void {
    if (this.state === "over") return;
    if (this.client.conn.readyState !== "open") return this.cancel();
    const namespace = this.namespace!;
    const socket = this.socket!;
    namespace._preConnectSockets.delete(socket.id);
    namespace.sockets.set(socket.id, socket);
    socket._onconnect(this.session);
    this.finish();
    this.client._add(socket);
    namespace._announce(socket);
  }

  private refuse(error: unknown): void {
    const socket = this.socket!;
    debug("%s is refused by a middleware of %s", socket.id, this.name);
    this.finish();
    socket._cleanup();
    const { message, data } = error as { message?: unknown; data?: unknown };
    const text = message === undefined ? String(error) : message;
    if (this.client.conn.protocol === 3) socket._error(data || text);
    else socket._error(data === undefined ? { message: text } : { message: text, data });
  }

  private refuseUnknown(): void {
    if (this.state === "over") return;
    debug("there is no namespace %s", this.name);
    this.finish();
    this.client._refuse(this.name, "Invalid namespace");
  }

  private finish(): void {
    this.state = "over";
    this.client._removeAdmission(this);
    if (this.namespace !== null) this.namespace._admissions--;
  }

  private giveBack({ sid, pid, rooms, data }: Session): void {
    void this.namespace!.adapter.persistSession({ sid, pid, rooms, data });
  }
}

function admit(admission: Admission): void {
  admission.admit();
}

function warnOfFailure(name: string, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  process.emitWarning(`a middleware of namespace ${JSON.stringify(name)} failed, the client is refused: ${message}`, {
    code: "ROOMCAST_MIDDLEWARE_FAILED",
    ...(error instanceof Error && error.stack !== undefined ? { detail: error.stack } : {}),
  });
}
