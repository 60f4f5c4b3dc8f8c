// The figures of a server: taken when a page asks, at most once in an interval, whatever the number of pages.
import type { NodeDescription } from "../server/adapter/contract";
import type { Server } from "../server/server";
import type { ServerStats } from "../server/stats";
import type { ServerHealth } from "../server/health";
import { waitingSockets, type SocketRow } from "./listing";
import { TrafficCounter, type Timed, type Times, type Traffic } from "./traffic";

type AnyServer = Server<any, any, any, any>;

/** One point of the curves; rates are per second, durations in milliseconds or null if there was none. */
export interface Sample {
  readonly number: number;
  readonly at: number;
  readonly sessions: number;
  readonly sockets: number;
  readonly received: number;
  readonly sent: number;
  readonly delivered: number;
  readonly opened: number;
  readonly closed: number;
  readonly waitingBytes: number;
  readonly memoryBytes: number;
  readonly loopLagMs: number;
  readonly eventMs: number | null;
}

/** The distribution of durations in the last interval, in milliseconds; null if there was none. */
type Quantiles = { readonly count: number; readonly p50: number; readonly p95: number; readonly p99: number; readonly max: number } | null;

/** All figures of one moment. */
export interface Figures {
  readonly at: number;
  readonly sockets: number;
  readonly rooms: number;
  readonly memoryBytes: number;
  readonly uptimeSeconds: number;
  readonly listenerErrors: number;
  readonly stats: Omit<ServerStats, "namespaces" | "counts">;
  readonly health: ServerHealth;
  readonly latencies: Readonly<Record<Timed, Quantiles>>;
  readonly namespaces: readonly { name: string; sockets: number; rooms: number; acks: number; joining: number }[];
  readonly namespacesInAll: number;
  readonly nodes: readonly NodeDescription[];
  readonly adapter: { readonly name: string; readonly counters: Readonly<Record<string, number>> };
  /** Sockets that most bytes wait for. */
  readonly slow: readonly SocketRow[];
  /** Counts since the start that are not 0, largest first: limits and errors by code, ends and refusals by reason, dropped events by cause. */
  readonly limits: readonly Count[];
  readonly ends: readonly Count[];
  readonly refusals: readonly Count[];
  readonly dropped: readonly Count[];
}

type Count = readonly [name: string, count: number];

const SAMPLES = 120;
const NAMESPACES = 200;
const SLOW = 10;
/** Without a question for so long, and for five intervals, no page is open. */
const IDLE_MS = 10_000;

/**
 * Watches a server while pages ask: then it subscribes to channels, and one timer waits for the end of that. Before and after, it has neither
 * a subscription nor a timer.
 */
export class Sampler {
  private readonly io: AnyServer;
  private readonly intervalMs: number;
  private readonly onEnd: () => void;
  private watching: { readonly traffic: TrafficCounter; readonly timer: NodeJS.Timeout } | null = null;
  private taking: Promise<Figures> | null = null;
  private figures: Figures | null = null;
  private takenAt = -Infinity;
  private samples: Sample[] = [];
  private sampleNumber = 0;
  private listenerErrors = 0;
  private closedBefore = 0;

  /** @param onEnd  called when no page is open any more */
  constructor(io: AnyServer, intervalMs: number, onEnd: () => void) {
    this.io = io;
    this.intervalMs = intervalMs;
    this.onEnd = onEnd;
  }

  /**
   * Gives figures that are at most one interval old, while it watches.
   * @param since  number of the last sample that the page has; only later ones are given
   */
  async read(since: number): Promise<{ figures: Figures; samples: readonly Sample[] }> {
    const figures = await this.current();
    return { figures, samples: this.samples.filter(({ number }) => number > since) };
  }

  /** Stops watching. The next question starts again. */
  end(): void {
    if (this.watching === null) return;
    clearTimeout(this.watching.timer);
    this.watching.traffic.end();
    this.watching = this.figures = null;
    this.takenAt = -Infinity;
    this.samples = [];
    this.onEnd();
  }

  /** A page is open: watches from now on, until no page has asked for 10 seconds. */
  watch(): void {
    if (this.watching !== null) return void this.watching.timer.refresh();
    const timer = setTimeout(() => this.end(), Math.max(IDLE_MS, 5 * this.intervalMs)).unref();
    this.watching = { traffic: new TrafficCounter(this.io), timer };
    this.closedBefore = closedIn(this.io.stats());
    this.listenerErrors = 0;
  }

  private current(): Promise<Figures> {
    // Timers and the network make pages ask slightly early.
    if (this.figures !== null && performance.now() - this.takenAt < 0.9 * this.intervalMs) return Promise.resolve(this.figures);
    return (this.taking ??= this.take().finally(() => (this.taking = null)));
  }

  private async take(): Promise<Figures> {
    const now = performance.now();
    const seconds = (now - this.takenAt) / 1000; // infinite at the first sample: all rates are 0
    this.takenAt = now;
    const traffic = this.watching!.traffic.take();
    const stats = this.io.stats();
    const health = this.io.health();
    this.listenerErrors += traffic.errors;
    const latencies = {
      handshake: quantilesOf(traffic.times.handshake),
      event: quantilesOf(traffic.times.event),
      ack: quantilesOf(traffic.times.ack),
    };
    this.addSample(traffic, stats, health, latencies.event, seconds);
    const nodes = await this.io.nodes().catch(() => []); // an adapter of another package may fail
    return (this.figures = this.describe(stats, health, latencies, nodes));
  }

  private addSample(traffic: Traffic, stats: ServerStats, health: ServerHealth, event: Quantiles, seconds: number): void {
    const closedSoFar = closedIn(stats);
    const rate = (count: number): number => Math.round((count / seconds) * 10) / 10;
    this.samples.push({
      number: ++this.sampleNumber,
      at: Date.now(),
      sessions: stats.sessions,
      sockets: Object.values(stats.namespaces).reduce((sum, { sockets }) => sum + sockets, 0),
      received: rate(traffic.received),
      sent: rate(traffic.sent),
      delivered: rate(traffic.delivered),
      opened: rate(traffic.opened),
      closed: rate(closedSoFar - this.closedBefore),
      waitingBytes: stats.outbox.bytes,
      memoryBytes: process.memoryUsage.rss(),
      loopLagMs: health.loopLagMs,
      eventMs: event === null ? null : event.p95,
    });
    this.closedBefore = closedSoFar;
    if (this.samples.length > SAMPLES) this.samples.shift();
  }

  private describe(stats: ServerStats, health: ServerHealth, latencies: Figures["latencies"], nodes: NodeDescription[]): Figures {
    const { namespaces: tables, counts, ...sizes } = stats;
    const namespaces = Object.entries(tables)
      .map(([name, { sockets, acks, joining, adapter }]) => ({
        name,
        sockets,
        rooms: Math.max(0, (adapter["rooms"] ?? 0) - sockets), // each socket has a room of its own
        acks,
        joining,
      }))
      .sort((a, b) => b.sockets - a.sockets);
    const { adapter } = this.io.sockets;
    return {
      at: Date.now(),
      sockets: this.samples.at(-1)!.sockets,
      rooms: namespaces.reduce((sum, { rooms }) => sum + rooms, 0),
      memoryBytes: this.samples.at(-1)!.memoryBytes,
      uptimeSeconds: Math.round(process.uptime()),
      listenerErrors: this.listenerErrors,
      stats: sizes,
      health,
      latencies,
      namespaces: namespaces.slice(0, NAMESPACES),
      namespacesInAll: namespaces.length,
      nodes,
      adapter: { name: adapter.constructor.name, counters: { ...(adapter as { counters?: Record<string, number> }).counters } },
      slow: waitingSockets(this.io, SLOW),
      limits: countsOf(counts.codes),
      ends: countsOf(counts.sessions),
      refusals: countsOf(counts.refusals),
      dropped: countsOf(counts.dropped),
    };
  }
}

function closedIn({ counts }: ServerStats): number {
  return Object.values(counts.sessions).reduce((sum, count) => sum + count, 0);
}

function countsOf(table: Readonly<Record<string, number>>): Count[] {
  return Object.entries(table)
    .filter(([, count]) => count > 0)
    .sort(([, a], [, b]) => b - a);
}

function quantilesOf({ count, durations }: Times): Quantiles {
  if (durations.length === 0) return null;
  const sorted = Float64Array.from(durations).sort();
  const at = (part: number): number => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] * 1000) / 1000;
  return { count, p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
}
