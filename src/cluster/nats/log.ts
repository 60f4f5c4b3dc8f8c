// Connection state recovery over JetStream: a stream with all messages of the namespaces, and the sessions of disconnected sockets.
import { decodePlainMsgpack, encodePlainMsgpack } from "../../protocol/plain-msgpack";
import type { SessionToPersist } from "../../server/adapter/contract";
import { runInRoot } from "../../support/tick";
import type { Offset } from "../messages";
import { readSession } from "../replay";
import { decodeMessage, PART } from "./codec";
import type { Connection } from "./connection";
import { JetStream } from "./jetstream";
import { Parts } from "./parts";
import type { Subjects } from "./subjects";

/** Limits of the stream, and where it is. All servers of a cluster need the same. */
export interface JetStreamOptions {
  /** Bytes that the stream may have; then its oldest messages are deleted, and clients that missed them get a new session. Default 256 MiB. */
  maxBytes?: number;
  /** Servers of NATS that have a copy. Default 1. */
  replicas?: number;
  /** `"file"` survives a restart of NATS. Default `"file"`. */
  storage?: "file" | "memory";
}

const DEFAULT_MAX_BYTES = 256 * 1024 * 1024;
/** Messages are kept longer than sessions: the loss of a connection may go unnoticed for a while. */
const GRACE_MS = 120_000;
const RETRY_MS = 1_000;
const NANOSECONDS = 1e6;
const OFFSET = /^([0-9a-z]{1,12})-(\d{1,15})$/;

/** A session, with what was published behind its offset. */
interface Found {
  session: SessionToPersist;
  missed: { offset: Offset; message: unknown }[];
}

/**
 * The log of a cluster is one stream. What is published to `<key>.log.…` is stored, and then sent on by NATS to the subject of all servers of the
 * namespace, with its position: so all servers get it in one order. An offset is the time at which the stream was made, and a position.
 */
export class NatsLog {
  /** Whether the stream is there. Without it messages are published without being stored. */
  isReady = false;
  /** When something came from the stream, a time of `Date.now()`. */
  heardAt = 0;
  private readonly stream: JetStream;
  private readonly subjects: Subjects;
  private readonly config: Record<string, unknown> & { name: string };
  private readonly onProblem: (text: string, cause: unknown) => void;
  private epoch = "";
  private isTold = false;
  private isOpening = false;
  private isClosed = false;
  private retryTimer: NodeJS.Timeout | null = null;

  constructor(connection: Connection, subjects: Subjects, options: JetStreamOptions, recoveryMs: number, onProblem: NatsLog["onProblem"]) {
    this.stream = new JetStream(connection, subjects);
    this.subjects = subjects;
    this.onProblem = onProblem;
    const { log, all, sessions } = subjects.everything;
    this.config = {
      name: subjects.stream,
      subjects: [log, sessions],
      retention: "limits",
      discard: "old",
      storage: options.storage ?? "file",
      num_replicas: options.replicas ?? 1,
      max_age: (recoveryMs + GRACE_MS) * NANOSECONDS,
      max_bytes: options.maxBytes ?? DEFAULT_MAX_BYTES,
      duplicate_window: 1000 * NANOSECONDS,
      republish: { src: log, dest: all },
    };
  }

  /** @param uid  of this node, at the first time */
  async open(uid?: string): Promise<void> {
    if (this.isClosed) return;
    if (uid !== undefined) this.stream.open(uid);
    if (this.isOpening) return;
    this.isOpening = true;
    try {
      const created = await this.stream.ensureStream(this.config);
      if (this.isClosed) return;
      this.epoch = Date.parse(created).toString(36);
      this.isReady = true;
      this.isTold = false;
    } catch (error) {
      if (this.isClosed) return;
      if (!this.isTold) this.onProblem("clients cannot recover their sessions", error);
      this.isTold = true;
      this.retryLater();
    }
    this.isOpening = false;
  }

  close(): void {
    this.isClosed = true;
    this.isReady = false;
    if (this.retryTimer !== null) clearTimeout(this.retryTimer);
  }

  private retryLater(): void {
    runInRoot(() => {
      this.retryTimer = setTimeout(retry, RETRY_MS, this);
      this.retryTimer.unref?.();
    });
  }

  offsetOf(sequence: unknown): Offset | undefined {
    const number = Number(sequence);
    if (!this.isReady || !Number.isSafeInteger(number) || number <= 0) return undefined;
    this.heardAt = Date.now();
    return `${this.epoch}-${number}`;
  }

  /** @returns the subject and the bytes that store a session */
  encodeSession(namespace: string, session: SessionToPersist, lifetimeMs: number): [subject: string, bytes: Buffer] {
    const bytes = encodePlainMsgpack([namespace, Date.now() + lifetimeMs, session]);
    return [this.subjects.session(session.pid), bytes];
  }

  /** Takes a session, once; null if it isn't there, or messages behind the offset were deleted since. */
  async restore(namespace: string, pid: string, offset: string): Promise<Found | null> {
    const [, epoch, sequence] = OFFSET.exec(offset) ?? [];
    const bytes = await this.stream.take(this.subjects.stream, this.subjects.session(pid));
    if (bytes === null || epoch !== this.epoch) return null;
    const stored = decodePlainMsgpack(bytes);
    if (!Array.isArray(stored) || stored[0] !== namespace || !(Number(stored[1]) > Date.now())) return null;
    const session = readSession(stored[2], pid);
    if (session === null) return null;
    const read = await this.stream.readAfter(this.subjects.stream, this.subjects.logged(namespace), Number(sequence));
    if (read === null) return null;
    let isWhole = true;
    const parts = new Parts(() => (isWhole = false)); // the beginning of a message in parts is in front of the offset
    const missed: Found["missed"] = [];
    for (const { sequence, bytes } of read) {
      const whole = bytes[1] === PART ? parts.add("", bytes) : bytes;
      const message = whole === null ? null : decodeMessage(whole, "", () => true);
      if (message !== null) missed.push({ offset: `${this.epoch}-${sequence}`, message });
    }
    parts.clear();
    return isWhole ? { session, missed } : null;
  }
}

/** Whether an offset comes behind another one of the same stream. */
export function isAfter(offset: Offset, other: Offset): boolean {
  return Number(offset.slice(offset.indexOf("-") + 1)) > Number(other.slice(other.indexOf("-") + 1));
}

function retry(log: NatsLog): void {
  void log.open();
}
