import { createServer } from "node:http";
import { Server, type Event, type ExtendedError, type Namespace, type ServerOptions, type Socket } from "socket.io";
import {
  Adapter,
  ClusterAdapter,
  ClusterAdapterWithHeartbeat,
  MessageType,
  SessionAwareAdapter,
  type ClusterMessage,
  type ClusterResponse,
} from "socket.io/adapter";

declare function expectType<T>(value: T): void;
declare function exactly<A, B>(..._: (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? [] : [never]): void;

class Own extends Adapter {
  override broadcast(packet: any, opts: Parameters<Adapter["broadcast"]>[1]): void {
    super.broadcast(packet, opts);
  }
}

class Clustered extends ClusterAdapterWithHeartbeat {
  constructor(nsp: any) {
    super(nsp, { heartbeatInterval: 1 });
  }

  protected doPublish(message: ClusterMessage): Promise<string> {
    if (message.type === MessageType.BROADCAST) expectType<string[]>(message.data.opts.rooms);
    return Promise.resolve(message.uid);
  }

  protected doPublishResponse(_requester: string, response: ClusterResponse): Promise<void> {
    if (response.type === MessageType.BROADCAST_CLIENT_COUNT) expectType<number>(response.data.clientCount);
    return Promise.resolve();
  }
}

/** What the adapters of other packages extend: a class of the same shape that isn't ours. */
declare class Foreign extends (await import("node:events")).EventEmitter {
  readonly nsp: any;
  rooms: Map<string, Set<string>>;
  sids: Map<string, Set<string>>;
  private readonly encoder;
  constructor(nsp: any);
  init(): Promise<void> | void;
  close(): Promise<void> | void;
  serverCount(): Promise<number>;
  addAll(id: string, rooms: Set<string>): Promise<void> | void;
  del(id: string, room: string): Promise<void> | void;
  delAll(id: string): void;
  broadcast(packet: any, opts: any): void;
  broadcastWithAck(packet: any, opts: any, count: (n: number) => void, ack: (...args: any[]) => void): void;
  sockets(rooms: Set<string>): Promise<Set<string>>;
  socketRooms(id: string): Set<string> | undefined;
  fetchSockets(opts: any): Promise<any[]>;
  addSockets(opts: any, rooms: string[]): void;
  delSockets(opts: any, rooms: string[]): void;
  disconnectSockets(opts: any, close: boolean): void;
  serverSideEmit(packet: any[]): void;
  persistSession(session: { sid: string; pid: string; rooms: string[]; data: unknown }): void;
  restoreSession(
    pid: string,
    offset: string,
  ): Promise<{ sid: string; pid: string; rooms: string[]; data: unknown; missedPackets: unknown[][] }>;
}

export function adapters_are_classes_or_factories(io: Server) {
  const options: Partial<ServerOptions>[] = [
    { adapter: Own },
    { adapter: SessionAwareAdapter },
    { adapter: Clustered },
    { adapter: (nsp) => new Own(nsp) },
    { adapter: (nsp: Namespace) => new Clustered(nsp) },
    { adapter: Foreign },
    { adapter: (nsp: any) => new Foreign(nsp) },
  ];
  io.adapter(Own);
  io.adapter((nsp) => new Own(nsp));
  // @ts-expect-error gives no adapter
  io.adapter(() => "adapter");
  // @ts-expect-error gives no adapter
  new Server({ adapter: () => ({}) });
  const abstract: typeof ClusterAdapter = ClusterAdapter;
  expectType<Adapter>(io.of("/").adapter);
  return [options, abstract];
}

export function unknown_options_are_refused() {
  const options: Partial<ServerOptions> = { pingInterval: 1, path: "/x", cors: { origin: "*" }, connectionStateRecovery: {} };
  new Server(options);
  new Server(createServer(), options);
  new Server(3000, options);
  new Server(undefined, options);
  new Server(createServer()).attach(3000, options).listen(createServer());
  // @ts-expect-error misspelt
  new Server({ pingIntervall: 1 });
  // @ts-expect-error misspelt
  new Server(3000, { pingIntervall: 1 });
}

export function errors_and_events_have_shapes(io: Server, socket: Socket) {
  exactly<Event, [string, ...any[]]>();
  const error: ExtendedError = new Error("x");
  error.data = { code: 1 };
  io.use((_socket, next) => next(error));
  socket.use((event, next) => {
    expectType<string>(event[0]);
    next(new Error("x"));
  });
  socket.onAny((event: string, ...args: any[]) => expectType<unknown>([event, args]));
}
