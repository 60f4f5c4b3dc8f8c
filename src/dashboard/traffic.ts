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
  /** Of handshakes, of the listeners of an event, of acknowledgements. */
  times: Record<Timed, Times>;
}

/** How often something began, and the durations of a sample of it that has ended, in milliseconds. */
export interface Times {
  count: number;
  durations: number[];
}

/** What is timed. */
export type Timed = "handshake" | "event" | "ack";

/** Durations that are wanted of one interval: of more events, every second or every hundredth is timed. */
const WANTED = 1000;

/** Counts from its creation to `end`. */
export class TrafficCounter {
  private traffic = emptyTraffic();
  private readonly subscriptions: Subscriptions;
  private readonly clocks = { handshake: new Clock(), event: new Clock(), ack: new Clock() };

  constructor(io: Server<any, any, any, any>) {
    const subscriptions = (this.subscriptions = new Subscriptions(io));
    const { handshake, event, ack } = this.clocks;
    subscriptions.onSocket("roomcast:packet:receive", () => void this.traffic.received++);
    subscriptions.onSocket("roomcast:packet:send", () => void this.traffic.sent++);
    subscriptions.onNamespace("roomcast:broadcast:deliver", ({ receivers }) => void (this.traffic.delivered += receivers));
    subscriptions.onSocket("roomcast:error", () => void this.traffic.errors++);
    subscriptions.onEngine("roomcast:handshake:start", ({ request }) => handshake.start(request));
    subscriptions.onSession("roomcast:session:open", ({ request }) => {
      this.traffic.opened++;
      if (request !== null) handshake.stop(request);
    });
    subscriptions.onSocket("roomcast:event:start", (message) => event.start(message));
    subscriptions.onSocket("roomcast:event:end", (message) => event.stop(message));
    subscriptions.onNamespace("roomcast:ack:start", (message) => ack.start(message));
    subscriptions.onNamespace("roomcast:ack:end", (message) => {
      if (message.error === undefined) ack.stop(message);
    });
  }

  /** Gives what was counted since the last call. */
  take(): Traffic {
    const { traffic, clocks } = this;
    this.traffic = emptyTraffic();
    for (const [timed, clock] of Object.entries(clocks)) traffic.times[timed as Timed] = clock.take();
    return traffic;
  }

  end(): void {
    this.subscriptions.end();
  }
}

/** Times what happens often, by samples: a clock and a table for each event would cost as much as the event. */
class Clock {
  private times: Times = { count: 0, durations: [] };
  /** Every so many-th is timed. */
  private stride = 1;
  private readonly startedAt = new WeakMap<object, number>();

  start(key: object): void {
    if (this.times.count++ % this.stride === 0) this.startedAt.set(key, performance.now());
  }

  stop(key: object): void {
    const at = this.startedAt.get(key);
    if (at === undefined) return; // it began before, or is no sample
    this.startedAt.delete(key);
    if (this.times.durations.length < 2 * WANTED) this.times.durations.push(performance.now() - at);
  }

  take(): Times {
    const { times } = this;
    this.times = { count: 0, durations: [] };
    this.stride = Math.max(1, Math.round(times.count / WANTED));
    return times;
  }
}

function emptyTraffic(): Traffic {
  const none = (): Times => ({ count: 0, durations: [] });
  return { received: 0, sent: 0, delivered: 0, opened: 0, errors: 0, times: { handshake: none(), event: none(), ack: none() } };
}
