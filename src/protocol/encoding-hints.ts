// Warnings, once per encoder, about packets that clients receive differently from what the program probably means.
import { titleOf } from "./encoding-failure";
import type { Packet } from "./packet";

/** Attachments of one packet that official clients accept from parser 4.2.6 on; older ones have no limit (ROB-391). */
const CLIENT_ATTACHMENTS_MAX = 10;

/** Remembers a `Map` or `Set` found in a packet: JSON and MessagePack encode either as `{}` (ROB-421). */
export class CollectionWatch {
  met: object | null = null;

  /** Called with every object that is not a plain object. */
  check(value: object): void {
    const isCollection = value instanceof Map || value instanceof Set;
    if (isCollection && typeof (value as { toJSON?: unknown }).toJSON !== "function") this.met = value;
  }

  /** Warns about the Map or Set that was found. */
  warn(packet: Packet): void {
    const [kind, instead] = this.met instanceof Map ? ["Map", "Object.fromEntries(map)"] : ["Set", "[...set]"];
    process.emitWarning(`a ${kind} in ${titleOf(packet)} is sent as {}: send ${instead} in its place`, { code: "ROOMCAST_COLLECTION" });
  }
}

/** Returns a watch; null when `NODE_ENV` is `production`. */
export function watchCollections(): CollectionWatch | null {
  return process.env["NODE_ENV"] === "production" ? null : new CollectionWatch();
}

export function exceedsClients(attachments: number): boolean {
  return attachments > CLIENT_ATTACHMENTS_MAX;
}

/** Warns about a packet on which official clients close the connection. */
export function warnOfAttachments(packet: Packet, attachments: number): void {
  process.emitWarning(
    `${titleOf(packet)} has ${attachments} binary values: official clients from 4.8.4 on accept ${CLIENT_ATTACHMENTS_MAX} and disconnect at more`,
    { code: "ROOMCAST_ATTACHMENTS" },
  );
}
