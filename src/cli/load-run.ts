// The clients of `roomcast load`: they connect at an even pace, send at their times, and everything is counted.
import { createHistogram, monitorEventLoopDelay, performance, type RecordableHistogram } from "node:perf_hooks";
import { PacketType, type Packet } from "../protocol/packet";
import { WireClient, type WireClientOptions } from "./wire-client";

/** Connections that may be opening at a time. */
const MAX_OPENING = 500;
const STEP_MS = 5;
/**
 * Timers are up to this late. The last stretch before an event is due is waited for in turns of the event loop, or the lateness of the
 * timer would be measured as that of the server.
 */
const TIMER_MS = 2;
/** Steps of an empty loop, some ten microseconds. */
const IDLE_STEPS = 20_000;

/** A client, as a script sees it. */
export interface ScriptClient {
  /** Sends nothing once the run is over, or the client is disconnected. */
  emit(event: string, ...values: unknown[]): void;
  /**
   * Sends an event with an acknowledgement, whose time is measured.
   * @returns the values of the answer; rejects when the client is disconnected, and when it is called after the run is over
   */
  ask(event: string, ...values: unknown[]): Promise<unknown[]>;
  on(event: string, listener: (...values: unknown[]) => void): void;
}

/** What the default export of a script is: called once for each connected client, when sending begins. */
export type Script = (
  client: ScriptClient,
  context: { index: number; sleep: (ms: number) => Promise<void>; isOver: () => boolean },
) => unknown;

export interface LoadOptions {
  readonly client: Omit<WireClientOptions, "transport">;
  readonly transports: readonly WireClientOptions["transport"][];
  readonly clients: number;
  /** Time in which the clients connect, in milliseconds. */
  readonly rampMs: number;
  /** Time from when all are connected, or have failed, in milliseconds. */
  readonly durationMs: number;
  /** At the beginning of that time: answers to what was due in it are counted, but not timed. */
  readonly warmUpMs: number;
  /** The event that every client sends; null: they only connect, and listen. */
  readonly message: { readonly kind: "event" | "question"; readonly data: readonly unknown[]; readonly perSecond: number } | null;
  readonly script: Script | null;
  /** What each client sends once it is connected. */
  readonly first: readonly (readonly unknown[])[];
}

/** What was measured. Times are in milliseconds. */
export interface LoadReport {
  readonly clients: number;
  readonly connected: number;
  readonly seconds: number;
  readonly sent: number;
  readonly answered: number;
  /** Asked, and not answered by the end. */
  readonly unanswered: number;
  readonly received: number;
  readonly connectMs: Percentiles | null;
  /** From the time at which an event was due until its answer arrived. */
  readonly answerMs: Percentiles | null;
  readonly errors: Readonly<Record<string, number>>;
  /** How late this process itself was, at the 99th percentile. */
  readonly ownLagMs: number;
}

export interface Percentiles {
  readonly p50: number;
  readonly p90: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** @param progress  is called once per second */
export async function runLoad(options: LoadOptions, progress: (text: string) => void, isStopped: () => boolean): Promise<LoadReport> {
  const run = new LoadRun(options);
  return run.run(progress, isStopped);
}

/** What was asked, and not answered yet. */
interface Asked {
  readonly dueAt: number;
  /** Of scripts. */
  readonly settle: { resolve(values: unknown[]): void; reject(error: Error): void } | null;
}

/** A client, and what it waits for. */
interface Driven {
  readonly wire: WireClient;
  readonly index: number;
  readonly asked: Map<number, Asked>;
  /** Of its script, by event. */
  readonly listeners: Map<string, ((...values: unknown[]) => void)[]>;
}

/** Nothing can be sent any more. A script that ends with it has not failed: the reason is counted where it arose. */
class NotSent extends Error {}

/**
 *     connecting --all are connected, or have failed--> sending --time is over--> draining --answers, time-out--> closing
 */
type Phase = "connecting" | "sending" | "draining" | "closing";

class LoadRun {
  private readonly options: LoadOptions;
  private readonly connecting = createHistogram();
  private readonly answers = createHistogram();
  private readonly errors = new Map<string, number>();
  private readonly joined = new Set<Driven>();
  private readonly all: Driven[] = [];
  private phase: Phase = "connecting";
  private opening = 0;
  private sent = 0;
  private answered = 0;
  private timedFrom = 0;
  private received = 0;

  constructor(options: LoadOptions) {
    this.options = options;
  }

  async run(progress: (text: string) => void, isStopped: () => boolean): Promise<LoadReport> {
    const { clients, rampMs, durationMs, warmUpMs, message } = this.options;
    const lag = monitorEventLoopDelay({ resolution: 5 });
    lag.enable();
    const begunAt = performance.now();
    let toldAt = begunAt;
    const pause = async (until = Infinity): Promise<void> => {
      const now = performance.now();
      if (now - toldAt >= 1000) {
        toldAt = now;
        progress(this.line(now - begunAt));
      }
      const ms = Math.min(until - now - TIMER_MS, STEP_MS);
      await (ms > 0 ? new Promise((resolve) => setTimeout(resolve, ms)) : turnsUntil(until));
    };

    while ((this.all.length < clients || this.opening > 0) && !isStopped()) {
      const target = rampMs === 0 ? clients : Math.min(clients, Math.ceil(((performance.now() - begunAt) / rampMs) * clients));
      while (this.all.length < target && this.opening < MAX_OPENING) this.open();
      await pause();
    }

    // What is measured begins here.
    this.phase = "sending";
    lag.reset();
    this.received = 0;
    const senders = [...this.joined];
    const sendFrom = performance.now();
    this.timedFrom = sendFrom + warmUpMs;
    for (const driven of senders) void this.runScript(driven);
    const perMs = message === null ? 0 : (message.perSecond * senders.length) / 1000;
    const dueAt = (count: number): number => sendFrom + (perMs === 0 ? Infinity : (count + 1) / perMs);
    let due = 0;
    for (let ms = 0; ms < durationMs && senders.length > 0 && !isStopped();) {
      await pause(Math.min(dueAt(due), sendFrom + durationMs));
      ms = Math.min(performance.now() - sendFrom, durationMs);
      // An open model: what is due is sent, whatever became of the earlier ones, and its time counts from when it was due. Each client
      // keeps its turns, and those of one that is gone pass, so that the others send neither more nor less.
      for (; due < Math.floor(ms * perMs); due++) this.send(senders[due % senders.length], dueAt(due));
    }
    const seconds = (performance.now() - sendFrom) / 1000;
    this.phase = "draining";
    await this.drain(isStopped);
    this.phase = "closing";
    await Promise.all(this.all.map(({ wire }) => wire.close()));
    lag.disable();
    return {
      clients,
      connected: this.connecting.count,
      seconds,
      sent: this.sent,
      answered: this.answered,
      unanswered: this.all.reduce((sum, { asked }) => sum + asked.size, 0),
      received: this.received,
      connectMs: percentilesOf(this.connecting),
      answerMs: percentilesOf(this.answers),
      errors: Object.fromEntries([...this.errors].sort(([, a], [, b]) => b - a)),
      ownLagMs: Math.max(0, lag.percentile(99) / 1e6 - 5),
    };
  }

  private open(): void {
    const { client: settings, transports, first } = this.options;
    const index = this.all.length;
    const wire = new WireClient({ ...settings, transport: transports[index % transports.length] });
    const driven: Driven = { wire, index, asked: new Map(), listeners: new Map() };
    const startedAt = performance.now();
    this.all.push(driven);
    this.opening++;
    let isOpening = true;
    const opened = (): void => {
      if (isOpening) this.opening--;
      isOpening = false;
    };
    wire.on("connect", () => {
      opened();
      record(this.connecting, performance.now() - startedAt);
      for (const data of first) wire.emitEvent([...data]);
      this.joined.add(driven);
    });
    wire.on("refused", (data) => this.fail(`refused: ${messageOf(data)}`));
    wire.on("packet", (packet) => this.onPacket(packet, driven));
    wire.on("close", (reason) => {
      const wasOpening = isOpening;
      opened();
      this.joined.delete(driven);
      if (this.phase !== "closing" && reason !== "refused") this.fail(`${wasOpening ? "not connected" : "disconnected"}: ${reason}`);
      for (const { settle } of driven.asked.values()) settle?.reject(new NotSent(`disconnected: ${reason}`));
    });
  }

  private send({ wire, asked }: Driven, dueAt: number): void {
    const { kind, data } = this.options.message!;
    if (kind === "event") {
      if (wire.emitEvent([...data])) this.sent++;
      return;
    }
    const id = wire.ask([...data]);
    if (id === null) return;
    this.sent++;
    asked.set(id, { dueAt, settle: null });
  }

  private async runScript(driven: Driven): Promise<void> {
    const { script } = this.options;
    if (script === null) return;
    const { wire, index, asked, listeners } = driven;
    const isOver = (): boolean => this.phase !== "sending";
    const client: ScriptClient = {
      emit: (...data) => {
        if (!isOver() && wire.emitEvent(data)) this.sent++;
      },
      ask: (...data) => {
        const answer = new Promise<unknown[]>((resolve, reject) => {
          const id = isOver() ? null : wire.ask(data);
          if (id === null) return reject(new NotSent(isOver() ? "the run is over" : "disconnected"));
          this.sent++;
          asked.set(id, { dueAt: performance.now(), settle: { resolve, reject } });
        });
        answer.catch(() => {}); // who does not wait for the answer need not handle that it never comes
        return answer;
      },
      on: (event, listener) => void listeners.set(event, [...(listeners.get(event) ?? []), listener]),
    };
    const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
    try {
      await script(client, { index, sleep, isOver });
    } catch (error) {
      this.onScriptError(error);
    }
  }

  private onScriptError(error: unknown): void {
    if (this.phase !== "closing" && !(error instanceof NotSent)) this.fail(`script: ${String(error)}`);
  }

  private onPacket({ type, id, data }: Packet, { asked, listeners }: Driven): void {
    const values = data as unknown[];
    if (type !== PacketType.ACK && type !== PacketType.BINARY_ACK) {
      this.received++;
      for (const listener of listeners.get(values[0] as string) ?? []) {
        try {
          listener(...values.slice(1));
        } catch (error) {
          this.onScriptError(error);
        }
      }
      return;
    }
    const question = asked.get(id!);
    if (question === undefined) return;
    asked.delete(id!);
    this.answered++;
    if (question.dueAt >= this.timedFrom) record(this.answers, performance.now() - question.dueAt);
    question.settle?.resolve(values);
  }

  /** What is late may still arrive, at clients that are still connected. */
  private async drain(isStopped: () => boolean): Promise<void> {
    const until = performance.now() + this.options.client.timeoutMs;
    const isWaiting = (): boolean => [...this.joined].some(({ asked }) => asked.size > 0);
    while (isWaiting() && performance.now() < until && !isStopped()) await new Promise((resolve) => setTimeout(resolve, STEP_MS));
  }

  private fail(kind: string): void {
    this.errors.set(kind, (this.errors.get(kind) ?? 0) + 1);
  }

  private line(ms: number): string {
    const { connecting, answers, options } = this;
    const failures = [...this.errors.values()].reduce((sum, count) => sum + count, 0);
    const times = answers.count === 0 ? "" : `  p50 ${inMs(answers.percentile(50))}  p99 ${inMs(answers.percentile(99))} ms`;
    return `${Math.round(ms / 1000)} s  connected ${connecting.count}/${options.clients}  sent ${this.sent}  answered ${this.answered}${times}  received ${this.received}  errors ${failures}`;
  }
}

/**
 * Turns of the event loop until that time, at least one, so that what arrives is read also when sending is behind. Each turn, and each
 * reading of the clock, leaves garbage, whose collection would delay answers: an empty loop makes them fewer.
 */
function turnsUntil(time: number): Promise<void> {
  return new Promise((resolve) => {
    const turn = (): void => {
      if (performance.now() >= time) return resolve();
      for (let step = 0; step < IDLE_STEPS; step++);
      setImmediate(turn);
    };
    setImmediate(turn);
  });
}

/** Whole microseconds. */
function record(histogram: RecordableHistogram, ms: number): void {
  histogram.record(Math.max(1, Math.round(ms * 1000)));
}

function percentilesOf(histogram: RecordableHistogram): Percentiles | null {
  if (histogram.count === 0) return null;
  const at = (percentile: number): number => histogram.percentile(percentile) / 1000;
  return { p50: at(50), p90: at(90), p95: at(95), p99: at(99), p999: at(99.9), max: histogram.max / 1000 };
}

function inMs(microseconds: number): string {
  return (microseconds / 1000).toFixed(1);
}

function messageOf(data: unknown): string {
  const { message } = (data ?? {}) as { message?: unknown };
  return typeof message === "string" ? message : JSON.stringify(data);
}
