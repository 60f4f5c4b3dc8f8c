// The policy for clients that read too slowly, option `slowReaders`: which waiting events are dropped.
import createDebug from "debug";
import { UsageError, type ErrorCode } from "../../errors";
import { PACKET_OVERHEAD_BYTES } from "../../engine/limits";
import type { Prepared } from "../../engine/prepared";
import type { Session } from "../../engine/session";
import { plainEventOf } from "../../protocol/packet";
import { quoted } from "../../support/log-text";
import type { Warnings } from "../../support/warnings";
import type { Socket } from "../socket/socket";

const debug = createDebug("socket.io:client");

type AnySocket = Socket<any, any, any, any>;

/**
 * What happens to a client for which more than `limits.slowReaderBytes` wait:
 * - `close`: nothing is dropped, and the other limits may close its connection;
 * - `drop-oldest`: the oldest waiting events are dropped.
 */
export type SlowReaderDecision = "close" | "drop-oldest";

/** What waits for the connection of a slow reader. */
export interface SlowReaderInfo {
  /** Bytes that wait for the connection, as `socket.bufferedBytes` gives them. */
  readonly bufferedBytes: number;
  /** Packets of the engine that wait in the queue: one for an event, and one for each of its binary attachments. */
  readonly bufferedPackets: number;
  /** Events that were dropped for this connection so far. */
  readonly droppedEvents: number;
}

/** The policy for slow readers: a decision, or a function that makes one for a socket. */
export type SlowReaders = SlowReaderDecision | ((socket: AnySocket, info: SlowReaderInfo) => SlowReaderDecision);

const EXPECTED = '"close", "drop-oldest" or a function';
/** This part of `limits.slowReaderBytes` is left, so that the queue isn't searched for each event. */
const KEPT_PART = 3 / 4;

/** @throws UsageError if the value is no policy */
export function expectSlowReaders(what: string, value: unknown, code: ErrorCode): void {
  if (value === "close" || value === "drop-oldest" || typeof value === "function") return;
  const met = typeof value === "string" ? JSON.stringify(value) : typeof value;
  throw new UsageError(code, `${what}: expected ${EXPECTED}, met ${met}`);
}

/** More than `limits.slowReaderBytes` wait for a connection: drops events as the policies of its namespaces say (ROB-750). */
export function relieveSlowReader(session: Session, sockets: readonly AnySocket[], warnings: Warnings): void {
  const dropping = new Map<string, AnySocket>();
  for (const socket of sockets) if (decide(session, socket, warnings) === "drop-oldest") dropping.set(socket.nsp.name, socket);
  if (dropping.size === 0 || session.readyState !== "open") return;
  for (const socket of dropOldest(session, dropping)) endRecovery(socket);
}

/**
 * Drops the oldest events until three quarters of the limit wait. Never (ROB-751): acknowledgements, events that expect one, other types of
 * packets, packets of the engine, of a custom parser, with a callback or a Blob; events of which a part was written; what stands in front of
 * the answer to a CONNECT, as the packets that a client missed do; and the newest packet.
 * @param dropping  the sockets whose events may be dropped, by namespace
 * @returns the sockets that have lost events
 */
function dropOldest(session: Session, dropping: ReadonlyMap<string, AnySocket>): Set<AnySocket> {
  const { outbox } = session;
  const packets = outbox.toArray();
  const start = endOfConnects(packets);
  const left = packets.slice(0, start);
  const dropped: Prepared[] = [];
  const losers = new Set<AnySocket>();
  let excess = outbox.cost - session.server.limits.slowReaderBytes * KEPT_PART;
  let events = 0;
  let index = start;
  while (index < packets.length && excess > 0) {
    const event = isPlain(packets[index]) ? plainEventOf(packets[index].data) : null;
    const socket = event === null ? undefined : dropping.get(event.nsp);
    const group = packets.slice(index, index + (socket === undefined ? 1 : 1 + event!.attachments));
    index += group.length;
    if (socket === undefined || index >= packets.length || !group.every(isPlain)) {
      left.push(...group);
      continue;
    }
    for (const packet of group) {
      excess -= packet.size + PACKET_OVERHEAD_BYTES;
      dropped.push(packet);
    }
    events++;
    losers.add(socket);
  }
  if (events === 0) return losers;
  if (debug.enabled) debug("%s: reads slowly, %d events were dropped", quoted(session.id), events);
  outbox.remove(dropped, left.concat(packets.slice(index)));
  outbox.stallWatch.noteDropped(events);
  session.server.counts.onDropped("slowReader", events);
  return losers;
}

/** The client can't recover a session that has lost events: it gets a new one (ROB-753). */
function endRecovery(socket: AnySocket): void {
  const { _socketsByPid } = socket.nsp;
  if (_socketsByPid.get(socket.pid) === socket) _socketsByPid.delete(socket.pid);
  socket.pid = "";
}

function decide(session: Session, socket: AnySocket, warnings: Warnings): SlowReaderDecision {
  const policy = socket.nsp.slowReaders;
  if (typeof policy !== "function") return policy;
  let decision: unknown;
  try {
    decision = policy(socket, {
      bufferedBytes: session.bufferedBytes,
      bufferedPackets: session.outbox.length,
      droppedEvents: session.droppedEvents,
    });
    if (decision === "close" || decision === "drop-oldest") return decision;
  } catch (error) {
    warnings.warn("ROOMCAST_CALLBACK_FAILED", "the function slowReaders failed, nothing is dropped", error);
    return "close";
  }
  const met = typeof decision === "string" ? JSON.stringify(decision) : typeof decision;
  warnings.warn("ROOMCAST_CALLBACK_FAILED", `the function slowReaders gave ${met} instead of "close" or "drop-oldest", nothing is dropped`);
  return "close";
}

function isPlain({ type, callback, reading }: Prepared): boolean {
  return type === "message" && callback === null && reading === null;
}

/** The index behind the last answer to a CONNECT. */
function endOfConnects(packets: readonly Prepared[]): number {
  let end = packets.length;
  while (end > 0 && !isConnect(packets[end - 1])) end--;
  return end;
}

function isConnect({ type, data }: Prepared): boolean {
  return type === "message" && typeof data === "string" && data.startsWith("0");
}
