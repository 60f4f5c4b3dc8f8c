import type { Prepared } from "./prepared";

/** The packets of one session that wait for its transport, oldest first. Made with the first one, let go with the last. */
export class SendQueue {
  /** Size of what waits, as `Prepared.size` counts it. */
  bytes: number;
  private packets: Prepared[];
  private head: number;

  constructor(first: Prepared) {
    this.packets = [first];
    this.head = 0;
    this.bytes = first.size;
  }

  get isEmpty(): boolean {
    return this.head === this.packets.length;
  }

  push(packet: Prepared): void {
    this.packets.push(packet);
    this.bytes += packet.size;
  }

  /** Takes packets up to the first that reaches `limitBytes`; at least one. */
  take(limitBytes: number): Prepared[] {
    const { packets, head } = this;
    let end = packets.length;
    let taken = this.bytes;
    if (taken > limitBytes) {
      taken = 0;
      for (end = head; end < packets.length && taken < limitBytes; end++) taken += packets[end].size;
    }
    this.bytes -= taken;
    this.head = end;
    if (head === 0 && end === packets.length) return packets;
    const batch = packets.slice(head, end);
    if (end > KEPT_MAX) {
      this.packets = packets.slice(end); // lets go of what has left
      this.head = 0;
    }
    return batch;
  }

  /** A copy of what waits. */
  toArray(): Prepared[] {
    return this.packets.slice(this.head);
  }
}

/** So many packets that have left may stay referenced, so that taking costs no copy of the whole queue each time. */
const KEPT_MAX = 1024;
