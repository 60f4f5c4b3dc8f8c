// A server and its clients in memory, for tests of programs.
import type { Agent } from "node:http";
import { createServer, Server as HttpServer } from "node:http";
import { Server as NetServer } from "node:net";
import { Server as TlsServer } from "node:tls";
import type { ManagerOptions, Socket as ClientSocket, SocketOptions } from "socket.io-client";
import { UsageError } from "../errors";
import type { DefaultEventsMap, EventsMap } from "../server/events";
import type { ServerOptions } from "../server/options";
import { Server } from "../server/server";
import { ignore } from "../support/ignore";
import { met, record, withinMs } from "./expect";
import { Network, type Line } from "./memory-network";

/** The origin of a test's server: a name that is never looked up. */
const URL_OF_SERVER = "http://roomcast.test";
/** How long `connect` waits, in real time. */
const CONNECT_MS = 5_000;

/** Options of `connect`: those of the client, for the manager and for the socket. */
export type ConnectOptions = Partial<ManagerOptions & SocketOptions>;

/** `io` of `socket.io-client`. */
type ClientFactory = (url: string, options: ConnectOptions) => ClientSocket;

/** What the kit itself needs to know. */
export interface TestServerSettings {
  /** `io` of the `socket.io-client` that the clients shall be of; default: the one that this package finds. */
  client?: unknown;
}

/** The network between a test's server and its clients. Each method acts on one client, or without one on all that are there. */
export interface TestNetwork {
  /** Resets the connections, and refuses further ones until `restore`. Clients see `transport close`, and try to reconnect. */
  cut(client?: object): void;
  /** Nothing arrives any more in either direction, and nobody is told, as with a cable that was pulled: only heartbeats notice. */
  silence(client?: object): void;
  /** The client reads nothing any more; what it sends arrives. */
  slow(client?: object): void;
  /** Ends `cut`, `silence` and `slow`: what was held up arrives, in order. */
  restore(client?: object): void;
  /**
   * Resolves when nothing is under way between the clients and the server: what was sent before has arrived, and so has what was sent in response
   * without waiting for anything else. Does not know of timers, files or databases that the program waits for. Rejects when that takes 10 seconds.
   */
  settled(): Promise<void>;
}

/** What `createTestServer` gives. */
export interface TestServer<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
> {
  /** The server. */
  readonly io: Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData>;
  /** Its HTTP server, which listens on no port. */
  readonly httpServer: HttpServer;
  /**
   * Connects a client of `socket.io-client`, over WebSocket unless the option `transports` says something else.
   * @param namespace  `/` by default
   * @param options    of the client: `auth`, `transports`, `extraHeaders` …
   * @returns the socket, connected. Rejects with the error of the event `connect_error`, and after 5 seconds of real time
   * @example const client = await connect("/chat", { auth: { token } });
   */
  connect(namespace?: string, options?: ConnectOptions): Promise<ClientSocket<EmitEvents, ListenEvents>>;
  /** The network between both. */
  readonly network: TestNetwork;
  /** An origin for clients that the test makes by itself, with the option `agent`. */
  readonly url: string;
  /** Connections of this agent reach the server, of WebSockets and of HTTP requests: `io(url, { agent })`, `http.get(url, { agent })`. */
  readonly agent: Agent;
  /** Disconnects all clients, and closes the server. Rejects when something was under way for 10 seconds; the server is closed then, too. */
  close(): Promise<void>;
}

/**
 * Makes a server without a port, and clients for it: the real protocol, over connections in memory. It needs no free port, no network and no
 * timers, so that it works with the fake clocks of node:test, Vitest and Jest.
 * @param server    options of a new server; or a server that a program has made, attached to a server of `node:http` or to none
 * @param settings  `client`: `io` of `socket.io-client`, where the kit does not find it by itself
 * @throws UsageError RC_ERR_ARGUMENT
 * @example
 * const { io, connect, close } = createTestServer();
 * io.on("connection", (socket) => socket.on("ping", (answer) => answer("pong")));
 * const client = await connect();
 * assert.equal(await client.emitWithAck("ping"), "pong");
 * await close();
 */
export function createTestServer<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
>(
  server?: Partial<ServerOptions> | Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData>,
  settings: TestServerSettings = {},
): TestServer<ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
  expectUsable(server);
  const io = isServer(server) ? server : new Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData>(server);
  if (io.httpServer === undefined) io.attach(createServer());
  const httpServer = io.httpServer as unknown as HttpServer;
  const network = new Network(httpServer);
  const clients = new Map<object, Line>();
  const own = network.openLine();
  let isClosed = false;
  let endWaiting: (error: Error) => void = ignore;
  const ending = new Promise<never>((_resolve, reject) => (endWaiting = reject));
  ending.catch(ignore); // where nobody waits

  const lineOf = (client: object | undefined): Line | undefined => {
    if (client === undefined) return undefined;
    const manager = (client as ClientSocket | null)?.io;
    const line = clients.get(client) ?? [...clients].find(([each]) => (each as ClientSocket).io === manager)?.[1];
    if (line !== undefined) return line;
    throw new UsageError("RC_ERR_ARGUMENT", `network: expected a client that connect() of this server has given, met ${met(client)}`);
  };

  const connect = async (namespace = "/", options: ConnectOptions = {}): Promise<ClientSocket<EmitEvents, ListenEvents>> => {
    if (isClosed) throw new UsageError("RC_ERR_ARGUMENT", "connect: this test server is closed");
    if (typeof namespace !== "string" || !namespace.startsWith("/")) throw new UsageError("RC_ERR_ARGUMENT", namespaceExpected(namespace));
    const line = network.openLine();
    const client = clientFactory(settings.client)(URL_OF_SERVER + namespace, {
      path: io.path(),
      transports: ["websocket"],
      reconnectionDelay: 10,
      reconnectionDelayMax: 50,
      ...options,
      agent: line as never,
      forceNew: true,
    });
    clients.set(client, line);
    record(client);
    try {
      const connected = new Promise<void>((resolve, reject) => void client.once("connect", resolve).once("connect_error", reject));
      await withinMs(
        CONNECT_MS,
        Promise.race([connected, ending]),
        () => `connect: the server did not let the client join ${namespace} within ${CONNECT_MS} ms`,
      );
    } catch (error) {
      client.disconnect();
      if (!isClosed) network.closeLine(line); // otherwise close() does it
      clients.delete(client);
      throw error;
    }
    return client;
  };

  const close = async (): Promise<void> => {
    isClosed = true;
    endWaiting(new UsageError("RC_ERR_ARGUMENT", "connect: this test server was closed meanwhile"));
    network.set("up");
    for (const client of clients.keys()) {
      (client as ClientSocket).io.reconnection(false);
      (client as ClientSocket).disconnect();
    }
    await network
      .settled()
      .finally(() => io.close())
      .finally(() => network.close());
  };

  return {
    io,
    httpServer,
    connect,
    network: {
      cut: (client) => network.set("cut", lineOf(client)),
      silence: (client) => network.set("silent", lineOf(client)),
      slow: (client) => network.set("slow", lineOf(client)),
      restore: (client) => network.set("up", lineOf(client)),
      settled: () => network.settled(),
    },
    url: URL_OF_SERVER,
    agent: own,
    close,
  };
}

function namespaceExpected(given: unknown): string {
  const hint = typeof given === "object" ? "; options are the second argument" : "";
  return `connect: expected a namespace like "/chat", met ${typeof given === "string" ? JSON.stringify(given) : met(given)}${hint}`;
}

/** Others than servers of `node:http` would wait for what these connections do not bring, such as a TLS handshake. */
function expectUsable(server: unknown): void {
  const refuse = (expected: string, value: string): never => {
    throw new UsageError("RC_ERR_ARGUMENT", `createTestServer: expected ${expected}, met ${value}`);
  };
  if (server !== undefined && (typeof server !== "object" || server === null)) refuse("options or a server", met(server));
  const below: unknown = isServer(server as object | undefined) ? (server as Server).httpServer : server;
  if (below instanceof NetServer && !(below instanceof HttpServer))
    refuse("an HTTP server of node:http", below instanceof TlsServer ? "one with TLS" : below.constructor.name);
}

function isServer(value: object | undefined): value is Server<any, any, any, any> {
  return typeof (value as { attach?: unknown } | undefined)?.attach === "function";
}

/** The client that this package finds. Loaded with this module, so that its option `useNativeTimers` means the clock before any fake one. */
const found = findClient();

function findClient(): { io: ClientFactory | null; problem: unknown } {
  try {
    return { io: (require("socket.io-client") as { io: ClientFactory }).io, problem: null };
  } catch (problem) {
    return { io: null, problem };
  }
}

function clientFactory(passed: unknown): ClientFactory {
  if (typeof passed === "function") return passed as ClientFactory;
  if (passed !== undefined) throw new UsageError("RC_ERR_ARGUMENT", `client: expected io of socket.io-client, met ${typeof passed}`);
  if (found.io !== null) return found.io;
  const text = "connect: socket.io-client is not installed; install it, or pass its io: createTestServer(options, { client: io })";
  throw new UsageError("RC_ERR_ARGUMENT", text, found.problem);
}
