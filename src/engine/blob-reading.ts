// Packets with Blobs: they wait in the outboxes of their sessions until the Blobs are read (ROB-540).
import { Blob } from "node:buffer";
import { toPayload } from "../protocol/engine-packet";
import { oneLine, textOf } from "../support/log-text";
import { Prepared, type PacketSettings } from "./prepared";
import { Readiness } from "./readiness";

/** A message whose payload is a Blob. */
export class BlobMessage extends Prepared {
  private readonly length: number;

  constructor(blob: Blob, settings: PacketSettings) {
    super("message", undefined, settings);
    this.length = blob.size;
  }

  override get size(): number {
    return this.length + 1;
  }
}

export function hasBlob(messages: readonly unknown[]): boolean {
  return messages.some((message) => message instanceof Blob);
}

/**
 * Prepares the messages of one packet and starts to read its Blobs. When a Blob cannot be read, the packet is not sent and a process
 * warning is raised (ROB-541).
 * @param messages  texts, binary values and Blobs, in order
 */
export function prepareWithBlobs(messages: readonly unknown[], settings: PacketSettings): Prepared[] {
  const reading = new Readiness();
  const reads: Promise<void>[] = [];
  const prepared = messages.map((message) => {
    const packet = message instanceof Blob ? new BlobMessage(message, settings) : new Prepared("message", toPayload(message), settings);
    packet.reading = reading;
    if (message instanceof Blob) reads.push(message.arrayBuffer().then((bytes) => void (packet.data = Buffer.from(bytes))));
    return packet;
  });
  Promise.all(reads).then(
    () => reading.finish("ready"),
    (error: unknown) => {
      reading.finish("failed");
      process.emitWarning(oneLine(`a Blob cannot be read, its packet was not sent: ${textOf(error)}`), { code: "ROOMCAST_BLOB" });
    },
  );
  return prepared;
}
