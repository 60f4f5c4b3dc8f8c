// A TCP connection in memory: two streams, what one writes the other reads. No ports, no timers.
import { Duplex } from "node:stream";
import { nextTick } from "../support/tick";

/** What a peer that does not read has taken nevertheless, as the buffers of a system do. */
const BUFFER_BYTES = 16 * 1024;
const setImmediateOfNode = setImmediate; // fake clocks replace it later

type Callback = (error?: Error | null) => void;

/** One end of a connection in memory, with the members of `net.Socket` that HTTP servers and clients use. */
export class MemorySocket extends Duplex {
  readonly remoteAddress = "127.0.0.1";
  readonly remoteFamily = "IPv4";
  readonly remotePort = 1;
  readonly localAddress = "127.0.0.1";
  readonly localPort = 80;
  bytesWritten = 0;
  /** Bytes and the end of the other end are held back: it reads nothing. */
  private isHeld = false;
  private readonly held: (() => void)[] = [];
  private onTaken: Callback | null = null;
  private peer: MemorySocket | null = null;
  private readonly onActivity: () => void;

  /** @param onActivity  called whenever something arrives */
  constructor(onActivity: () => void) {
    super({ highWaterMark: BUFFER_BYTES });
    this.onActivity = onActivity;
  }

  static pair(onActivity: () => void): [near: MemorySocket, far: MemorySocket] {
    const near = new MemorySocket(onActivity);
    const far = new MemorySocket(onActivity);
    near.peer = far;
    far.peer = near;
    return [near, far];
  }

  /** Whether bytes are under way to this end, and nothing holds them up. */
  get isArriving(): boolean {
    return !this.isHeld && (this.onTaken !== null || this.readableLength > 0) && this.readableFlowing !== false && !this.destroyed;
  }

  /** Nothing arrives here from now on; what the peer writes waits. */
  hold(): void {
    this.isHeld = true;
  }

  /** Counterpart of `hold`: what waited arrives. */
  release(): void {
    this.isHeld = false;
    for (const arrive of this.held.splice(0)) arrive();
  }

  /** Ends both ends with an error, as a network does that resets a connection. */
  reset(): void {
    const error = (): Error => Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET", syscall: "read" });
    const { peer } = this;
    this.destroy(error());
    peer?.destroy(error());
  }

  private arriveLater(arrive: () => void): void {
    setImmediateOfNode(() => this.whenReleased(arrive));
  }

  private whenReleased(arrive: () => void): void {
    if (this.isHeld) this.held.push(arrive);
    else arrive();
  }

  /** Takes a turn of the event loop, so that a client and a server that always answer each other leave turns for everything else. */
  private receive(chunk: Buffer, callback: Callback): void {
    this.arriveLater(() => {
      this.onActivity();
      if (this.destroyed) nextTick(callback, null);
      else if (this.push(chunk)) nextTick(callback, null);
      else this.onTaken = callback;
    });
  }

  override _read(): void {
    const callback = this.onTaken;
    this.onTaken = null;
    if (callback !== null) nextTick(callback, null);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    this.bytesWritten += chunk.length;
    if (this.peer === null) return callback(Object.assign(new Error("write EPIPE"), { code: "EPIPE", syscall: "write" }));
    this.peer.receive(Buffer.from(chunk), callback); // copied: both ends may change their bytes
  }

  override _final(callback: Callback): void {
    const { peer } = this;
    nextTick(() => peer?.whenReleased(() => peer.destroyed || peer.push(null)));
    callback();
  }

  override _destroy(error: Error | null, callback: Callback): void {
    const { peer, onTaken } = this;
    this.peer = this.onTaken = null;
    this.onActivity();
    callback(error);
    onTaken?.();
    peer?.arriveLater(() => peer.onPeerGone());
  }

  private onPeerGone(): void {
    if (this.destroyed) return;
    if (this.readableEnded) return void this.destroy();
    this.once("end", () => nextTick(() => this.destroy()));
    this.push(null);
  }

  // Of `net.Socket`; they mean nothing here.
  setTimeout(): this {
    return this;
  }
  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
}
