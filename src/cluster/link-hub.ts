// The connection of a server to the other nodes, shared by the adapters of all its namespaces.
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import createDebug from "debug";
import { UsageError } from "../errors";
import type { BaseServer } from "../engine/engine";
import type { ForeignSessions } from "../engine/foreign-sessions";
import { quoted } from "../support/log-text";
import { ignore } from "../support/ignore";
import { within } from "../support/within";
import { Carry } from "./carry/carry";
import { Health } from "./health";
import type { Channel, Link, Receiver } from "./link";
import { randomId, type ServerId } from "./messages";
import { Presence, type PresenceOptions } from "./presence";

const debug = createDebug("socket.io-adapter");

/** Time that a backend has for each step of closing, and for the first meeting with the other nodes. */
const STEP_MS = 2_000;
/** Time of that meeting where the backend doesn't know who is there. */
const MEET_UNLISTED_MS = 500;
const MEET_STEP_MS = 10;

/** Options of every adapter with a link. */
export interface LinkOptions extends PresenceOptions {
  /**
   * Whether requests of a session that reach another server of the cluster are carried to the one that has it, so that no sticky sessions are
   * needed. Default false. All servers of the cluster need it.
   */
  carrySessions?: boolean;
  /** Time after which a request to the other servers ends, unless it has a time-out of its own, in milliseconds. Default 5,000. */
  requestsTimeout?: number;
}

/** The members of a server that the hub reads. */
interface HubServer {
  readonly engine?: BaseServer;
  readonly _attached?: {
    carry(foreign: ForeignSessions): void;
    endCarry(foreign: ForeignSessions): void;
    takeConnection(socket: Socket): boolean;
    readonly clientsCount: number;
    engineOf(sid: string): unknown;
  };
  readonly _warnings?: { warn(code: string, text: string, cause?: unknown): void; advise(code: string, text: string): void };
}

/**
 *     new --first namespace--> opening --> open --last namespace is closed--> closed
 *
 * While it opens, and whenever the link is interrupted, namespaces work without the other nodes.
 */
export class LinkHub {
  readonly uid: ServerId = randomId();
  readonly health = new Health();
  readonly presence: Presence;
  private readonly link: Link;
  private readonly server: HubServer;
  private readonly members = new Set<Receiver>();
  private opened: Promise<void> | null = null;
  /** Until this node and the others know each other: then null. */
  private meeting: Promise<void> | null = null;
  private readonly carry: Carry | null;
  private readonly onEmpty: () => void;

  /**
   * @param onEmpty  the last namespace was closed: the hub must not be used again
   * @throws UsageError RC_ERR_OPTION if sessions shall be carried, and the link or the server can't
   */
  constructor(link: Link, server: HubServer, options: LinkOptions, onEmpty: () => void) {
    this.link = link;
    this.server = server;
    this.onEmpty = onEmpty;
    this.carry = options.carrySessions === true ? this.carryOver(link, server) : null;
    this.presence = new Presence(this.uid, {
      ...options,
      health: this.health,
      send: (text) => link.sendPulse(text),
      state: () => ({ clients: server._attached?.clientsCount ?? 0, namespaces: Array.from(this.members, ({ namespace }) => namespace) }),
      onGone: (uid) => {
        for (const member of this.members) member.onNodeGone(uid);
        this.carry?.onNodeGone(uid);
      },
      carry: this.carry,
      isWhole: () => link.isWhole !== false,
      isSubscribed: () => link.isSubscribed !== false,
      onDeaf: link.hasEcho ? () => this.renew() : null,
      settings: { carrySessions: String(this.carry !== null), ...link.settings },
      onDifference: (text) => server._warnings?.advise("ROOMCAST_CLUSTER_MIXED", `${link.name}: ${text}`),
    });
  }

  /** Requests and WebSockets of clients that are carried, to other processes and for them. */
  get carriedCount(): number {
    return this.carry?.size ?? 0;
  }

  /** Opens a namespace. */
  add(member: Receiver): Channel {
    this.members.add(member);
    const channel = this.link.channel(member);
    if (this.opened === null) {
      this.opened = this.open();
      if (this.carry !== null) this.meeting = this.settle(this.opened.then(() => this.meetOthers())).finally(() => (this.meeting = null));
    }
    this.presence.announce();
    return channel;
  }

  /** Closes a namespace, and with the last one the link. */
  async remove(member: Receiver, channel: Channel): Promise<void> {
    if (!this.members.delete(member)) return;
    const isLast = this.members.size === 0;
    if (isLast) this.onEmpty();
    if (isLast && this.carry !== null) await this.endCarry(this.carry);
    if (isLast) await this.settle(this.presence.stop());
    else this.presence.announce();
    await this.settle(channel.close());
    if (isLast) await this.close();
  }

  /** What is carried ends before the link does. */
  private async endCarry(carry: Carry): Promise<void> {
    await this.settle(carry.leave());
    this.server._attached?.endCarry(carry.sessions);
    carry.close();
  }

  private carryOver(link: Link, server: HubServer): Carry {
    if (link.sendDirect === undefined || server._attached === undefined) {
      throw new UsageError("RC_ERR_OPTION", `option carrySessions: the adapter ${link.name} cannot carry sessions`);
    }
    const carry: Carry = new Carry({
      uid: this.uid,
      send: (to, bytes) => link.sendDirect!(to, bytes),
      ownerOf: (tag) => this.presence.ownerOf(tag),
      meeting: () => this.meeting,
      handOver: (to, request, socket, head) => link.handOver?.(to, request, socket, head) === true,
      engineOf: (sid) => (server._attached?.engineOf(sid) ?? server.engine) as BaseServer | undefined,
    });
    server._attached.carry(carry.sessions);
    return carry;
  }

  private onDirect(bytes: Buffer): void {
    if (this.carry?.onBytes(bytes) === false) this.health.counters.malformed++;
  }

  private onConnection(socket: Socket): void {
    if (this.server._attached?.takeConnection(socket) !== true) socket.destroy(); // the client goes on with polling
  }

  private async open(): Promise<void> {
    try {
      await this.link.open(
        {
          onPulse: (text) => this.presence.onPulse(text),
          onDirect: (bytes) => this.onDirect(bytes),
          onUp: () => this.onUp(),
          onDown: (reason) => this.health.degrade(reason),
          onProblem: (text, cause) => this.server._warnings?.warn("ROOMCAST_CLUSTER_LINK", `${this.link.name}: ${text}`, cause),
          onGone: (uid) => this.presence.forget(uid),
          onConnection: this.carry === null ? null : (socket) => this.onConnection(socket),
          onLost: (messages) => void (this.health.counters.lost += messages),
          onMalformed: (reason) => {
            this.health.counters.malformed++;
            if (debug.enabled) debug("%s: what arrived is dropped: %s", this.link.name, quoted(reason));
          },
        },
        this.uid,
      );
      if (this.members.size > 0) await this.presence.start();
    } catch (error) {
      const text = `${this.link.name}: this server doesn't reach the others, its own clients are served`;
      this.server._warnings?.warn("ROOMCAST_CLUSTER_LINK", text, error);
      this.health.degrade(error);
      if (this.members.size > 0) this.presence.start().catch(ignore); // it goes on trying: an own pulse that is heard ends it
    }
  }

  /** Sessions of this node are known to the others, and theirs here, before the first request is answered by what is known (ROB-929). */
  private async meetOthers(): Promise<void> {
    const startedAt = Date.now();
    const { link } = this;
    while (this.members.size > 0 && this.health.status === "ok") {
      if (Date.now() - startedAt > (link.others === undefined ? MEET_UNLISTED_MS : STEP_MS)) return;
      const others = await link.others?.().catch(() => undefined);
      if (others !== undefined && this.presence.hasMet(others)) return;
      await delay(MEET_STEP_MS, undefined, { ref: false });
    }
  }

  private onUp(): void {
    if (!this.link.hasEcho) this.health.restore();
    this.presence.greet(); // the other nodes may have forgotten this one; where there is an echo, it shows that all is well
  }

  private renew(): void {
    this.link.renew?.().catch((error: unknown) => debug("%s: subscribing again failed: %s", this.link.name, quoted(error)));
  }

  private async close(): Promise<void> {
    if (this.opened !== null) await this.settle(this.opened);
    await this.settle(this.link.close());
  }

  /** A driver that has lost its connection may never answer: the server closes all the same. */
  private async settle(done: Promise<unknown>): Promise<void> {
    try {
      await within(STEP_MS, done);
    } catch (error) {
      if (debug.enabled) debug("%s: no answer: %s", this.link.name, quoted(error));
    }
  }
}
