// The subscriptions of a link on its connection to NATS.
import createDebug from "debug";
import { ignore } from "../../support/ignore";
import { quoted } from "../../support/log-text";
import { throwLater } from "../../support/ask";
import type { NatsConnection, NatsMessage } from "./connection";

const debug = createDebug("socket.io-adapter");

/** Gets a message. @param message  as the driver gave it */
export type Handler = (bytes: Buffer, subject: string, message: NatsMessage) => void;

interface Subscription {
  readonly subject: string;
  readonly handler: Handler;
  handle: { unsubscribe(): void } | null;
}

/** What subscriptions need of the connection. */
interface SubscriptionsPort {
  isUp(): boolean;
  /** Resolves when NATS has seen all that was sent before. */
  flush(): Promise<void>;
  onRefused(error: Error): void;
}

/** The driver subscribes again by itself when it reconnects. */
export class Subscriptions {
  /** Why one was refused; null while all is well. */
  failure: Error | null = null;
  private readonly connection: NatsConnection;
  private readonly port: SubscriptionsPort;
  private readonly all = new Set<Subscription>();
  /** How many were made, and how many of them NATS has confirmed. */
  private made = 0;
  private confirmed = 0;
  private settling: { upTo: number; done: Promise<void> } | null = null;

  constructor(connection: NatsConnection, port: SubscriptionsPort) {
    this.connection = connection;
    this.port = port;
  }

  /** @returns a function that ends it */
  add(subject: string, handler: Handler): () => void {
    const subscription: Subscription = { subject, handler, handle: null };
    this.all.add(subscription);
    this.start(subscription);
    return () => {
      this.all.delete(subscription);
      this.stop(subscription);
    };
  }

  /** Resolves when NATS has confirmed all of them, or doesn't answer; null if it has. */
  settled(): Promise<void> | null {
    const { made } = this;
    if (!this.port.isUp() || this.confirmed === made) return null;
    if (this.settling?.upTo === made) return this.settling.done;
    const done = this.port.flush().then(() => void (this.confirmed = Math.max(this.confirmed, made)), ignore);
    this.settling = { upTo: made, done };
    return done;
  }

  /** Makes all of them again. */
  renew(): void {
    for (const subscription of this.all) {
      this.stop(subscription);
      this.start(subscription);
    }
  }

  /** Ends all of them. */
  clear(): void {
    for (const subscription of this.all) this.stop(subscription);
    this.all.clear();
  }

  private start(subscription: Subscription): void {
    const { subject, handler } = subscription;
    this.made++;
    try {
      subscription.handle = this.connection.subscribe(subject, {
        callback: (error, message) => {
          if (error !== null) return this.onRefused(error);
          const { data } = message;
          try {
            handler(Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength), message.subject, message);
          } catch (thrown) {
            throwLater(thrown); // of a listener of the program: not into the driver, which would stop to read
          }
        },
      });
    } catch (error) {
      this.onRefused(error as Error); // the connection is closed
    }
  }

  private onRefused(error: Error): void {
    this.failure = error;
    this.port.onRefused(error);
  }

  private stop({ handle }: Subscription): void {
    try {
      handle?.unsubscribe();
    } catch (error) {
      if (debug.enabled) debug("nats: unsubscribing failed: %s", quoted(error));
    }
  }
}
