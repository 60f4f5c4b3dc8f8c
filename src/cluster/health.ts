// Whether the link of a node to the others works, and what it has moved and lost.
import { EventEmitter } from "node:events";
import createDebug from "debug";
import { quoted } from "../support/log-text";

const debug = createDebug("socket.io-adapter");

/** What a link has moved, in messages. */
export interface LinkCounters {
  /** Sent to the other nodes. */
  published: number;
  /** Received from them. */
  received: number;
  /** Not sent, as the link was interrupted or the backend refused. */
  lost: number;
  /** Responses that came after the request had ended. */
  late: number;
  /** Received, and dropped as they made no sense. */
  malformed: number;
}

/**
 *     ok --onDown, deaf--> degraded (event "degraded", with the reason) --onUp, and its own pulse heard--> ok (event "restored")
 */
export class Health extends EventEmitter {
  /** `degraded`: messages to or from other nodes may be lost; the sockets of this node are served as always. */
  status: "ok" | "degraded" = "ok";
  /** When `status` got its value, in milliseconds since 1970. */
  since = Date.now();
  readonly counters: LinkCounters = { published: 0, received: 0, lost: 0, late: 0, malformed: 0 };

  constructor() {
    super();
    this.setMaxListeners(0); // an adapter of each namespace listens
  }

  /** @param reason  an error, or a text */
  degrade(reason: unknown): void {
    if (this.status === "degraded") return;
    this.status = "degraded";
    this.since = Date.now();
    if (debug.enabled) debug("the link to the other servers is interrupted: %s", quoted(reason));
    this.emit("degraded", reason instanceof Error ? reason : new Error(String(reason)));
  }

  restore(): void {
    if (this.status === "ok") return;
    this.status = "ok";
    this.since = Date.now();
    if (debug.enabled) debug("the link to the other servers works again");
    this.emit("restored");
  }
}
