// The one connection of a link to PostgreSQL: it listens, and runs one statement after another.
import createDebug from "debug";
import { ignore } from "../../support/ignore";
import { quoted } from "../../support/log-text";
import { runInRoot } from "../../support/tick";

const debug = createDebug("socket.io-adapter");

/** The members of a `Pool` of `pg` that are used. */
export interface PostgresPool {
  connect(): Promise<PostgresClient>;
}

/** The members of a client of `pg`, as its pool gives it, that are used. */
export interface PostgresClient {
  query(statement: Statement): Promise<{ rows: any[] }>;
  on(event: "notification", listener: (notification: { channel: string; payload?: string | undefined }) => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "end", listener: () => void): unknown;
  off(event: "error", listener: (error: Error) => void): unknown;
  release(destroy: boolean): void;
}

/** A statement; one with a `name` is prepared once per connection. */
export interface Statement {
  text: string;
  name?: string;
  values?: unknown[];
}

/** What the connection tells the link. */
export interface ConnectionListener {
  onNotification(channel: string, payload: string): void;
  /** It is there, and listens to all channels. */
  onUp(): void;
  onDown(error: Error): void;
}

interface Job {
  readonly statement: Statement;
  resolve(rows: any[]): void;
  reject(error: Error): void;
}

const CONNECT_TIMEOUT_MS = 10_000;
/** Statements that wait while PostgreSQL is slow; further ones are refused (ROB-841). */
const WAITING_MAX = 10_000;
const FIRST_DELAY_MS = 100;
const DELAY_MAX_MS = 5_000;

/**
 *     new --open--> connecting --there, listening--> up --error, end, no answer--> waiting --after a delay--> connecting …
 *     any --close--> closed
 *
 * What is asked while the connection isn't up rejects at once.
 */
export class PostgresConnection {
  /** When a notification or an answer has come, a time of `Date.now()`. */
  heardAt = 0;
  private readonly pool: PostgresPool;
  private readonly listener: ConnectionListener;
  private readonly answerTimeoutMs: number;
  private readonly channels = new Set<string>();
  private readonly jobs: Job[] = [];
  private state: "new" | "connecting" | "up" | "waiting" | "closed" = "new";
  private client: PostgresClient | null = null;
  private isRunning = false;
  private failures = 0;
  private retryTimer: NodeJS.Timeout | null = null;
  private answerTimer: NodeJS.Timeout | null = null;

  /** @param answerTimeoutMs  a statement without an answer for so long: the connection is given up */
  constructor(pool: PostgresPool, listener: ConnectionListener, answerTimeoutMs: number) {
    this.pool = pool;
    this.listener = listener;
    this.answerTimeoutMs = answerTimeoutMs;
  }

  get isUp(): boolean {
    return this.state === "up";
  }

  /** Connects. Rejects if the first attempt fails; the following ones are made all the same. */
  async open(): Promise<void> {
    const error = await this.connect();
    if (error !== null) throw error;
  }

  /** Listens to a channel, from now on and after each reconnection. */
  listen(channel: string): void {
    this.channels.add(channel);
    if (this.isUp) this.query({ text: `LISTEN ${quotedName(channel)}` }).catch(ignore); // it fails with the connection
  }

  async unlisten(channel: string): Promise<void> {
    this.channels.delete(channel);
    if (this.isUp) await this.query({ text: `UNLISTEN ${quotedName(channel)}` });
  }

  /** Runs a statement behind those that wait. Rejects at once while there is no connection. @returns the rows */
  query(statement: Statement): Promise<any[]> {
    if (!this.isUp) return Promise.reject(new Error("PostgreSQL is not connected"));
    if (this.jobs.length >= WAITING_MAX) return Promise.reject(new Error(`PostgreSQL is too slow: ${WAITING_MAX} statements wait already`));
    return this.enqueue(statement);
  }

  /** Connects anew. */
  reset(reason: string): void {
    if (this.isUp) this.fail(new Error(reason));
  }

  close(): void {
    this.state = "closed";
    if (this.retryTimer !== null) clearTimeout(this.retryTimer);
    this.drop(new Error("the adapter is closed"));
  }

  private async connect(): Promise<Error | null> {
    this.state = "connecting";
    try {
      const client = await this.take();
      client.on("error", (error) => this.onEnd(client, error)); // it stays: a client that is dropped may fail later
      client.on("end", () => this.onEnd(client, new Error("PostgreSQL has closed the connection")));
      if (this.isIn("closed")) {
        release(client);
        return null;
      }
      client.on("notification", ({ channel, payload }) => {
        if (client !== this.client) return;
        this.heardAt = Date.now();
        this.listener.onNotification(channel, payload ?? "");
      });
      this.client = client;
      const known = [...this.channels];
      if (known.length > 0) await this.enqueue({ text: known.map((channel) => `LISTEN ${quotedName(channel)}`).join("; ") });
      if (client !== this.client) return null;
      this.state = "up";
      for (const channel of this.channels) if (!known.includes(channel)) this.listen(channel);
      this.failures = 0;
      if (debug.enabled) debug("postgres: listening to %d channels", known.length);
      this.listener.onUp();
      return null;
    } catch (error) {
      if (this.isIn("connecting")) this.fail(error as Error);
      return error as Error;
    }
  }

  private isIn(state: PostgresConnection["state"]): boolean {
    return this.state === state;
  }

  /** Takes a client out of the pool. One that comes too late is given back. */
  private take(): Promise<PostgresClient> {
    return new Promise((resolve, reject) => {
      let isLate = false;
      const timer = setTimeout(() => {
        isLate = true;
        reject(new Error(`PostgreSQL: no connection in ${CONNECT_TIMEOUT_MS} ms; does the pool have one to spare?`));
      }, CONNECT_TIMEOUT_MS);
      timer.unref?.();
      this.pool.connect().then(
        (client) => {
          clearTimeout(timer);
          if (isLate) client.release(false);
          else resolve(client);
        },
        (error: unknown) => {
          clearTimeout(timer);
          reject(error instanceof Error ? error : new Error(String(error)));
        },
      );
    });
  }

  private enqueue(statement: Statement): Promise<any[]> {
    return new Promise((resolve, reject) => {
      this.jobs.push({ statement, resolve, reject });
      if (!this.isRunning) void this.runJobs();
    });
  }

  /** One at a time: `pg` warns of statements that overlap, and drops support for them. */
  private async runJobs(): Promise<void> {
    const { client } = this;
    this.isRunning = true;
    for (let job = this.jobs[0]; job !== undefined && client !== null && client === this.client; job = this.jobs[0]) {
      runInRoot(() => {
        this.answerTimer = setTimeout(onNoAnswer, this.answerTimeoutMs, this);
        this.answerTimer.unref?.();
      });
      try {
        const { rows } = await client.query(job.statement);
        if (client !== this.client) return;
        this.heardAt = Date.now();
        job.resolve(rows);
      } catch (error) {
        if (client !== this.client) return;
        job.reject(error as Error);
      }
      clearTimeout(this.answerTimer!);
      this.jobs.shift();
    }
    this.isRunning = false;
  }

  private onEnd(client: PostgresClient, error: Error): void {
    if (client === this.client) this.fail(error);
  }

  /** @internal */
  onNoAnswer(): void {
    this.fail(new Error(`PostgreSQL has not answered in ${this.answerTimeoutMs} ms`));
  }

  /** The connection is lost: what waits for it rejects, and another one is made after a delay that grows. */
  private fail(error: Error): void {
    this.state = "waiting";
    this.drop(error);
    const delayMs = Math.min(DELAY_MAX_MS, FIRST_DELAY_MS * 2 ** this.failures++) * (0.5 + Math.random());
    if (debug.enabled) debug("postgres: not connected (%s), next attempt in %d ms", quoted(error), delayMs);
    runInRoot(() => {
      this.retryTimer = setTimeout(onRetry, delayMs, this);
      this.retryTimer.unref?.();
    });
    this.listener.onDown(error);
  }

  private drop(error: Error): void {
    const { client } = this;
    this.client = null;
    this.isRunning = false;
    if (this.answerTimer !== null) clearTimeout(this.answerTimer);
    if (client !== null) release(client);
    for (const job of this.jobs.splice(0)) job.reject(error);
  }

  /** @internal */
  onRetry(): void {
    void this.connect();
  }
}

/** Gives a client up: its connection is closed, since it listens. */
function release(client: PostgresClient): void {
  try {
    client.release(true);
  } catch (error) {
    if (debug.enabled) debug("postgres: a client was not released: %s", quoted(error));
  }
}

/** An identifier in quotes. */
function quotedName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function onNoAnswer(connection: PostgresConnection): void {
  connection.onNoAnswer();
}

function onRetry(connection: PostgresConnection): void {
  connection.onRetry();
}
