// The emitter over NATS, for servers with the adapter of `create-adapter.ts`.
import type { DefaultEventsMap, EventsMap } from "../../server/events";
import { Emitter, type EmitterOptions, type Outlet, outletOf } from "../emitter";
import { expectOptions } from "../option-checks";
import { Connection } from "./connection";
import { checkConnection, checkKey, type NatsAdapterOptions } from "./create-adapter";
import { NatsSender } from "./sender";
import { Subjects } from "./subjects";

/** Options of `NatsEmitter`; `key` has to be that of the servers. */
export interface NatsEmitterOptions extends EmitterOptions, Pick<NatsAdapterOptions, "key"> {}

/** Gives orders to servers with `createAdapter` of `roomcast/nats`. While NATS is away, the driver decides whether orders wait; at most 64 MiB do. */
export class NatsEmitter<
  EmitEvents extends EventsMap = DefaultEventsMap,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
> extends Emitter<EmitEvents, ServerSideEvents> {
  /**
   * @param connection  as for `createAdapter`. It stays open: `await connection.drain()` sends what waits, and closes it
   * @param nsp         the namespace. Default `"/"`
   * @throws UsageError RC_ERR_ARGUMENT, RC_ERR_OPTION on a connection or an option that cannot be used
   * @example
   * const emitter = new NatsEmitter(await connect({ servers: "nats://localhost:4222" }));
   * emitter.to("room-1").emit("news", "hello");
   */
  constructor(connection: unknown, options: NatsEmitterOptions = {}, nsp: string = "/") {
    expectOptions(options);
    super(outletOver(connection, options), nsp);
  }
}

function outletOver(connection: unknown, options: NatsEmitterOptions): Outlet {
  const { key = "roomcast" } = options;
  checkConnection(connection);
  checkKey(key);
  const sender = new NatsSender(new Connection(connection), new Subjects(key)); // not watched: the driver keeps what waits
  return outletOf("nats", connection, options, (message) => sender.publish(message));
}
