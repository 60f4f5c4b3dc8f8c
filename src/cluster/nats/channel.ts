// One namespace on NATS.
import type { PrivateSessionId, RestorableSession, Room, SessionToPersist } from "../../server/adapter/contract";
import type { Channel, Receipt, Receiver } from "../link";
import type { ClusterMessage, ClusterResponse, Offset, ServerId } from "../messages";
import { decodeMessage, encodeMessage, WHOLE } from "./codec";
import type { NatsLink } from "./link";
import { Recovery } from "./recovery";
import { RoomSubscriptions } from "./rooms";
import type { Handler } from "./subscriptions";

const NOTHING_KNOWN: Receipt = {};

/**
 * One namespace: a subject for all its nodes, and one for each room that this node has. With a log all messages go by it, in one order, and
 * reach all nodes.
 */
export class NatsChannel implements Channel {
  readonly persistSession?: (session: SessionToPersist, lifetimeMs: number) => Promise<void>;
  private readonly link: NatsLink;
  private readonly receiver: Receiver;
  private readonly unsubscribe: () => void;
  private readonly onClose: () => void;
  private readonly rooms: RoomSubscriptions;
  private readonly recovery: Recovery | null;
  private readonly hasRoom: (room: Room) => boolean;

  constructor(link: NatsLink, receiver: Receiver, onClose: () => void) {
    const { log, subjects } = link;
    this.link = link;
    this.receiver = receiver;
    this.onClose = onClose;
    this.hasRoom = (room) => receiver.hasRoom(room) || this.recovery?.isRestoring === true;
    this.rooms = new RoomSubscriptions(subjects.rooms(receiver.namespace), (subject) => link.subscribe(subject, WHOLE, this.onBytes));
    this.recovery = log === null ? null : new Recovery(link, log, receiver);
    this.unsubscribe = link.subscribe(subjects.all(receiver.namespace), WHOLE, this.onBytes, this.recovery?.stored);
    if (log !== null) this.persistSession = async (session, ms) => link.sender.send(...log.encodeSession(receiver.namespace, session, ms));
  }

  private readonly onBytes: Handler = (bytes, _, { headers }) => {
    const { recovery } = this;
    let message;
    try {
      message = decodeMessage(bytes, this.receiver.uid, this.hasRoom);
    } catch (error) {
      return this.link.onMalformed(error);
    }
    if (recovery !== null) recovery.onMessage(bytes, message, headers?.get("Nats-Sequence"));
    else if (message !== null) this.receiver.onMessage(message);
  };

  onRoom(room: Room, isHere: boolean): void {
    this.rooms.onRoom(room, isHere);
  }

  settled(): Promise<void> | null {
    return this.link.connection.subscriptions.settled();
  }

  async publish(message: ClusterMessage): Promise<Receipt> {
    if (this.recovery?.isReady === true) return this.recovery.publish(message);
    await this.link.sender.publish(message);
    return NOTHING_KNOWN;
  }

  respond(to: ServerId, response: ClusterResponse): Promise<void> {
    return this.link.sender.send(this.link.subjects.node(to), encodeMessage(response));
  }

  /** The connection is lost. */
  onDown(): void {
    this.recovery?.onDown();
  }

  restoreSession(pid: PrivateSessionId, offset: Offset): Promise<RestorableSession | null> {
    return this.recovery === null ? Promise.resolve(null) : this.recovery.restore(pid, offset);
  }

  close(): Promise<void> {
    this.unsubscribe();
    this.rooms.clear();
    this.recovery?.close();
    this.onClose();
    return Promise.resolve();
  }
}
