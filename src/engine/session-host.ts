import type { Limits } from "./limits";
import type { Session } from "./session";

/** What a session needs of the engine that holds it. */
export interface SessionHost {
  /** Effective options; timings are read when used, since users change them while running. */
  readonly opts: { readonly pingInterval: number; readonly pingTimeout: number; readonly upgradeTimeout: number };
  /** @internal */ readonly limits: Limits;
  /** True while somebody listens to the engine's `flush` or `drain`. @internal */
  readonly isFlushObserved: boolean;
  emit(event: string, ...args: unknown[]): boolean;
  /** The session has ended and leaves the table. @internal */
  onSessionEnd(session: Session): void;
}
