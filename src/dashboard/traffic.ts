// What happens between two samples, counted from the diagnostics channels while a page is open.
import { Subscriptions } from "../metrics/subscriptions";
import type { Server } from "../server/server";

/** Events and durations of one interval. */
export interface Traffic {
  /** Packets that reached sockets. */
  received: number;
  /** Packets to single sockets. */
  sent: number;
  /** Sockets that broadcasts went to. */
  delivered: number;
  /** Connections that were opened. */
  opened: number;
  /** Errors of listeners. */
  errors: number;
  /** Durations in milliseconds: of handshakes, of the listeners of an event, of acknowledgements. */
  durations: Record<Timed, number[]>;
}

/** What is timed. */
export type Timed = "handshake" | "event" | "ack";

/** Durations that are kept of one interval; further ones replace random earlier ones. */
const KEPT = 1000;

/** Counts from its creation to `end`. */
export class TrafficCounter {
  private traffic = emptyTraffic();
  private readonly subscriptions: Subscriptions;
  private readonly startedAt = new WeakMap<object, number>();
  private readonly seen: Record<Timed, number> = { handshake: 0, event: 0, ack: 0 };

  constructor(io: Server<any, any, any, any>) {
    const subscriptions = (this.subscriptions = new Subscriptions(io));
    subscriptions.onSocket("roomcast:packet:receive", () => void this.traffic.received++);
    subscriptions.onSocket("roomcast:packet:send", () => void this.traffic.sent++);
    subscriptions.onNamespace("roomcast:broadcast:deliver", ({ receivers }) => void (this.traffic.delivered += receivers));
    subscriptions.onSocket("roomcast:error", () => void this.traffic.errors++);
    subscriptions.onEngine("roomcast:handshake:start", ({ request }) => this.start(request));
    subscriptions.onSession("roomcast:session:open", ({ request }) => {
      this.traffic.opened++;
      if (request !== null) this.stop("handshake", request);
    });
    subscriptions.onSocket("roomcast:event:start", (message) => this.start(message));
    subscriptions.onSocket("roomcast:event:end", (message) => this.stop("event", message));
    subscriptions.onNamespace("roomcast:ack:start", (message) => this.start(message));
    subscriptions.onNamespace("roomcast:ack:end", (message) => {
      if (message.error === undefined) this.stop("ack", message);
    });
  }

  /** Gives what was counted since the last call. */
  take(): Traffic {
    const { traffic } = this;
    this.traffic = emptyTraffic();
    this.seen.handshake = this.seen.event = this.seen.ack = 0;
    return traffic;
  }

  end(): void {
    this.subscriptions.end();
  }

  private start(key: object): void {
    this.startedAt.set(key, performance.now());
  }

  private stop(timed: Timed, key: object): void {
    const at = this.startedAt.get(key);
    if (at === undefined) return; // it began before this counter
    const durations = this.traffic.durations[timed];
    const index = this.seen[timed]++;
    const place = index < KEPT ? index : Math.floor(Math.random() * (index + 1));
    if (place < KEPT) durations[place] = performance.now() - at;
  }
}

function emptyTraffic(): Traffic {
  return { received: 0, sent: 0, delivered: 0, opened: 0, errors: 0, durations: { handshake: [], event: [], ack: [] } };
}
