// The link over NATS: its core subjects, and JetStream for recovery.
import { ClusterError } from "../../errors";
import type { Link, LinkListener, LinkServer, Receiver } from "../link";
import type { ServerId } from "../messages";
import { NatsChannel } from "./channel";
import { decodeMessage, DIRECT, frame, PART, VERSION, WHOLE } from "./codec";
import { Connection, type NatsConnection } from "./connection";
import { type JetStreamOptions, NatsLog } from "./log";
import { Parts } from "./parts";
import { NatsSender } from "./sender";
import type { StreamOrder } from "./stream-order";
import { Subjects } from "./subjects";
import type { Handler } from "./subscriptions";

/** The connection of a server to NATS. */
export class NatsLink implements Link {
  readonly name = "nats";
  readonly hasEcho = true;
  readonly connection: Connection;
  readonly subjects: Subjects;
  readonly sender: NatsSender;
  private readonly parts = new Parts((reason) => this.onMalformed(reason));
  /** With connection state recovery. */
  readonly log: NatsLog | null;
  private readonly members = new Map<string, { receiver: Receiver; channel: NatsChannel }>();
  private readonly directs = new Map<number, boolean>();
  private directCount = 0;
  private uid: ServerId = "";
  private listener: LinkListener | null = null;
  private isHearing = true;
  private hasMetVersion = false;

  /**
   * @param key     what all subjects begin with: tokens that were checked
   * @param stream  null: clients cannot recover their sessions
   */
  constructor(connection: NatsConnection, key: string, stream: JetStreamOptions | null, { recoveryMs }: LinkServer) {
    this.connection = new Connection(connection);
    this.subjects = new Subjects(key);
    this.sender = new NatsSender(this.connection, this.subjects);
    const onProblem: LinkListener["onProblem"] = (text, cause) => this.listener?.onProblem(text, cause);
    const hasLog = stream !== null && recoveryMs !== null;
    this.log = hasLog ? new NatsLog(this.connection, this.subjects, stream, recoveryMs, onProblem) : null;
  }

  async open(listener: LinkListener, uid: ServerId): Promise<void> {
    this.listener = listener;
    this.uid = uid;
    const { connection, subjects } = this;
    connection.watch({ onUp: () => this.onUp(), onDown: (reason) => this.onDown(reason) });
    this.subscribe(subjects.pulse, WHOLE, (bytes) => this.onPulse(bytes));
    this.subscribe(subjects.node(uid), null, (bytes) =>
      bytes[1] === DIRECT ? listener.onDirect(bytes.subarray(2)) : this.onResponse(bytes),
    );
    connection.subscriptions.add(subjects.nobody(uid, "*"), (_, subject) => this.onNobody(Subjects.number(subject)));
    if (connection.isClosed) throw new Error("the connection is closed: make another one, with maxReconnectAttempts: -1");
    void this.log?.open(uid);
    await connection.flush();
    if (connection.subscriptions.failure !== null) throw connection.subscriptions.failure;
  }

  private onUp(): void {
    this.listener?.onUp();
    void this.log?.open(); // it may be another NATS, without the stream
  }

  private onDown(reason: unknown): void {
    if (this.log !== null) this.log.isReady = false;
    for (const { channel } of this.members.values()) channel.onDown();
    this.listener?.onDown(reason);
  }

  /** JetStream has refused a message. */
  onRefused(): void {
    this.listener?.onLost(1);
    this.log!.isReady = false;
    void this.log!.open();
  }

  /**
   * Subscribes to whole messages, be they sent in parts or not.
   * @param kind   the only one that is expected; null: `handler` looks
   * @param order  brings what is stored into its order; null: what comes is taken at once
   */
  subscribe(subject: string, kind: number | null, handler: Handler, order: StreamOrder | null = null): () => void {
    const take: Handler = (bytes, _, raw) => {
      if (bytes.length < 3 || bytes[0] !== VERSION) return this.onVersion(bytes[0]);
      const message = bytes[1] === PART ? this.parts.add(subject, bytes) : bytes;
      if (message === null) return;
      if (message[0] !== VERSION || (kind !== null && message[1] !== kind)) return this.onMalformed("a message of an unknown kind");
      handler(message, subject, raw);
    };
    const takeInOrder: Handler = (bytes, _, raw) => order!.add(raw.headers, () => take(bytes, subject, raw));
    return this.connection.subscriptions.add(subject, order === null ? take : takeInOrder);
  }

  private onVersion(met: number | undefined): void {
    const text = `another server sends format version ${met ?? "none"}, this one knows ${VERSION}`;
    if (!this.hasMetVersion)
      this.listener?.onProblem(`${text}: run the same version of roomcast on all servers, or give them another key`, undefined);
    this.hasMetVersion = true;
    this.onMalformed(text);
  }

  onMalformed(reason: unknown): void {
    this.listener?.onMalformed(reason);
  }

  channel(receiver: Receiver): NatsChannel {
    const channel = new NatsChannel(this, receiver, () => this.members.delete(receiver.namespace));
    this.members.set(receiver.namespace, { receiver, channel });
    return channel;
  }

  private onPulse(bytes: Buffer): void {
    this.isHearing = true;
    this.listener?.onPulse(bytes.toString("utf8", 2));
  }

  private onResponse(bytes: Buffer): void {
    let response;
    try {
      response = decodeMessage(bytes, this.uid, () => true);
    } catch (error) {
      return this.onMalformed(error);
    }
    if (response !== null) this.members.get(String(response["nsp"]))?.receiver.onResponse(response);
  }

  sendPulse(text: string): Promise<void> {
    return this.sender.send(this.subjects.pulse, frame(WHOLE, Buffer.from(text)));
  }

  /** NATS tells at once if nobody has subscribed, before it answers what was sent later: so what is known after a flush is final. */
  async sendDirect(to: ServerId, bytes: Buffer): Promise<void> {
    const number = this.directCount++;
    this.directs.set(number, true);
    try {
      await this.sender.send(this.subjects.node(to), frame(DIRECT, bytes), this.subjects.nobody(this.uid, number));
      await this.connection.flush();
      if (this.directs.get(number) === false) throw new ClusterError("RC_ERR_CLUSTER_LINK", `the server ${to} is not there`);
    } finally {
      this.directs.delete(number);
    }
  }

  private onNobody(number: number): void {
    if (this.directs.has(number)) this.directs.set(number, false);
  }

  renew(): Promise<void> {
    this.isHearing = false;
    return this.connection.renew(() => this.isHearing);
  }

  async close(): Promise<void> {
    this.parts.clear();
    this.log?.close();
    this.listener = null;
    await this.connection.release();
  }
}
