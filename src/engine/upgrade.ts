import type { EnginePacket } from "../protocol/engine-packet";
import { Deadline } from "../support/deadline";
import { Prepared } from "./prepared";
import type { Session } from "./session";
import type { Transport, TransportOwner } from "./transport";

/** How often a poll that waits is released, so that the client can pause polling. */
const RELEASE_EVERY_MS = 100;

/**
 * The move of a live session from one transport to another; exists only while it runs.
 *
 *     waiting --"2probe"--> probed --"5"--> switched        (a "5" without probe is accepted)
 *     waiting, probed --time-out, any other packet, candidate gone, session closed--> cancelled
 */
export class Upgrade implements TransportOwner {
  private readonly session: Session;
  private readonly candidate: Transport;
  private state: "waiting" | "probed" | "over";
  private readonly timeout: Deadline<Upgrade>;
  private readonly release: Deadline<Upgrade>;

  constructor(session: Session, candidate: Transport, timeoutMs: number) {
    this.session = session;
    this.candidate = candidate;
    this.state = "waiting";
    this.timeout = new Deadline<Upgrade>(cancelUpgrade, this);
    this.release = new Deadline<Upgrade>(releasePoll, this);
    candidate.owner = this;
    this.timeout.start(timeoutMs);
  }

  onTransportPacket(packet: EnginePacket): void {
    if (packet.type === "ping" && packet.data === "probe" && this.state === "waiting") this.probe();
    else if (packet.type === "ping" && packet.data === "probe" && this.state === "probed") this.answerProbe();
    else if (packet.type === "upgrade") this.complete();
    else this.cancel();
  }

  onTransportMessage(): void {
    this.cancel();
  }

  onTransportReady(): void {}

  onTransportWritten(): void {}

  onTransportClose(): void {
    this.cancel();
  }

  onTransportError(): void {
    this.cancel();
  }

  /** Ends the attempt; the session stays where it is. */
  cancel(): void {
    if (this.state === "over") return;
    this.leave();
    this.candidate.owner = null;
    this.candidate.close();
    this.session.onUpgradeEnd();
  }

  private probe(): void {
    this.state = "probed";
    this.answerProbe();
    this.session.emit("upgrading", this.candidate);
    if ((this.state as string) === "over") return; // a listener closed the session
    // A poll that waits now is released at once; later ones in the rhythm, lest a client that hasn't seen the answer polls in a loop.
    this.releasePoll();
  }

  /** @internal */
  releasePoll(): void {
    this.session.transport.releasePoll();
    this.release.start(RELEASE_EVERY_MS);
  }

  private answerProbe(): void {
    this.candidate.send([new Prepared("pong", "probe", true, false, null, null)], true);
  }

  private complete(): void {
    this.leave();
    this.session.switchTransport(this.candidate);
  }

  private leave(): void {
    this.state = "over";
    this.timeout.cancel();
    this.release.cancel();
  }
}

function cancelUpgrade(upgrade: Upgrade): void {
  upgrade.cancel();
}

function releasePoll(upgrade: Upgrade): void {
  upgrade.releasePoll();
}
