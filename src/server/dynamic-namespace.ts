import createDebug from "debug";
import { UsageError } from "../errors";
import { forgetAcks } from "./acks";
import { Adapter, type BroadcastOptions } from "./adapter";
import type { AcksOwner } from "./broadcast";
import type { DefaultEventsMap, EventNamesWithoutAck, EventParams, EventsMap } from "./events";
import { Namespace } from "./namespace";
import type { RemoteSocket } from "./remote-socket";
import type { Server } from "./server";

const debug = createDebug("socket.io:parent-namespace");

type AnyNamespace = Namespace<any, any, any, any>;

/**
 * A pattern of namespaces, which are opened on demand: what `io.of(/regex/)` and `io.of(function)` give.
 *
 * Nobody joins it. Each namespace it opens, a child, gets a copy of its middlewares and of its `connect` and
 * `connection` listeners as they are at that moment; what is broadcast here goes to every child that exists on this server.
 */
export class ParentNamespace<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
> extends Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
  private static count = 0;
  /** @internal */
  readonly _children: Set<Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>;

  /** For `io.of()`. */
  constructor(server: Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData>) {
    super(server, `/_${ParentNamespace.count++}`);
    this._children = new Set();
    (this.adapter as ParentAdapter)._children = this._children;
  }

  /** The user's adapter is made for children only. @internal */
  override _initAdapter(): void {
    this.adapter = new ParentAdapter(this);
  }

  /**
   * Sends an event to every child; a callback in last place is called once for each child.
   * @returns true
   */
  override emit<Ev extends EventNamesWithoutAck<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean {
    for (const child of this._children) child.emit(ev, ...args);
    return true;
  }

  /** Opens a namespace that matches, and announces it with `new_namespace`. */
  createChild(name: string): Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
    debug("creating child namespace %s", name);
    const child = new Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>(this.server, name);
    child._parent = this;
    child._fns = this._fns.slice();
    copyListeners(this as AnyNamespace, child);
    this._children.add(child);
    this.server._addNamespace(child);
    return child;
  }

  /** Not available: it would have to tell which namespace each socket belongs to. */
  override fetchSockets(): Promise<RemoteSocket<EmitEvents, SocketData>[]> {
    throw new UsageError("RC_ERR_NAMESPACE", "fetchSockets() is not supported on parent namespaces");
  }
}

/** `once` stays once: for each child. */
function copyListeners(parent: AnyNamespace, child: AnyNamespace): void {
  for (const event of ["connect", "connection"] as const) {
    for (const listener of parent.rawListeners(event)) {
      const original = (listener as { listener?: (...args: any[]) => void }).listener;
      if (original === undefined) child.on(event, listener as (...args: any[]) => void);
      else child.once(event, original);
    }
  }
}

/** Spreads the broadcasts of a parent over its children, each of which gets a packet of its own. */
class ParentAdapter extends Adapter implements AcksOwner {
  /** @internal */
  _children: ReadonlySet<AnyNamespace> = new Set();
  /** What was sent to the children in place of a packet that expects answers. */
  private readonly packetsByPacket = new WeakMap<object, { adapter: Adapter; packet: { id?: number } }[]>();

  override broadcast(packet: any, opts: BroadcastOptions): void {
    for (const { adapter } of this._children) void adapter.broadcast(copyOf(packet), opts);
  }

  /** The children report as one server: once, when the number of clients is known for each of them. */
  override broadcastWithAck(
    packet: any,
    opts: BroadcastOptions,
    clientCountCallback: (clientCount: number) => void,
    ack: (...args: any[]) => void,
  ): void {
    const sent: { adapter: Adapter; packet: { id?: number } }[] = [];
    this.packetsByPacket.set(packet, sent);
    let waitingFor = this._children.size;
    let clients = 0;
    if (waitingFor === 0) return clientCountCallback(0);

    const onChildCounted = (count: number): void => {
      clients += count;
      if (--waitingFor === 0) clientCountCallback(clients);
    };
    for (const { adapter } of this._children) {
      const copy = copyOf(packet);
      sent.push({ adapter, packet: copy });
      const count = new ClientCount(onChildCounted);
      adapter.broadcastWithAck(copy, opts, (clientCount) => count.add(clientCount), ack);
      if (opts.flags?.local === true) count.expectServers(1);
      else void adapter.serverCount().then((servers) => count.expectServers(servers));
    }
  }

  _forgetAcks(packet: object): void {
    for (const { adapter, packet: copy } of this.packetsByPacket.get(packet) ?? []) forgetAcks(adapter, copy.id);
  }
}

/** Adds up what the servers of one child report. */
class ClientCount {
  private readonly onKnown: (clients: number) => void;
  private clients = 0;
  private reported = 0;
  private expected = -1;

  constructor(onKnown: (clients: number) => void) {
    this.onKnown = onKnown;
  }

  add(clients: number): void {
    this.clients += clients;
    this.reported++;
    this.check();
  }

  expectServers(servers: number): void {
    this.expected = servers;
    this.check();
  }

  private check(): void {
    if (this.reported === this.expected) this.onKnown(this.clients);
  }
}

function copyOf(packet: any): any {
  return { ...packet, data: packet.data.slice() };
}
