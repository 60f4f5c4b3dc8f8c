// A connection to NATS, reduced to what a link needs.
import createDebug from "debug";
import { ClusterError } from "../../errors";
import { ignore } from "../../support/ignore";
import { quoted } from "../../support/log-text";
import { within } from "../../support/within";
import { Subscriptions } from "./subscriptions";

const debug = createDebug("socket.io-adapter");

/** The members that are used of a connection of `@nats-io/transport-node` 3, or of `nats` 2. */
export interface NatsConnection {
  readonly info?: { readonly max_payload: number };
  publish(subject: string, payload: Uint8Array, options?: { reply: string }): void;
  subscribe(subject: string, options: { callback(error: Error | null, message: NatsMessage): void }): { unsubscribe(): void };
  flush(): Promise<void>;
  status(): Statuses;
  closed(): Promise<unknown>;
  isClosed(): boolean;
  reconnect?(): Promise<void>;
}

/** Both drivers can stop it; without that it ends with the connection. */
interface Statuses extends AsyncIterable<{ readonly type: string }> {
  stop?(): void;
}

/** The members that are used of a message. */
export interface NatsMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly reply?: string;
  readonly headers?: { readonly code?: number; get(name: string): string };
}

/** What a connection tells. */
export interface ConnectionListener {
  onUp(): void;
  onDown(reason: unknown): void;
}

/** Time in which NATS has to answer. */
const ANSWER_MS = 5_000;
/** A connection without answers for so long is given up. */
const SILENT_MAX_MS = 15_000;
const DEFAULT_MAX_PAYLOAD = 1024 * 1024;
/** Bytes that NATS may not have confirmed yet: then it is asked, and more than the maximum are refused instead of waiting in the driver. */
const CONFIRM_BYTES = 1024 * 1024;
const UNCONFIRMED_BYTES_MAX = 64 * 1024 * 1024;

/**
 *     up --disconnect--> down (nothing is published; the driver would queue it) --reconnect, and NATS answers--> up
 *
 * The driver connects and subscribes again by itself.
 */
export class Connection {
  readonly subscriptions: Subscriptions;
  private readonly connection: NatsConnection;
  private isUp: boolean;
  private listener: ConnectionListener | null = null;
  private statuses: Statuses | null = null;
  private unconfirmedBytes = 0;
  private isConfirming = false;
  private isRenewing = false;
  private renewals = 0;
  private silentSince: number | null = null;

  constructor(connection: NatsConnection) {
    this.connection = connection;
    this.isUp = !connection.isClosed();
    this.subscriptions = new Subscriptions(connection, {
      isUp: () => this.isUp,
      flush: () => this.flush(),
      onRefused: (error) => this.listener?.onDown(error),
    });
  }

  get isClosed(): boolean {
    return this.connection.isClosed();
  }

  get maxPayload(): number {
    return this.connection.info?.max_payload ?? DEFAULT_MAX_PAYLOAD;
  }

  watch(listener: ConnectionListener): void {
    this.listener = listener;
    this.follow().catch((error: unknown) => debug("nats: its status is unknown: %s", quoted(error)));
    void this.connection.closed().then(() => this.onDown("the connection was closed"), ignore);
  }

  private async follow(): Promise<void> {
    this.statuses = this.connection.status();
    for await (const { type } of this.statuses) {
      if (this.listener === null) return;
      if (type === "disconnect" || type === "staleConnection") this.onDown(`NATS: ${type}`);
      else if (type === "reconnect") void this.onReconnect();
    }
  }

  private onDown(reason: string): void {
    this.isUp = false;
    this.listener?.onDown(reason);
  }

  private async onReconnect(): Promise<void> {
    this.unconfirmedBytes = 0;
    this.isUp = true;
    try {
      await this.flush();
    } catch {
      return; // interrupted again, or deaf: its own pulse tells
    }
    if (this.isUp) this.listener?.onUp();
  }

  /** @throws ClusterError RC_ERR_CLUSTER_LINK if it cannot be sent now; an error of the driver */
  publish(subject: string, bytes: Buffer, reply?: string): void {
    if (!this.isUp) throw new ClusterError("RC_ERR_CLUSTER_LINK", "NATS is not connected");
    if (this.unconfirmedBytes > UNCONFIRMED_BYTES_MAX) throw new ClusterError("RC_ERR_CLUSTER_LINK", "NATS does not answer");
    this.connection.publish(subject, bytes, reply === undefined ? undefined : { reply });
    this.unconfirmedBytes += bytes.length;
    if (this.unconfirmedBytes > CONFIRM_BYTES && !this.isConfirming) void this.confirm();
  }

  private async confirm(): Promise<void> {
    const bytes = this.unconfirmedBytes;
    this.isConfirming = true;
    try {
      await this.connection.flush();
      this.unconfirmedBytes = Math.max(0, this.unconfirmedBytes - bytes);
    } catch {
      // interrupted: `onReconnect` begins anew
    }
    this.isConfirming = false;
  }

  /** Resolves when NATS has seen all that was sent before. Rejects if it doesn't answer in time. */
  async flush(): Promise<void> {
    if (!this.isUp) throw new ClusterError("RC_ERR_CLUSTER_LINK", "NATS is not connected");
    try {
      await within(ANSWER_MS, this.connection.flush());
    } catch (cause) {
      throw new ClusterError("RC_ERR_CLUSTER_LINK", "NATS does not answer", { cause });
    }
  }

  /**
   * Subscribes to everything again; if that doesn't help, connects again. While NATS doesn't answer it is only slow, and what is on its way is
   * not lost yet: then it has `SILENT_MAX_MS`.
   * @param isHearing  whether what was published before this call has come back: NATS sends that before it answers
   */
  async renew(isHearing: () => boolean): Promise<void> {
    if (!this.isUp || this.isRenewing) return; // the driver is at it
    this.isRenewing = true;
    const isAnswering = await this.flush().then(isTrue, isFalse);
    this.isRenewing = false;
    this.silentSince = isAnswering ? null : (this.silentSince ?? Date.now());
    if (isAnswering && isHearing()) this.renewals = 0;
    else if (this.isUp && (isAnswering || Date.now() - this.silentSince! > SILENT_MAX_MS)) {
      if (this.renewals++ > 0 && this.connection.reconnect !== undefined) await this.connection.reconnect();
      else this.subscriptions.renew();
    }
  }

  /** Ends what was watched; the connection stays. */
  async release(): Promise<void> {
    this.listener = null;
    this.subscriptions.clear();
    this.statuses?.stop?.();
    if (this.isUp) await this.flush();
  }
}

const isTrue = (): boolean => true;
const isFalse = (): boolean => false;
