// The subscriptions of one client of Redis: what is wanted, brought about in as few commands as possible.
import createDebug from "debug";
import { throwLater } from "../../support/ask";
import { ignore } from "../../support/ignore";
import { quoted, textOf } from "../../support/log-text";
import { runInRoot } from "../../support/tick";
import { within } from "../../support/within";
import type { Kind, RedisClient } from "./client";

const debug = createDebug("socket.io-adapter");

/** Gets a message. */
export type Handler = (message: Buffer, channel: string) => void;

/** Time in which Redis has to confirm a subscription, and until a failed one is tried again. */
const CONFIRM_MS = 2_000;
const RETRY_MS = 1_000;
/** Names per command. */
const BATCH_MAX = 1_000;

interface Subscription {
  readonly kind: Kind;
  readonly handlers: Handler[];
  isHeld: boolean;
}

/**
 * What changes in a tick leaves at its end, in one command per kind: what is wanted then counts, so a room that is joined, left and joined again
 * needs none, or one. A name whose command is under way waits until that is confirmed.
 *
 *     wanted --end of the tick--> under way --confirmed--> held --nobody wants it--> under way --confirmed--> gone
 *                                 under way --failed, or not confirmed in time--> wanted (tried again in a second, or when the client is ready)
 */
export class Subscriptions {
  client: RedisClient;
  /** Why names could not be subscribed to; null while all is well. */
  failure: unknown = null;
  /** Called with the reason whenever Redis has not confirmed names that are wanted. */
  readonly onRefused = new Set<(reason: unknown) => void>();
  private readonly byName = new Map<string, Subscription>();
  /** Names to look at, and names whose command is under way. */
  private readonly changed = new Set<string>();
  private readonly busy = new Set<string>();
  /** Names that were wanted while the client could not hear, or that failed, until they are held. */
  private readonly overdue = new Set<string>();
  /** Names of a command that was refused: each is tried alone, since Redis refuses a whole command for one name that is not allowed. */
  private readonly refused = new Set<string>();
  /** Called when none is overdue any more. */
  private readonly waiting: (() => void)[] = [];
  private readonly flights = new Set<Promise<void>>();
  private isScheduled = false;
  private settling: Promise<void> | null = null;
  private retry: NodeJS.Timeout | null = null;
  private renewing: Promise<void> | null = null;
  private isStopped = false;

  constructor(client: RedisClient) {
    this.client = client;
    this.receiveFrom(client);
  }

  private receiveFrom(client: RedisClient): void {
    client.receive((name, channel, message) => {
      const subscription = this.byName.get(name);
      if (subscription === undefined) return;
      for (const handler of subscription.handlers) {
        try {
          handler(message, channel);
        } catch (error) {
          throwLater(error); // of a listener of the program: not into the driver, which would stop to read
        }
      }
    });
  }

  add(kind: Kind, name: string, handler: Handler): void {
    let subscription = this.byName.get(name);
    if (subscription === undefined) this.byName.set(name, (subscription = { kind, handlers: [], isHeld: false }));
    subscription.handlers.push(handler);
    this.change(name);
  }

  remove(name: string, handler: Handler): void {
    const handlers = this.byName.get(name)?.handlers ?? [];
    const index = handlers.indexOf(handler);
    if (index < 0) return;
    handlers.splice(index, 1);
    if (handlers.length === 0) this.change(name);
  }

  /** Whether Redis has confirmed a subscription, and its messages arrive as far as one can tell. */
  isHeld(name: string): boolean {
    return this.client.canHear && this.byName.get(name)?.isHeld === true && !this.changed.has(name);
  }

  /** Whether no subscription is overdue: one that was asked for while Redis was away, or that failed. */
  get isWhole(): boolean {
    return this.overdue.size === 0;
  }

  /** Resolves when `isWhole` is true. */
  async whole(): Promise<void> {
    while (!this.isWhole) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  /** Whether nobody needs the client any more. */
  get isUnused(): boolean {
    for (const { handlers } of this.byName.values()) if (handlers.length > 0) return false;
    return true;
  }

  /** Resolves when what is wanted now is subscribed to, or cannot be for the moment; null if nothing is to be done. */
  settled(): Promise<void> | null {
    if (!this.client.canHear || (!this.isScheduled && this.flights.size === 0)) return null;
    return (this.settling ??= this.settle());
  }

  private async settle(): Promise<void> {
    for (let round = 0; round < 2; round++) {
      await Promise.resolve(); // what is scheduled leaves in a microtask
      await Promise.all(this.flights);
    }
  }

  /** The client is ready, possibly again. */
  onReady(): void {
    this.schedule();
  }

  /**
   * Nothing arrives: subscribes to everything again, with another client where the driver has lost its connection for good.
   * @param isReachable  whether other clients reach Redis
   */
  renew(isReachable: boolean): Promise<void> {
    return (this.renewing ??= this.renewNow(isReachable).finally(() => (this.renewing = null)));
  }

  private async renewNow(isReachable: boolean): Promise<void> {
    const { client } = this;
    const names = [...this.byName.keys()];
    if (client.canHear && client.isWhole) {
      const held = names.filter((name) => this.byName.get(name)!.isHeld);
      await within(CONFIRM_MS, Promise.all(this.commands("unsubscribe", held))).catch(ignore);
    } else if (isReachable && client.replace !== null) {
      const other = await client.replace(CONFIRM_MS);
      if (this.isStopped) return other.release();
      for (const gone of this.commands("unsubscribe", names)) gone.catch(ignore); // should the driver connect again one day
      this.client = other;
      this.receiveFrom(other);
      client.release();
      debug("redis: another connection takes the place of one that stays unconnected");
    } else return; // the driver connects again
    for (const [name, subscription] of this.byName) {
      subscription.isHeld = false;
      this.overdue.add(name);
      this.change(name);
    }
  }

  /** Nobody needs the client any more. */
  stop(): void {
    this.isStopped = true;
    if (this.retry !== null) clearTimeout(this.retry);
    this.byName.clear();
    this.changed.clear();
    this.overdue.clear();
    this.refused.clear();
    this.client.release();
  }

  private change(name: string): void {
    this.changed.add(name);
    this.schedule();
  }

  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    this.settling = null;
    runInRoot(() => queueMicrotask(() => this.flush()));
  }

  private flush(): void {
    this.isScheduled = false;
    if (!this.client.canHear) {
      for (const name of this.changed) if (this.byName.get(name)?.isHeld === false) this.overdue.add(name);
      return this.retryLater();
    }
    const missing: string[] = [];
    const unwanted: string[] = [];
    for (const name of this.changed) {
      if (this.busy.has(name)) continue;
      this.changed.delete(name);
      const subscription = this.byName.get(name);
      if (subscription === undefined) continue;
      const { handlers, isHeld } = subscription;
      if (handlers.length > 0 && !isHeld) missing.push(name);
      else if (handlers.length === 0 && isHeld) unwanted.push(name);
      else if (handlers.length === 0) this.forget(name);
    }
    for (const name of missing.filter((each) => this.refused.has(each))) this.launch([name], []);
    this.launch(
      missing.filter((name) => !this.refused.has(name)),
      unwanted,
    );
  }

  private launch(missing: string[], unwanted: string[]): void {
    if (missing.length + unwanted.length === 0) return;
    const flight: Promise<void> = this.fly(missing, unwanted).finally(() => this.flights.delete(flight));
    this.flights.add(flight);
  }

  private async fly(missing: string[], unwanted: string[]): Promise<void> {
    const { client } = this;
    const names = [...missing, ...unwanted];
    for (const name of names) this.busy.add(name);
    try {
      await within(CONFIRM_MS, Promise.all([...this.commands("subscribe", missing), ...this.commands("unsubscribe", unwanted)]));
      if (client !== this.client) throw new Error("the client was replaced");
      for (const name of missing) this.keep(name);
      for (const name of unwanted) this.drop(name);
      if (this.isWhole) this.failure = null;
    } catch (error) {
      this.failure = error;
      if (debug.enabled) debug("redis: %d names were not subscribed to: %s", names.length, quoted(error));
      for (const name of names) if (this.byName.has(name)) this.changed.add(name);
      const isRefused = /\bNOPERM\b/.test(textOf(error));
      for (const name of missing) {
        if (!this.byName.has(name)) continue;
        this.overdue.add(name);
        if (isRefused) this.refused.add(name);
      }
      this.retryLater();
      if (!this.isWhole) for (const tell of this.onRefused) tell(error);
    }
    for (const name of names) this.busy.delete(name);
    if (this.changed.size > 0 && this.retry === null) this.schedule();
  }

  private retryLater(): void {
    if (this.retry !== null || this.changed.size === 0) return;
    this.retry = setTimeout(() => {
      this.retry = null;
      this.schedule();
    }, RETRY_MS);
    this.retry.unref?.();
  }

  private keep(name: string): void {
    const subscription = this.byName.get(name);
    if (subscription !== undefined) subscription.isHeld = true;
    this.settleOverdue(name);
  }

  private drop(name: string): void {
    const subscription = this.byName.get(name);
    if (subscription === undefined) return;
    subscription.isHeld = false;
    if (subscription.handlers.length === 0) this.forget(name);
    else this.changed.add(name); // wanted again meanwhile
  }

  private forget(name: string): void {
    this.byName.delete(name);
    this.settleOverdue(name);
  }

  private settleOverdue(name: string): void {
    this.overdue.delete(name);
    this.refused.delete(name);
    if (this.isWhole) for (const resolve of this.waiting.splice(0)) resolve();
  }

  private commands(method: "subscribe" | "unsubscribe", names: readonly string[]): Promise<unknown>[] {
    const commands: Promise<unknown>[] = [];
    for (const kind of ["channel", "pattern", "shard"] as const) {
      const some = names.filter((name) => this.byName.get(name)?.kind === kind);
      for (let at = 0; at < some.length; at += BATCH_MAX) commands.push(this.client[method](kind, some.slice(at, at + BATCH_MAX)));
    }
    return commands;
  }
}
