// Sessions that a host writes to in one call.
import type { Prepared } from "./prepared";
import type { Session } from "./session";

/** A set of sessions that a host writes to in one call. */
export interface MulticastGroup {
  /** Replaces the members. @returns the sessions that cannot be members */
  setMembers(sessions: readonly Session[]): Session[];
  /**
   * Sends packets to all members. Each member gets all its packets in the order of sending.
   * @returns false when that isn't possible in one call now; then nothing was sent
   */
  write(packets: readonly Prepared[]): boolean;
}

/** A connection that can be a member of a group. */
export interface MulticastWire {
  /** Creates a group for connections of this kind. @param onForgotten  called when the group has dropped its members, because it was idle */
  createMulticastGroup(onForgotten: () => void): MulticastGroup;
}
