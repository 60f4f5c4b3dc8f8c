// Subscriptions to the diagnostics channels, for the messages of one server.
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { EngineChannels } from "../engine/channels";
import type { ServerChannels } from "../server/channels";
import type { WarningMessage } from "../support/warnings";
import type { Server } from "../server/server";

/** The messages of all channels, by name. */
export interface Channels extends EngineChannels, ServerChannels {
  "roomcast:warning": WarningMessage;
}

type Name = keyof Channels;
/** The channels whose messages have a member. */
type With<Member extends string> = { [N in Name]: Channels[N] extends Record<Member, object> ? N : never }[Name];

/** All subscriptions of one user of a server. */
export class Subscriptions {
  private readonly io: Server<any, any, any, any>;
  private readonly ends: (() => void)[] = [];
  /** Sessions that the server has opened: its engines are no longer known when it closes. */
  private readonly sessions = new WeakSet<object>();

  constructor(io: Server<any, any, any, any>) {
    this.io = io;
    this.subscribe("roomcast:session:open", ({ session }) => {
      if (this.isOwnEngine(session.server)) this.sessions.add(session);
    });
  }

  /** @param serverOf  the server of a message */
  on<N extends Name>(name: N, serverOf: (message: Channels[N]) => unknown, listener: (message: Channels[N]) => void): void {
    this.subscribe(name, (message) => {
      if (serverOf(message) === this.io) listener(message);
    });
  }

  onSocket<N extends With<"socket">>(name: N, listener: (message: Channels[N]) => void): void {
    this.on(name, (message) => (message as ServerChannels["roomcast:socket:connect"]).socket.nsp.server, listener);
  }

  onNamespace<N extends With<"namespace">>(name: N, listener: (message: Channels[N]) => void): void {
    this.on(name, (message) => (message as ServerChannels["roomcast:adapter:restore"]).namespace.server, listener);
  }

  onSession<N extends With<"session">>(name: N, listener: (message: Channels[N]) => void): void {
    this.subscribe(name, (message) => {
      if (this.sessions.has((message as { session: object }).session)) listener(message);
    });
  }

  onEngine<N extends With<"engine">>(name: N, listener: (message: Channels[N]) => void): void {
    this.subscribe(name, (message) => {
      if (this.isOwnEngine((message as { engine: object }).engine)) listener(message);
    });
  }

  end(): void {
    for (const end of this.ends.splice(0)) end();
  }

  private isOwnEngine(engine: object): boolean {
    return (this.io._attached.allEngines as ReadonlySet<object>).has(engine);
  }

  private subscribe<N extends Name>(name: N, listener: (message: Channels[N]) => void): void {
    const onMessage = (message: unknown): void => listener(message as Channels[N]);
    subscribe(name, onMessage);
    this.ends.push(() => unsubscribe(name, onMessage));
  }
}
