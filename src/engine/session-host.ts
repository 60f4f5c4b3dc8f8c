// What a session needs of its engine.
import type { BufferedTotal, InputTotal } from "./totals";
import type { CloseReason } from "./close-reason";
import type { Counts } from "./counts";
import type { Limits } from "./limits";
import type { Session } from "./session";

/** Implemented by the engine, see engine.ts. */
export interface SessionHost {
  /** Effective options. Times are read at each use, since programs change them at run time. */
  readonly opts: {
    readonly pingInterval: number;
    readonly pingTimeout: number;
    readonly upgradeTimeout: number;
    readonly maxHttpBufferSize: number;
  };
  /** @internal */ readonly limits: Limits;
  /** The bytes that wait in all sessions. @internal */ readonly total: BufferedTotal;
  /** The incomplete input of all sessions. @internal */ readonly inputTotal: InputTotal;
  readonly counts: Counts;
  emit(event: string, ...args: unknown[]): boolean;
  listenerCount(event: string): number;
  /** The session has ended: removes it from the table. @internal */
  onSessionEnd(session: Session, reason: CloseReason, description?: unknown): void;
}
