import { createServer } from "node:http";
import {
  ClusterError,
  EncodingError,
  LimitError,
  ProtocolError,
  RoomcastError,
  Server,
  UsageError,
  type DisconnectDescription,
  type DrainOptions,
  type DrainResult,
  type ErrorCode,
  type Event,
  type ExtendedError,
  type HealthReason,
  type Namespace,
  type ServerOptions,
  type Socket,
} from "socket.io";
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

export function documented_forms_of_options_are_accepted() {
  new Server({ connectionStateRecovery: true, cors: "https://a" });
  new Server({ connectionStateRecovery: false, cors: ["https://a", /b/] });
  new Server({ connectionStateRecovery: { maxDisconnectionDuration: 1, skipMiddlewares: false, maxBytes: 1 } });
  // @ts-expect-error a number is no origin
  new Server({ cors: 5 });
}

export function descriptions_and_errors_have_types(socket: Socket) {
  socket.on("disconnect", (_reason, description) => {
    exactly<typeof description, DisconnectDescription>();
    expectType<string>(description.message);
    return [description.context?.status, description.code, description.limit];
  });
  socket.on("disconnecting", (_reason, description: any) => description.anything);
  const classes = [ClusterError, EncodingError, LimitError, ProtocolError, RoomcastError, UsageError];
  const error = new UsageError("RC_ERR_OPTION", "x");
  expectType<ErrorCode>(error.code);
  expectType<RoomcastError>(error);
  return classes;
}

export async function drains(io: Server) {
  const drain: DrainOptions = { timeoutMs: 1, perSecond: 1, jitterMs: 1, message: { event: "moving", data: { a: 1 } } };
  const result = await io.close({ drain });
  exactly<typeof result, DrainResult>();
  exactly<typeof result, Awaited<ReturnType<typeof io.detach>>>();
  expectType<void>(await io.close());
  expectType<void>(await io.close((error) => expectType<Error | undefined>(error)));
  expectType<number>((await io.close({ drain: true })).moved);
  expectType<boolean>(io.isDraining);
  expectType<boolean>(io.health({ readyLoopLagMs: 500 }).ready);
  expectType<HealthReason[]>(io.health().reasons);
  createServer(io.healthHandler({ probe: "live" }));
  new Server({ handleSignals: true });
  new Server({ handleSignals: { signals: ["SIGTERM"], drain, exit: false } });
  // @ts-expect-error no such signal
  new Server({ handleSignals: { signals: ["SIGTRM"] } });
  // @ts-expect-error no such option
  await io.close({ drain: { perMinute: 1 } });
}
