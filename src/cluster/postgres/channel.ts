// One namespace on PostgreSQL.
import type { PrivateSessionId, RestorableSession, SessionToPersist } from "../../server/adapter/contract";
import { ignore } from "../../support/ignore";
import { throwLater } from "../../support/ask";
import { Echoes } from "../echoes";
import { Heartbeats, type HeartbeatType } from "../heartbeats";
import type { Channel, Receipt, Receiver } from "../link";
import { type ClusterMessage, type ClusterResponse, MessageType, type Offset, type ServerId } from "../messages";
import { isRecoverable, Replay } from "../replay";
import { takeResponse } from "../take-response";
import { beginningOf, channelName, decode, decodeAttachment, encode, isRowId, offsetOf, OFFSET_BYTES, PAYLOAD_BYTES_MAX } from "./codec";
import { Inbox } from "./inbox";
import type { PostgresLink } from "./link";
import type { LoggedPacket, PostgresLog } from "./log";

const UID_LENGTH_MAX = 256;

/** A namespace on PostgreSQL. */
export class PostgresChannel implements Channel {
  readonly name: string;
  readonly persistSession?: (session: SessionToPersist, lifetimeMs: number) => Promise<void>;
  private readonly link: PostgresLink;
  private readonly receiver: Receiver;
  private readonly ownBeginning: string;
  private readonly heartbeats: Heartbeats;
  private readonly inbox: Inbox;
  private readonly replay = new Replay(isAfter);
  private readonly echoes: Echoes;
  private lastHeartbeat: Promise<unknown> = Promise.resolve();

  constructor(link: PostgresLink, receiver: Receiver) {
    this.link = link;
    this.receiver = receiver;
    this.name = channelName(link.options.channelPrefix, receiver.namespace);
    this.ownBeginning = beginningOf(receiver.uid);
    this.echoes = new Echoes({ heardAt: () => link.connection.heardAt, onPacket: (packet) => this.replay.onPacket(packet) });
    this.inbox = new Inbox(link, receiver.namespace, (message, offset) => {
      try {
        this.deliver(message, offset);
      } catch (thrown) {
        throwLater(thrown); // of a listener of the program: what arrived was in order, and so is the connection (ROB-834)
      }
    });
    this.heartbeats = new Heartbeats(
      { send: (type) => this.sendHeartbeat(type), onNodeRemoved: (uid) => receiver.isOwnNode(uid) || receiver.onNodeGone(uid) },
      link.options,
    );
    const { log } = link;
    if (log !== null) this.persistSession = (session, lifetimeMs) => log.persist(this.name, session, lifetimeMs);
  }

  /** The link listens to this channel. Nodes of other software are told that this one is there. */
  onUp(): void {
    this.heartbeats.start();
  }

  /** The connection is lost. */
  onDown(): void {
    this.echoes.onDown();
  }

  async publish(message: ClusterMessage): Promise<Receipt> {
    const { log, outbox, options } = this.link;
    if (log?.isReady === true && isRecoverable(message)) {
      const threshold = Math.min(options.payloadThreshold, PAYLOAD_BYTES_MAX - OFFSET_BYTES);
      const encoded = encode(message, threshold);
      return this.echoes.add(message, () => outbox.add(this.name, encoded, true));
    }
    await outbox.add(this.name, encode(message, options.payloadThreshold));
    return {};
  }

  /** All nodes get it (PG-11). */
  async respond(_to: ServerId, response: ClusterResponse): Promise<void> {
    await this.link.outbox.add(this.name, encode(response, this.link.options.payloadThreshold));
  }

  *foreignNodes(): Iterable<ServerId> {
    for (const uid of this.heartbeats.nodes.keys()) if (!this.receiver.isOwnNode(uid)) yield uid;
  }

  async restoreSession(pid: PrivateSessionId, offset: Offset): Promise<RestorableSession | null> {
    const { log } = this.link;
    if (log?.isReady !== true || typeof pid !== "string" || !isRowId(offset)) return null;
    return this.replay.restore(offset, () => this.readSession(log, pid, offset));
  }

  async close(): Promise<void> {
    this.heartbeats.stop();
    await this.lastHeartbeat;
    await this.link.removeChannel(this);
  }

  /** A notification of this channel. */
  onNotification(payload: string): void {
    if (payload.startsWith(this.ownBeginning)) return this.onOwn(payload);
    try {
      const notified = decode(payload, this.receiver.namespace);
      if (notified.message["uid"] !== this.receiver.uid) this.inbox.add(notified);
    } catch (error) {
      this.link.onMalformed(error);
    }
  }

  /** The periodic ones are for other software alone: without such nodes they are left out, since the pulses tell the same. */
  private sendHeartbeat(type: HeartbeatType): void {
    this.heartbeats.onSent();
    if (type === MessageType.HEARTBEAT && this.heartbeats.nodes.size === 0) return;
    const { uid, namespace: nsp } = this.receiver;
    this.lastHeartbeat = this.publish({ uid, nsp, type }).catch(ignore); // the link tells that it is interrupted
  }

  private deliver(message: Record<string, unknown>, offset: Offset | undefined): void {
    const { uid, type } = message;
    if (takeResponse(this.receiver, message)) return;
    if (offset !== undefined) this.echoes.onOther(message, offset);
    this.receiver.onMessage(message, offset);
    if (
      typeof uid !== "string" ||
      uid.length > UID_LENGTH_MAX ||
      message["nsp"] !== this.receiver.namespace ||
      this.receiver.isOwnNode(uid)
    )
      return;
    const signed = { uid, type: Number(type) };
    this.heartbeats.onMessage(signed);
    this.heartbeats.onHeartbeat(signed);
  }

  // Recovery

  /** A notification of this node has come back. */
  private onOwn(payload: string): void {
    const offset = this.link.log === null ? undefined : offsetOf(payload);
    const deliver = offset === undefined ? null : this.echoes.onEcho(offset);
    if (deliver !== null) this.inbox.call(deliver);
  }

  private async readSession(
    log: PostgresLog,
    pid: PrivateSessionId,
    offset: Offset,
  ): Promise<{ session: SessionToPersist; missed: { offset: Offset; message: unknown }[] } | null> {
    const found = await log.restore(this.name, pid, offset);
    if (found === null) return null;
    // All packets that were read have been notified before this one, and it comes before its statement is over.
    await this.link.outbox.add(this.name, { text: `${this.ownBeginning}"restored":1}`, attachment: null });
    // The socket joins in the tick of this call: packets of this node that were resolved before have been delivered.
    await new Promise<void>((resolve) => this.inbox.call(resolve, true));
    return { session: found.session, missed: found.packets.map((packet) => ({ offset: packet.id, message: this.toMessage(packet) })) };
  }

  private toMessage({ message, attachment }: LoggedPacket): unknown {
    const { namespace } = this.receiver;
    return attachment === null ? decode(message ?? "", namespace).message : decodeAttachment(attachment, namespace);
  }
}

/** Whether an offset, the id of a row, comes behind another one. */
function isAfter(offset: Offset, other: Offset): boolean {
  return BigInt(offset) > BigInt(other);
}
