// The primary of `start()`: forks the workers, replaces those that die, reloads and stops them.
import cluster, { type Worker } from "node:cluster";
import { RoomcastError } from "../../errors";
import { ignore } from "../../support/ignore";
import { isFromWorker, type ToWorker } from "./worker-messages";

/** What the supervisor needs to know. */
export interface SupervisorOptions {
  readonly workers: number;
  /** Time that a worker has for its drain; then it is killed. */
  readonly drainMs: number;
  readonly log: (line: string) => void;
}

/**
 *     starting --it listens--> ready --stop, reload--> stopping --exit--> (gone)
 *     starting, ready --exit--> waiting, then another one is started
 */
type State = "starting" | "ready" | "stopping";

/** One worker process. */
interface Process {
  readonly worker: Worker;
  /** From 1 on: the place that it takes; one that replaces another has its number. */
  readonly number: number;
  readonly startedAt: number;
  state: State;
}

const RESTART_MS = 100;
const RESTART_MAX_MS = 30_000;
/** A worker that has lived so long starts again without delay. */
const STABLE_MS = 10_000;
const READY_MS = 30_000;
const KILL_MS = 2_000;
const NO_SERVER =
  "the program gives no server: it listens and ends by itself. Its sessions need an adapter with carrySessions: true, or sticky sessions";

/** The running workers, in the primary. */
export class Supervisor {
  private readonly options: SupervisorOptions;
  private readonly processes = new Set<Process>();
  private readonly failures = new Map<number, number>();
  private readonly restarts = new Set<NodeJS.Timeout>();
  private hasBeenReady = false;
  private hasToldOfNoServer = false;
  private reloading: Promise<void> | null = null;
  private stopping: Promise<void> | null = null;

  /** @internal */
  constructor(options: SupervisorOptions) {
    this.options = options;
  }

  /** The workers that listen: their process ids. */
  get pids(): number[] {
    return Array.from(this.processes)
      .filter(({ state }) => state === "ready")
      .map(({ worker }) => worker.process.pid!);
  }

  /** @internal Starts all workers. Rejects if one ends before any was ready. */
  async start(): Promise<void> {
    const all = Array.from({ length: this.options.workers }, (_, i) => this.fork(i + 1));
    try {
      await Promise.all(all.map((each) => this.whenReady(each)));
    } catch (error) {
      if (this.hasBeenReady) return; // it is started again
      await this.stop();
      throw error;
    }
  }

  /**
   * Replaces all workers, one after another: the new one listens before the old one drains and ends. A call while it runs gives the same promise.
   * Rejects if a new worker doesn't get ready; the old ones that are left go on.
   */
  reload(): Promise<void> {
    this.reloading ??= this.replaceAll().finally(() => (this.reloading = null));
    return this.reloading;
  }

  /** Stops all workers: they drain. Resolves when they have ended. */
  stop(): Promise<void> {
    this.stopping ??= this.endAll();
    return this.stopping;
  }

  private async replaceAll(): Promise<void> {
    for (const old of [...this.processes]) {
      if (this.stopping !== null) return;
      if (old.state !== "ready") continue;
      const next = this.fork(old.number);
      try {
        await this.whenReady(next);
      } catch (error) {
        next.state = "stopping";
        next.worker.process.kill("SIGKILL");
        throw error;
      }
      await this.end(old, true);
    }
  }

  private async endAll(): Promise<void> {
    for (const timer of this.restarts) clearTimeout(timer);
    this.restarts.clear();
    await Promise.all([...this.processes].map((each) => this.end(each, false)));
  }

  /** Ends one worker: it drains, or is killed. @param isReplaced  whether other workers take its new connections */
  private end(process: Process, isReplaced: boolean): Promise<void> {
    const { worker } = process;
    process.state = "stopping";
    this.say(process, "drains");
    return new Promise((resolve) => {
      if (worker.isDead()) return resolve();
      const timer = setTimeout(() => worker.process.kill("SIGKILL"), this.options.drainMs + KILL_MS);
      worker.once("exit", () => {
        clearTimeout(timer);
        resolve();
      });
      if (worker.isConnected()) worker.send({ roomcast: "stop", isReplaced } satisfies ToWorker, ignore);
      else worker.process.kill("SIGTERM");
    });
  }

  /** Ends all workers at once. @internal */
  kill(): void {
    for (const { worker } of this.processes) worker.process.kill("SIGKILL");
  }

  private fork(number: number): Process {
    const worker = cluster.fork();
    const process: Process = { worker, number, startedAt: Date.now(), state: "starting" };
    this.processes.add(process);
    worker.on("error", ignore); // what is sent to a process that ends
    worker.on("message", (message: unknown) => isFromWorker(message) && this.onReady(process, message.address));
    worker.once("exit", (code, signal) => this.onExit(process, code, signal));
    return process;
  }

  private onReady(process: Process, address: string): void {
    if (process.state !== "starting") return;
    process.state = "ready";
    this.hasBeenReady = true;
    if (address === "" && !this.hasToldOfNoServer) {
      this.hasToldOfNoServer = true;
      this.options.log(NO_SERVER);
    }
    this.say(process, `ready${address === "" ? "" : ` on ${address}`} after ${Date.now() - process.startedAt} ms`);
    process.worker.emit("ready");
  }

  private whenReady({ worker, state }: Process): Promise<void> {
    if (state === "ready") return Promise.resolve();
    return new Promise((resolve, reject) => {
      const fail = (text: string): void => reject(new RoomcastError("RC_ERR_WORKER", `a worker ${text}`));
      const timer = setTimeout(() => fail(`didn't listen within ${READY_MS} ms`), READY_MS);
      worker.once("ready", resolve).once("exit", (code, signal) => fail(`ended before it listened (${signal ?? `exit code ${code}`})`));
      worker.once("ready", () => clearTimeout(timer)).once("exit", () => clearTimeout(timer));
    });
  }

  private onExit(process: Process, code: number, signal: string): void {
    this.processes.delete(process);
    const how = `ended ${signal ? `by ${signal}` : `with exit code ${code}`}`;
    if (process.state === "stopping" || this.stopping !== null) return this.say(process, how);
    if (!this.hasBeenReady) return this.say(process, how);
    const { number } = process;
    const failures = Date.now() - process.startedAt > STABLE_MS ? 0 : (this.failures.get(number) ?? 0);
    this.failures.set(number, failures + 1);
    const delayMs = Math.min(RESTART_MS * 2 ** failures, RESTART_MAX_MS);
    this.say(process, `${how}, the next one starts in ${delayMs} ms`);
    const timer = setTimeout(() => {
      this.restarts.delete(timer);
      this.fork(number);
    }, delayMs);
    this.restarts.add(timer);
  }

  private say({ number, worker }: Process, what: string): void {
    this.options.log(`worker ${number} (pid ${worker.process.pid}): ${what}`);
  }
}
