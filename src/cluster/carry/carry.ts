// Sessions without sticky sessions: this process as the carrier and as the owner of what other processes carry.
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { generateId } from "../../support/ids";
import type { ForeignSessions } from "../../engine/foreign-sessions";
import type { ServerId } from "../messages";
import { Carrier } from "./carrier";
import { decodeCarryFrame, encodeCarryFrame } from "./carry-frame";
import { type EngineOf, Owner } from "./owner";

/** Requests that were on the way when the server closed arrive meanwhile, here or by way of other servers. */
const LATE_REQUESTS_MS = 250;

/** What carrying needs of the link and the nodes. */
export interface CarryPort {
  readonly uid: ServerId;
  /** Sends bytes to one node. Rejects if it is known that they didn't arrive. */
  send(to: ServerId, bytes: Buffer): Promise<unknown>;
  /** The node whose session ids begin with a tag, if it is there. */
  ownerOf(tag: string): ServerId | undefined;
  /** Resolves when this node and the others know each other; null afterwards. */
  meeting(): Promise<void> | null;
  /** Gives the connection of an upgrade request to one node; false if it stays here. */
  handOver(to: ServerId, request: IncomingMessage, socket: Duplex, head: Buffer): boolean;
  readonly engineOf: EngineOf;
}

export class Carry {
  /** The first characters of the ids of this process' sessions. Random: `LinkHub` takes another one if some node has the same. */
  tag = newTag();
  readonly sessions: ForeignSessions;
  private readonly carrier: Carrier;
  private readonly owner: Owner;

  constructor({ uid, send, ownerOf, meeting, handOver, engineOf }: CarryPort) {
    this.carrier = new Carrier({
      tag: () => this.tag,
      ownerOf,
      meeting,
      handOver,
      send: (to, type, id, payload, head) => send(to, encodeCarryFrame({ type, to: "owner", sender: uid, id }, payload, head)),
    });
    this.owner = new Owner(
      { send: (to, type, id, payload, head) => send(to, encodeCarryFrame({ type, to: "carrier", sender: uid, id }, payload, head)) },
      engineOf,
    );
    this.sessions = this.carrier;
  }

  /** Requests and WebSockets that are carried, here and for other processes. */
  get size(): number {
    return this.carrier.size + this.owner.size;
  }

  /** Bytes of another process. @returns false if they make no sense */
  onBytes(bytes: Buffer): boolean {
    const frame = decodeCarryFrame(bytes);
    if (frame === null) return false;
    if (frame.to === "owner") this.owner.onFrame(frame);
    else this.carrier.onFrame(frame);
    return true;
  }

  onNodeGone(uid: ServerId): void {
    this.carrier.onNodeGone(uid);
    this.owner.onNodeGone(uid);
  }

  renewTag(): void {
    this.tag = newTag();
  }

  /** Ends in order: sessions with what is carried for them, and what is carried for others. Resolves when nothing is carried any more. */
  async leave(): Promise<void> {
    this.owner.close();
    const left = this.carrier.leave();
    if (this.carrier.hasCarried || this.owner.hasCarried) await delay(LATE_REQUESTS_MS);
    await left;
  }

  close(): void {
    this.carrier.close();
  }
}

function newTag(): string {
  return generateId().slice(0, 4);
}
