// What a packet waits for in the outboxes of its sessions: its Blobs are read (ROB-540), or it is compressed (ROB-615).
import { isExiting } from "./turn";

/** An outbox with a packet that isn't ready. */
export interface ReadinessWaiter {
  onTransportReady(): void;
}

/**
 * Whether a packet can be written. It, and all packets behind it, wait in the outbox meanwhile.
 *
 *     pending --finish--> ready          pending --finish--> failed: the packet is not sent
 */
export class Readiness {
  state: "pending" | "ready" | "failed";
  private readonly waiters: Set<ReadinessWaiter>;

  constructor() {
    this.state = "pending";
    this.waiters = new Set();
  }

  addWaiter(waiter: ReadinessWaiter): void {
    if (this.state === "pending") this.waiters.add(waiter);
  }

  /** Notifies the outboxes, each in a microtask of its own: user code called by one may throw. While the process exits, at once. */
  finish(state: "ready" | "failed"): void {
    this.state = state;
    const waiters = [...this.waiters];
    this.waiters.clear();
    for (const waiter of waiters) {
      if (isExiting()) waiter.onTransportReady();
      else queueMicrotask(() => waiter.onTransportReady());
    }
  }
}
