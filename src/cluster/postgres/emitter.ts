// The emitter over PostgreSQL, for servers with the adapter of `create-adapter.ts` or with `@socket.io/postgres-adapter`.
import type { DefaultEventsMap, EventsMap } from "../../server/events";
import { ignore } from "../../support/ignore";
import { Emitter, type EmitterOptions, type Outlet, outletOf } from "../emitter";
import { channelName, encode } from "./codec";
import type { PostgresClient, PostgresPool, Statement } from "./connection";
import { checkOptions, checkPool, type PostgresAdapterOptions } from "./create-adapter";
import { Outbox } from "./outbox";

/** Options of `PostgresEmitter`; those of the adapter have to be those of the servers. */
export interface PostgresEmitterOptions
  extends EmitterOptions, Pick<PostgresAdapterOptions, "channelPrefix" | "tableName" | "payloadThreshold"> {}

/**
 * Gives orders to servers with `createAdapter` of `roomcast/postgres` or of `@socket.io/postgres-adapter`. Called as the class of
 * `@socket.io/postgres-emitter`.
 *
 * Orders leave in the order in which they are given, and hold a client of the pool until PostgreSQL has them: `await pool.end()` waits for them. At
 * most 10,000 wait, and 64 MiB.
 */
export class PostgresEmitter<
  EmitEvents extends EventsMap = DefaultEventsMap,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
> extends Emitter<EmitEvents, ServerSideEvents> {
  /**
   * @param pool  a `Pool` of `pg` 8. It stays open
   * @param nsp   the namespace. Default `"/"`
   * @throws UsageError RC_ERR_ARGUMENT, RC_ERR_OPTION on a pool or an option that cannot be used
   * @example
   * const emitter = new PostgresEmitter(new pg.Pool({ connectionString: process.env.DATABASE_URL }));
   * emitter.to("room-1").emit("news", "hello");
   */
  constructor(pool: PostgresPool, nsp: string = "/", options: PostgresEmitterOptions = {}) {
    super(outletOver(pool, options), nsp);
  }
}

function outletOver(pool: PostgresPool, options: PostgresEmitterOptions): Outlet {
  checkPool("PostgresEmitter", pool);
  const { channelPrefix, tableName, payloadThreshold } = checkOptions("PostgresEmitter", options);
  const borrowed = new BorrowedClient(pool);
  const outbox = new Outbox(borrowed, tableName, null);
  return outletOf("postgres", pool, options, (message) => {
    const encoded = encode(message, payloadThreshold);
    return borrowed.during(() => outbox.add(channelName(channelPrefix, message.nsp), encoded));
  });
}

/** A client of the pool, for as long as something waits to be sent. */
class BorrowedClient {
  readonly isUp = true;
  private readonly pool: PostgresPool;
  private client: Promise<PostgresClient> | null = null;
  private users = 0;

  constructor(pool: PostgresPool) {
    this.pool = pool;
  }

  /** Takes a client at once, so that a pool that is ended next waits for it, and gives it back when nobody needs it. */
  async during(send: () => Promise<unknown>): Promise<void> {
    this.users++;
    this.take().catch(ignore); // `query` rejects, too
    try {
      await send();
    } finally {
      if (--this.users === 0) this.giveBack(false);
    }
  }

  async query(statement: Statement): Promise<any[]> {
    try {
      return (await (await this.take()).query(statement)).rows;
    } catch (error) {
      this.giveBack(true); // it may be broken: the next statement gets another one
      throw error;
    }
  }

  private take(): Promise<PostgresClient> {
    return (this.client ??= this.pool.connect().then((client) => {
      client.on("error", ignore); // as the statement that it runs rejects
      return client;
    }));
  }

  private giveBack(isBroken: boolean): void {
    this.client?.then((client) => {
      client.off("error", ignore);
      client.release(isBroken);
    }, ignore);
    this.client = null;
  }
}
