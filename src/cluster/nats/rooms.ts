// The rooms of a namespace that this node has subscribed to.
import type { Room } from "../../server/adapter/contract";
import { SOCKET_ID } from "../../server/adapter/room-index";
import { Subjects } from "./subjects";

interface RoomSubscription {
  /** A room may be known by a number and by its digits: both have one subject. */
  rooms: number;
  end: () => void;
}

/** A subscription for each room, but for rooms with names like ids of sockets: what is for them goes to all nodes. */
export class RoomSubscriptions {
  private readonly prefix: string;
  private readonly subscribe: (subject: string) => () => void;
  private readonly bySubject = new Map<string, RoomSubscription>();

  /**
   * @param prefix     what the subjects of rooms begin with
   * @param subscribe  gives a function that ends the subscription
   */
  constructor(prefix: string, subscribe: RoomSubscriptions["subscribe"]) {
    this.prefix = prefix;
    this.subscribe = subscribe;
  }

  onRoom(room: Room, isHere: boolean): void {
    if (SOCKET_ID.test(room)) return;
    const subject = this.prefix + Subjects.room(room);
    const subscription = this.bySubject.get(subject);
    if (isHere) {
      if (subscription !== undefined) subscription.rooms++;
      else this.bySubject.set(subject, { rooms: 1, end: this.subscribe(subject) });
    } else if (subscription !== undefined && --subscription.rooms === 0) {
      this.bySubject.delete(subject);
      subscription.end();
    }
  }

  clear(): void {
    for (const { end } of this.bySubject.values()) end();
    this.bySubject.clear();
  }
}
