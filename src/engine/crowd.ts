import type { Prepared } from "./prepared";
import type { Session } from "./session";

/** Sessions that a host can write to in one go. */
export interface Crowd {
  /** Makes these its members, in place of those it has; gives back those it can't have. */
  setMembers(sessions: readonly Session[]): Session[];
  /**
   * Sends packets to all members, in order with all else that each is sent.
   * @returns false when that can't be done in one go now: then nothing was sent
   */
  write(packets: readonly Prepared[]): boolean;
}

/** A connection that may be one of a crowd. */
export interface CrowdWire {
  /** Makes a crowd for connections such as this. @param onForgotten  called when it let its members go, since it wasn't used for a while */
  createCrowd(onForgotten: () => void): Crowd;
}
