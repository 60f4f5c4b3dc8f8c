// The connections of an engine that are being closed, each with a deadline.
import { Deadline } from "../support/deadline";

/** Milliseconds a peer has to close the connection, or to read what was written before the end. */
export const CLOSE_WAIT_MS = 30_000;

/** A connection or stream. `destroy` closes it without waiting for the peer. */
export interface Destroyable {
  destroy(): unknown;
}

/** The connections that are being closed. After `CLOSE_WAIT_MS` a connection is destroyed (ROB-160); `io.close()` destroys it earlier. */
export class Endings {
  private readonly deadlines: Map<Destroyable, Deadline<Destroyable>>;

  constructor() {
    this.deadlines = new Map();
  }

  /** How many connections are being closed. */
  get size(): number {
    return this.deadlines.size;
  }

  /** Starts the deadline; a second call changes nothing. The caller must call `forget` once the connection is closed. */
  limit(connection: Destroyable): void {
    if (this.deadlines.has(connection)) return;
    const deadline = new Deadline<Destroyable>(destroy, connection);
    this.deadlines.set(connection, deadline);
    deadline.start(CLOSE_WAIT_MS);
  }

  /** The same for a stream; `forget` is called by its event `close`. */
  limitStream(stream: Destroyable & { readonly destroyed: boolean; once(event: "close", listener: () => void): unknown }): void {
    if (stream.destroyed || this.deadlines.has(stream)) return;
    this.limit(stream);
    stream.once("close", () => this.forget(stream));
  }

  /** Cancels the deadline: the connection is closed. */
  forget(connection: Destroyable): void {
    this.deadlines.get(connection)?.cancel();
    this.deadlines.delete(connection);
  }

  /** Destroys all of them now. */
  cutAll(): void {
    for (const connection of [...this.deadlines.keys()]) {
      this.forget(connection);
      connection.destroy();
    }
  }
}

function destroy(connection: Destroyable): void {
  connection.destroy();
}
