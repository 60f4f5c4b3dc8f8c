// What is published on NATS, by servers and by emitters: to the subject of a room or to that of a namespace, whole or in parts.
import { SOCKET_ID } from "../../server/adapter/room-index";
import { type ClusterMessage, MessageType } from "../messages";
import { RecentJoins } from "../recent-joins";
import { encodeMessage } from "./codec";
import type { Connection } from "./connection";
import { cut } from "./parts";
import { Subjects } from "./subjects";

export class NatsSender {
  private readonly connection: Connection;
  private readonly subjects: Subjects;
  private readonly recentJoins = new RecentJoins();

  constructor(connection: Connection, subjects: Subjects) {
    this.connection = connection;
    this.subjects = subjects;
  }

  /** Sends a message to all nodes that it concerns. Rejects if it cannot be sent now. @throws TypeError, RangeError if it cannot be encoded */
  publish(message: ClusterMessage): Promise<void> {
    const sent = this.send(this.subjectOf(message), encodeMessage(message));
    this.recentJoins.note(message);
    return sent;
  }

  /** Sends bytes, in the tick of the call. Rejects with a ClusterError, or an error of the driver, if they cannot be sent now. */
  send(subject: string, bytes: Buffer, reply?: string): Promise<void> {
    return new Promise((resolve) => {
      const { connection } = this;
      const { maxPayload } = connection;
      const parts = bytes.length <= maxPayload ? [bytes] : cut(bytes, maxPayload);
      const last = parts.pop()!;
      for (const part of parts) connection.publish(subject, part);
      connection.publish(subject, last, reply);
      resolve();
    });
  }

  /** Broadcasts to one room go to the nodes that have it; all others, and whatever is answered, to all nodes of the namespace. */
  private subjectOf({ type, nsp, data }: ClusterMessage): string {
    if (type !== MessageType.BROADCAST || data.requestId !== undefined || data.opts.rooms.length !== 1) return this.subjects.all(nsp);
    const [room] = data.opts.rooms;
    return SOCKET_ID.test(room) || this.recentJoins.has(room) ? this.subjects.all(nsp) : this.subjects.rooms(nsp) + Subjects.room(room);
  }
}
