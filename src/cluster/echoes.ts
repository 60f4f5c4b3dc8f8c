// Packets of this node that get an offset from the log of a backend: they are delivered here when it is known.
import { runInRoot } from "../support/tick";
import type { Receipt } from "./link";
import type { ClusterMessage, Offset } from "./messages";
import type { DeliveredPacket } from "./replay";

/** A backend that is silent for so long keeps no socket of this node waiting. */
const SILENT_MS = 1_000;

interface Unechoed extends DeliveredPacket {
  readonly message: ClusterMessage;
  readonly addedAt: number;
  /** Whether the backend has it. */
  isSent: boolean;
  resolve(receipt: Receipt): void;
}

/** What `Echoes` needs to know and to tell. */
interface EchoesPort {
  /** When something came from the backend, a time of `Date.now()`. */
  heardAt(): number;
  /** A packet is about to be delivered here, or its offset is known now. */
  onPacket(packet: DeliveredPacket): void;
}

/**
 * A packet waits for its offset until the log echoes it: then all packets with smaller offsets have been delivered here, and none with a
 * greater one. When the backend is silent, or the connection is lost, it is delivered with the last offset that is known, so that its client
 * can still recover; it may get this packet again then.
 */
export class Echoes {
  private readonly port: EchoesPort;
  /** By key, in the order in which their echoes come. */
  private readonly unechoed = new Map<number, Unechoed>();
  private readonly undelivered = new Set<Unechoed>();
  private lastKey = 0;
  private lastOffset: Offset | null = null;
  private timer: NodeJS.Timeout | null = null;

  constructor(port: EchoesPort) {
    this.port = port;
  }

  /** @param send  resolves when the backend has the packet, rejects if it refuses it */
  add(message: ClusterMessage, send: (key: number) => Promise<unknown>): Promise<Receipt> {
    return new Promise((resolve, reject) => {
      const key = ++this.lastKey;
      const packet: Unechoed = { message, offset: null, addedAt: Date.now(), isSent: false, resolve };
      this.unechoed.set(key, packet);
      this.undelivered.add(packet);
      new Promise((done) => done(send(key))).then(
        () => (packet.isSent = true),
        (error: Error) => {
          this.unechoed.delete(key);
          this.undelivered.delete(packet);
          reject(error);
        },
      );
      this.watch();
    });
  }

  /**
   * The log has echoed a packet.
   * @param key  which one; by default the first that waits
   * @returns    what has to be done when everything before has been delivered; null if the packet is not known
   */
  onEcho(offset: Offset, key = this.unechoed.keys().next().value ?? 0): (() => void) | null {
    const packet = this.unechoed.get(key);
    if (packet === undefined) return null;
    const lost: Unechoed[] = [];
    for (const [other, earlier] of this.unechoed) {
      if (other > key) break;
      this.unechoed.delete(other);
      if (other < key) lost.push(earlier); // echoes come in order: it has none
    }
    return () => {
      for (const earlier of lost) this.deliver(earlier, this.lastOffset);
      packet.offset = offset;
      this.deliver(packet, offset);
    };
  }

  /** The log has refused a packet. @returns whether it is known */
  onRefused(key: number): boolean {
    const packet = this.unechoed.get(key);
    if (packet === undefined) return false;
    this.unechoed.delete(key);
    this.deliver(packet, this.lastOffset);
    return true;
  }

  /** A packet of another node is about to be delivered here. */
  onOther(message: unknown, offset: Offset): void {
    this.lastOffset = offset;
    this.port.onPacket({ message, offset });
  }

  /** The connection is lost: no echo comes any more. What the backend doesn't have rejects. */
  onDown(): void {
    this.unechoed.clear();
    for (const packet of this.undelivered) if (packet.isSent) this.deliver(packet, this.lastOffset);
  }

  private deliver(packet: Unechoed, offset: Offset | null): void {
    this.port.onPacket(packet);
    if (packet.offset !== null) this.lastOffset = packet.offset;
    if (this.undelivered.delete(packet)) packet.resolve(offset === null ? {} : { offset });
  }

  private watch(): void {
    if (this.timer !== null) return;
    runInRoot(() => {
      this.timer = setTimeout(onTimer, SILENT_MS, this);
      this.timer.unref?.();
    });
  }

  /** @internal */
  _check(): void {
    this.timer = null;
    const now = Date.now();
    if (now - this.port.heardAt() >= SILENT_MS)
      for (const packet of this.undelivered) if (now - packet.addedAt >= SILENT_MS) this.deliver(packet, this.lastOffset);
    if (this.undelivered.size > 0) this.watch();
  }
}

function onTimer(echoes: Echoes): void {
  setImmediate(check, echoes); // behind what has arrived while the event loop was busy
}

function check(echoes: Echoes): void {
  echoes._check();
}
