// `start()`: one program as many workers of one machine.
import cluster from "node:cluster";
import { createServer, type Server as HttpServer } from "node:http";
import { type AddressInfo, type ListenOptions, Server as NetServer } from "node:net";
import { availableParallelism, constants } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { inspect } from "node:util";
import { UsageError } from "../../errors";
import { Adapter } from "../../server/adapter/adapter";
import { SessionAwareAdapter } from "../../server/adapter/session-aware-adapter";
import { type DrainOptions, resolveDrain } from "../../server/http/drain";
import type { Server } from "../../server/server";
import { createAdapter, kWorkers, setupPrimary } from "./create-adapter";
import { idsInDirectory } from "./directory";
import { Supervisor } from "./supervisor";
import { type FromWorker, isToWorker } from "./worker-messages";

/** Options of `start`. */
export interface StartOptions {
  /**
   * Makes the server. Called in each worker; `start` listens. A server without the option `adapter` gets `createAdapter({ carrySessions: true })`. A function
   * that gives nothing has to listen and to handle signals by itself.
   */
  server: () => Server<any, any, any, any> | undefined | void | Promise<Server<any, any, any, any> | undefined | void>;
  /** Number of workers. Default: as many as the processor runs at a time. */
  workers?: number;
  /** Port on which all workers listen. Default: the environment variable `PORT`, else 3000; 0: any that is free. */
  port?: number;
  /** Address on which they listen. Default: all. */
  host?: string;
  /** How a worker that ends moves its clients, see `io.close`. Default `true`. */
  drain?: DrainOptions | true;
  /** Gets one line for each change of a worker. Default `console.log`. */
  log?: (line: string) => void;
}

const NAMES = ["server", "workers", "port", "host", "drain", "log"];
const WORKERS_MAX = 1_024;
const MEET_MS = 2_000;
const MEET_STEP_MS = 10;
const encoder = { encode: (packet: unknown): string => JSON.stringify(packet) };

/**
 * Runs a server in several workers of this machine: forks them, listens, replaces workers that die, later each time. SIGTERM and SIGINT drain all workers and end the
 * process, a second one ends it at once; SIGHUP replaces the workers one after another, each when the next one listens. The program runs once more in each
 * worker, up to this call: it must not do there what only the primary should do.
 *
 * Connections are spread by the system (`reusePort`) on Linux with Node.js 22.12 or newer, else by the primary, in turns.
 * @returns in the primary the workers, when all of them listen; null in a worker
 * @throws UsageError RC_ERR_ARGUMENT; rejects with RC_ERR_WORKER if a worker ends before any of them listens
 * @example
 * import { Server } from "roomcast";
 * import { start } from "roomcast/cluster";
 *
 * await start({
 *   workers: 4,
 *   server() {
 *     const io = new Server();
 *     io.on("connection", (socket) => socket.join("news"));
 *     return io;
 *   },
 * });
 */
export async function start(options: StartOptions): Promise<Supervisor | null> {
  check(options);
  if (cluster.isWorker) {
    await runWorker(options);
    return null;
  }
  setupPrimary();
  const { workers = availableParallelism(), drain = true, log = console.log } = options;
  const supervisor = new Supervisor({ workers, drainMs: resolveDrain(drain, encoder).timeoutMs, log });
  const release = handleSignals(supervisor, log);
  try {
    await supervisor.start();
  } catch (error) {
    release();
    throw error;
  }
  return supervisor;
}

function handleSignals(supervisor: Supervisor, log: (line: string) => void): () => void {
  let isEnding = false;
  const end = (signal: NodeJS.Signals): void => {
    if (isEnding) {
      supervisor.kill();
      process.exit(128 + constants.signals[signal]);
    }
    isEnding = true;
    void supervisor.stop().then(() => process.exit(0));
  };
  const reload = (): void => void supervisor.reload().catch((error: Error) => log(`reload: ${error.message}; the old workers go on`));
  process.on("SIGTERM", end).on("SIGINT", end).on("SIGHUP", reload);
  return () => void process.off("SIGTERM", end).off("SIGINT", end).off("SIGHUP", reload);
}

// In a worker

async function runWorker({ server, port, host, drain = true }: StartOptions): Promise<void> {
  let io: Server | undefined = undefined as Server | undefined;
  let http: HttpServer | undefined;
  let isEnding = false;
  const stop = async (isReplaced: boolean): Promise<void> => {
    if (isEnding || io?.isDraining === true) return; // a signal handler of the program may be at it
    isEnding = true;
    if (io === undefined && process.listenerCount("SIGTERM") > 1) return void process.emit("SIGTERM", "SIGTERM");
    if (isReplaced && io !== undefined && http !== undefined) leaveNewConnections(io, http);
    await io?.close({ drain });
    process.exit(0);
  };
  process.on("message", (message) => isToWorker(message) && void stop(message.isReplaced));
  process.on("SIGTERM", () => void stop(true));
  process.on("SIGINT", () => {}); // a terminal sends it to all processes: the primary tells what to do
  process.on("SIGHUP", () => {});

  io = serverOf(await server());
  let address = "";
  if (io !== undefined) {
    const isDefault = io.adapter() === Adapter || io.adapter() === SessionAwareAdapter;
    if (isDefault) io.adapter(createAdapter({ carrySessions: true }));
    http = io.httpServer as HttpServer | undefined;
    if (http === undefined) io.attach((http = createServer()));
    await meetOthers(io);
    address = await listen(http, port ?? portOf(process.env["PORT"]), host);
  }
  process.send!({ roomcast: "ready", address } satisfies FromWorker);
}

/**
 * Waits until this worker and those that are there know each other: the first request that arrives may be of a session of another worker,
 * and must be carried (ROB-870). One that hangs isn't waited for.
 */
async function meetOthers(io: Server): Promise<void> {
  if ((io.adapter() as { [kWorkers]?: true } | undefined)?.[kWorkers] !== true) return;
  const deadline = Date.now() + MEET_MS;
  for (;;) {
    const nodes = await io.nodes();
    const ids = idsInDirectory();
    const isThere = ids.includes(nodes[0].id) && ids.every((id) => nodes.some((node) => node.id === id));
    if (isThere || Date.now() > deadline) return;
    await delay(MEET_STEP_MS);
  }
}

/** New connections go to other workers. Those that are there are served until their session has moved, and not kept alive. */
function leaveNewConnections(io: Server, http: HttpServer): void {
  NetServer.prototype.close.call(http); // that of HTTP would also cut connections that are idle for a moment
  io.engine.on("headers", (headers: Record<string, string>) => (headers["Connection"] = "close"));
}

function serverOf(given: unknown): Server | undefined {
  if (given === undefined) return undefined;
  const { close, adapter, attach } = (given ?? {}) as Partial<Server>;
  if (typeof close === "function" && typeof adapter === "function" && typeof attach === "function") return given as Server;
  throw new UsageError(
    "RC_ERR_ARGUMENT",
    `start: expected server() to give a Server of roomcast or nothing, met ${inspect(given, { depth: 0 })}`,
  );
}

function listen(http: HttpServer, port: number, host: string | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    const tell = (): void => {
      const { address, port: met } = http.address() as AddressInfo;
      resolve(`${address.includes(":") ? `[${address}]` : address}:${met}`);
    };
    if (http.listening) return tell();
    const options: ListenOptions & { reusePort?: boolean } = { port, ...(host !== undefined && { host }) };
    if (port !== 0 && canReusePorts()) options.reusePort = true;
    http.once("error", reject).listen(options, () => {
      http.off("error", reject);
      tell();
    });
  });
}

function canReusePorts(): boolean {
  const [major, minor] = process.versions.node.split(".").map(Number);
  return process.platform === "linux" && (major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12));
}

function portOf(text: string | undefined): number {
  const port = Number(text ?? 3000);
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw new UsageError("RC_ERR_ARGUMENT", `start: expected PORT to be a number from 0 to 65535, met ${inspect(text)}`);
}

function check(options: unknown): void {
  if (typeof options !== "object" || options === null) throw invalid("an object", options);
  const { server, workers, port, host, drain, log } = options as StartOptions;
  const unknown = Object.keys(options).find((name) => !NAMES.includes(name));
  if (unknown !== undefined) throw invalid(`one of ${NAMES.join(", ")}`, unknown);
  if (typeof server !== "function") throw invalid("server to be a function", server);
  if (workers !== undefined && !(Number.isInteger(workers) && workers >= 1 && workers <= WORKERS_MAX))
    throw invalid(`workers to be a number from 1 to ${WORKERS_MAX}`, workers);
  if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port <= 65_535))
    throw invalid("port to be a number from 0 to 65535", port);
  if (host !== undefined && typeof host !== "string") throw invalid("host to be a text", host);
  if (log !== undefined && typeof log !== "function") throw invalid("log to be a function", log);
  resolveDrain(drain ?? true, encoder);
}

function invalid(expected: string, met: unknown): UsageError {
  return new UsageError("RC_ERR_ARGUMENT", `start: expected ${expected}, met ${inspect(met, { depth: 0 })}`);
}
