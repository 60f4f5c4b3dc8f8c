// The upgrade of a session from one transport to another.
import createDebug from "debug";
import type { EnginePacket } from "../protocol/engine-packet";
import { Deadline } from "../support/deadline";
import { quoted } from "../support/log-text";
import { sessionUpgrade } from "./channels";
import { Prepared } from "./prepared";
import type { Session } from "./session";
import type { Transport, TransportOwner } from "./transport";

const debug = createDebug("engine:socket");

/** Milliseconds between two releases of a waiting poll, which let the client pause polling (EIO-81, EIO-82). */
const RELEASE_EVERY_MS = 100;

/**
 * An upgrade that is under way.
 *
 *     waiting --"2probe"--> probed --"5"--> switched        (a "5" without probe is accepted, EIO-84)
 *     waiting, probed --time-out, any other packet, candidate gone, session closed--> cancelled
 *
 * A candidate gets one answer; a second probe counts as any other packet (ROB-180). Else answers would pile up for a peer that doesn't read.
 */
export class Upgrade implements TransportOwner {
  readonly outbox = null;
  private readonly session: Session;
  readonly candidate: Transport;
  private state: "waiting" | "probed" | "over";
  private readonly timeout: Deadline<Upgrade>;
  private readonly nextRelease: Deadline<Upgrade>;

  constructor(session: Session, candidate: Transport, timeoutMs: number) {
    this.session = session;
    this.candidate = candidate;
    this.state = "waiting";
    this.timeout = new Deadline<Upgrade>(cancelUpgrade, this);
    this.nextRelease = new Deadline<Upgrade>(onNextRelease, this);
    candidate.owner = this;
    this.timeout.start(timeoutMs);
    if (debug.enabled) debug("%s: might upgrade from %s to %s", quoted(session.id), session.transport.name, candidate.name);
  }

  onTransportPacket(packet: EnginePacket): void {
    if (packet.type === "ping" && packet.data === "probe" && this.state === "waiting") this.probe();
    else if (packet.type === "upgrade") this.complete();
    else this.cancel(`a packet of type ${packet.type}`);
  }

  onTransportMessage(): void {
    this.cancel("a message before the upgrade packet");
  }

  /** Nothing waits for a candidate: what is emitted meanwhile is in the outbox of the session, which `switchTransport` asks to go on. */
  onTransportReady(): void {}

  onTransportHeldUp(): void {}

  onTransportClose(): void {
    this.cancel("the new transport was closed");
  }

  onTransportError(): void {
    this.cancel("the new transport failed");
  }

  /** Ends the upgrade; the session keeps its transport (EIO-85, EIO-86, EIO-87). */
  cancel(why: string = "the session has ended"): void {
    if (this.state === "over") return;
    if (debug.enabled) debug("%s: no upgrade to %s: %s", quoted(this.session.id), this.candidate.name, why);
    this.leave();
    this.candidate.owner = null;
    this.candidate.close();
    this.session.onUpgradeEnd();
  }

  private probe(): void {
    this.state = "probed";
    if (debug.enabled) debug("%s: the probe over %s is answered", quoted(this.session.id), this.candidate.name);
    this.candidate.write(new Prepared("pong", "probe"), null);
    this.session.emit("upgrading", this.candidate);
    if ((this.state as string) === "over") return; // a listener closed the session
    // A waiting poll is released at once (EIO-82), later ones only at intervals: else a client that hasn't read the answer yet polls in a loop.
    this.releasePoll();
  }

  /** @internal */
  releasePoll(): void {
    this.session.transport.releasePoll();
    this.nextRelease.start(RELEASE_EVERY_MS);
  }

  private complete(): void {
    this.leave();
    if (debug.enabled) debug("%s: upgraded to %s", quoted(this.session.id), this.candidate.name);
    const from = this.session.transport.name;
    this.session.switchTransport(this.candidate);
    if (sessionUpgrade.hasSubscribers) sessionUpgrade.publish({ session: this.session, from, to: this.candidate.name });
  }

  private leave(): void {
    this.state = "over";
    this.timeout.cancel();
    this.nextRelease.cancel();
  }
}

function cancelUpgrade(upgrade: Upgrade): void {
  upgrade.cancel("upgradeTimeout is over");
}

function onNextRelease(upgrade: Upgrade): void {
  upgrade.releasePoll();
}
