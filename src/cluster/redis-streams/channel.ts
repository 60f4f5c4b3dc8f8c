// One namespace on Redis Streams: what needs a log goes by the stream, what is asked now by pub/sub.
import type { PrivateSessionId, RestorableSession, SessionToPersist } from "../../server/adapter/contract";
import { within } from "../../support/within";
import type { Channel, Receipt, Receiver } from "../link";
import { Echoes } from "../echoes";
import type { ClusterMessage, ClusterResponse, Offset, ServerId } from "../messages";
import type { Kind } from "../redis/client";
import type { RedisBus } from "../redis/bus";
import type { Handler } from "../redis/subscriptions";
import { isRecoverable, Replay } from "../replay";
import { takeResponse } from "../take-response";
import {
  appendCommand,
  decodeMessage,
  encodeMessage,
  fromFields,
  isAfter,
  isEntryId,
  isEphemeral,
  requestsOf,
  streamOf,
  toFields,
} from "./codec";
import { type Missed, StreamsLog } from "./log";
import type { StreamReader } from "./reader";
import type { StreamsLink } from "./streams-link";

/** Field of entries of this node that it waits for. Official nodes ignore it. */
const NUMBER_FIELD = "n";

/** Time in which this node has to have read what another one has published before. */
const REACHED_MS = 5_000;

/** What a channel is made of. */
interface ChannelParts {
  link: StreamsLink;
  bus: RedisBus;
  /** How requests and responses travel. */
  kind: Kind;
  receiver: Receiver;
  onMalformed: (reason: unknown) => void;
}

/** A namespace on Redis Streams. */
export class StreamsChannel implements Channel {
  readonly persistSession?: (session: SessionToPersist, lifetimeMs: number) => Promise<unknown>;
  private readonly link: StreamsLink;
  private readonly bus: RedisBus;
  private readonly kind: Kind;
  private readonly receiver: Receiver;
  private readonly onMalformed: (reason: unknown) => void;
  private readonly log: StreamsLog;
  private readonly requests: string;
  private readonly responses: string;
  private readonly replay = new Replay(isAfter);
  private readonly echoes: Echoes;

  constructor({ link, bus, kind, receiver, onMalformed }: ChannelParts) {
    const { options } = link;
    this.link = link;
    this.bus = bus;
    this.kind = kind;
    this.receiver = receiver;
    this.onMalformed = onMalformed;
    this.log = new StreamsLog(bus, streamOf(receiver.namespace, options.streamName, options.streamCount), options.sessionKeyPrefix);
    this.requests = requestsOf(options.channelPrefix, receiver.namespace);
    this.responses = `${this.requests}${receiver.uid}#`;
    this.echoes = new Echoes({ heardAt: () => this.reader()?.heardAt ?? 0, onPacket: (packet) => this.replay.onPacket(packet) });
    bus.subscriptions.add(kind, this.requests, this.onRequest);
    bus.subscriptions.add(kind, this.responses, this.onRequest);
    if (link.hasLog) this.persistSession = (session, lifetimeMs) => this.log.persist(session, lifetimeMs);
  }

  async publish(message: ClusterMessage): Promise<Receipt> {
    if (isEphemeral(message)) return this.bus.publishRequest(this.kind, this.requests, encodeMessage(message));
    if (this.link.hasLog && isRecoverable(message)) return this.publishPacket(message);
    await this.add(toFields(message, this.link.options.onlyPlaintext));
    return {};
  }

  respond(to: ServerId, response: ClusterResponse): Promise<unknown> {
    return this.bus.publish(this.kind, `${this.requests}${to}#`, encodeMessage(response));
  }

  countOthers(): Promise<number> {
    return this.bus.countOthers(this.kind, this.requests);
  }

  settled(): Promise<void> | null {
    return this.bus.subscriptions.settled();
  }

  async restoreSession(pid: PrivateSessionId, offset: Offset): Promise<RestorableSession | null> {
    if (!this.link.hasLog || typeof pid !== "string" || !isEntryId(offset)) return null; // STR-10
    return this.replay.restore(offset, () => this.readSession(pid, offset));
  }

  async close(): Promise<void> {
    const { subscriptions } = this.bus;
    subscriptions.remove(this.requests, this.onRequest);
    subscriptions.remove(this.responses, this.onRequest);
    this.echoes.onDown();
    this.link.forget(this.receiver);
    await subscriptions.settled();
  }

  /** An entry of this namespace. @returns whether a packet of this node is about to be delivered to its sockets */
  onEntry(id: Offset, fields: ReadonlyMap<string, string>): boolean {
    if (fields.get("uid") === this.receiver.uid) return this.onOwn(id, fields.get(NUMBER_FIELD));
    let message;
    try {
      message = fromFields(fields);
    } catch (error) {
      this.onMalformed(error);
      return false;
    }
    const offset = this.link.hasLog ? id : undefined;
    if (offset !== undefined) this.echoes.onOther(message, offset);
    this.deliver(message, offset);
    return false;
  }

  private readonly onRequest: Handler = (bytes) => {
    let message;
    try {
      message = decodeMessage(bytes);
    } catch (error) {
      return this.onMalformed(error);
    }
    this.deliver(message, undefined);
  };

  /** Versions before 0.3 of the official adapter write responses to the stream, too, where all nodes read them (STR-13). */
  private deliver(message: unknown, offset: Offset | undefined): void {
    if (!takeResponse(this.receiver, message)) this.receiver.onMessage(message, offset);
  }

  private add(fields: string[]): Promise<unknown> {
    const { stream } = this.log;
    return this.bus.command(stream, appendCommand(stream, this.link.options.maxLen, fields));
  }

  // Recovery

  private publishPacket(message: ClusterMessage): Promise<Receipt> {
    const fields = toFields(message, this.link.options.onlyPlaintext);
    return this.echoes.add(message, (key) => this.add([...fields, NUMBER_FIELD, String(key)]));
  }

  private onOwn(id: Offset, number: string | undefined): boolean {
    const deliver = number === undefined ? null : this.echoes.onEcho(id, Number(number));
    deliver?.();
    return deliver !== null;
  }

  private async readSession(pid: PrivateSessionId, offset: Offset): Promise<{ session: SessionToPersist; missed: Missed[] } | null> {
    const found = await this.log.take(pid, offset, this.receiver.namespace);
    if (found === null) return null;
    await within(REACHED_MS, this.reader()?.reached(found.last) ?? Promise.resolve());
    return found;
  }

  private reader(): StreamReader | undefined {
    return this.link.readers.get(this.log.stream);
  }
}
