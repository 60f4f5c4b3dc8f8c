// A parent namespace: creates namespaces whose names match a pattern when clients ask for them.
import createDebug from "debug";
import { UsageError } from "../errors";
import { throwLater } from "../support/ask";
import { quoted } from "../support/log-text";
import { forgetAcksOfBroadcast } from "./socket/acks";
import { Adapter } from "./adapter/adapter";
import type { BroadcastOptions } from "./adapter/contract";
import type { AcksOwner, ChildrenOwner } from "./broadcast/broadcast-operator";
import type { DefaultEventsMap, EventNamesWithoutAck, EventParams, EventsMap } from "./events";
import { Namespace } from "./namespace";
import { expectEventName } from "./reserved-events";
import type { Server } from "./server";
import type { Socket } from "./socket/socket";

const debug = createDebug("socket.io:parent-namespace");

type AnyNamespace = Namespace<any, any, any, any>;

/**
 * A parent namespace, the result of `io.of(/regex/)` and `io.of(function)`.
 *
 * No socket joins it. It creates child namespaces, which get copies of its current middlewares and of its current `connect` and
 * `connection` listeners (PAR-4). Broadcasts go to all children that exist on this server (PAR-7, PAR-8).
 */
export class ParentNamespace<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
> extends Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
  private static count = 0;
  /** The child namespaces that exist on this server. Read-only (ROB-525).
   * @example for (const namespace of parent.children) namespace.disconnectSockets(); */
  readonly children: Set<Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>;

  /** Called by `io.of()`. */
  constructor(server: Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData>) {
    super(server, `/_${ParentNamespace.count++}`);
    this.children = new Set();
    (this._broadcastAdapter as ParentAdapter)._children = this.children;
  }

  /** The option `adapter` is used for children only (PAR-12). @internal */
  override _initAdapter(): void {
    this.adapter = new ParentAdapter(this);
  }

  /**
   * Sends an event to each child. If the last argument is a function, it is called once for each child.
   * @returns true
   * @example
   * io.of(/^\/room-\d+$/).emit("news", "to every room");
   */
  override emit<Ev extends EventNamesWithoutAck<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean {
    expectEventName(ev, NOTHING_RESERVED); // reserved names are refused by the children, as with the original
    for (const child of this.children) child.emit(ev, ...args);
    return true;
  }

  /** Creates a child and emits `new_namespace`. */
  createChild(name: string): Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
    if (debug.enabled) debug("creating child namespace %s", quoted(name));
    const child = new Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>(this.server, name);
    child._parent = this;
    child._fns = this._fns.slice();
    copyListeners(this as AnyNamespace, child);
    this.children.add(child);
    this.server._addNamespace(child);
    return child;
  }

  /**
   * Creates a child for a client. Gives false above `limits.childNamespaces` (ROB-777); also, with a process warning, if its adapter cannot be
   * created (ROB-201). @internal
   */
  openChild(name: string): Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData> | false {
    if (this.children.size >= this.server._limits.childNamespaces) {
      (this.server.engine as Partial<Server["engine"]> | undefined)?.counts?.add("RC_ERR_CHILD_NAMESPACES");
      return false;
    }
    try {
      return this.createChild(name);
    } catch (error) {
      const created = this.server._nsps.get(name);
      if (created === undefined)
        this.server._warnings.warn("ROOMCAST_CALLBACK_FAILED", `the namespace ${quoted(name)} can't be opened`, error);
      else throwLater(error); // ROB-205: a listener of `new_namespace` threw
      return created ?? false;
    }
  }

  /** Not supported, as with the original: always throws `UsageError` RC_ERR_NAMESPACE (PAR-11). */
  override fetchSockets(): never {
    throw new UsageError("RC_ERR_NAMESPACE", "fetchSockets() is not supported on parent namespaces");
  }
}

/** Copies `connect` and `connection` listeners. A listener added by `once` runs once for each child (PAR-5). */
function copyListeners(parent: AnyNamespace, child: AnyNamespace): void {
  for (const event of ["connect", "connection"] as const) {
    for (const listener of parent.rawListeners(event)) {
      const original = (listener as { listener?: (...args: any[]) => void }).listener;
      if (original === undefined) child.on(event, listener as (...args: any[]) => void);
      else child.once(event, original);
    }
  }
}

/** Sends the broadcasts of a parent to its children, each with a copy of the packet (PAR-9). */
class ParentAdapter extends Adapter implements AcksOwner, ChildrenOwner {
  /** @internal */
  _children: ReadonlySet<AnyNamespace> = new Set();
  /** By packet that expects acknowledgements: the copies that were sent to the children. */
  private readonly copiesByPacket = new WeakMap<object, { adapter: Adapter; packet: { id?: number } }[]>();

  override broadcast(packet: any, opts: BroadcastOptions): void {
    for (const { adapter } of this._children) void adapter.broadcast(copyOf(packet), opts);
  }

  /** Reports one client count for all children together, when the counts of all of them are known (PAR-10). */
  override broadcastWithAck(
    packet: any,
    opts: BroadcastOptions,
    clientCountCallback: (clientCount: number) => void,
    ack: (...args: any[]) => void,
  ): void {
    const sent: { adapter: Adapter; packet: { id?: number } }[] = [];
    this.copiesByPacket.set(packet, sent);
    let pendingChildren = this._children.size;
    let clients = 0;
    if (pendingChildren === 0) return clientCountCallback(0);

    const onChildCounted = (count: number): void => {
      clients += count;
      if (--pendingChildren === 0) clientCountCallback(clients);
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

  async _fetchOfChildren(target: BroadcastOptions): Promise<Socket[]> {
    return (await Promise.all(Array.from(this._children, ({ adapter }) => adapter.fetchSockets(target)))).flat();
  }

  override _onAcksEnd(packet: object): string[] {
    const copies = this.copiesByPacket.get(packet) ?? [];
    return [...new Set(copies.flatMap(({ adapter, packet: copy }) => adapter._onAcksEnd?.(copy) ?? []))];
  }

  _forgetAcksOfBroadcast(packet: object): void {
    for (const { adapter, packet: copy } of this.copiesByPacket.get(packet) ?? []) forgetAcksOfBroadcast(adapter, copy.id);
  }
}

/** Adds up the client counts that the servers of one child report. */
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

const NOTHING_RESERVED: ReadonlySet<unknown> = new Set();
