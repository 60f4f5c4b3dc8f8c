// A broadcast with acknowledgements that was sent to the other nodes of a cluster.
import { ignore } from "../support/ignore";
import { leaveOf, type AckCallback } from "../server/socket/acks";
import { type ServerId, UNNAMED } from "./messages";

/** A node: its number of clients, null until it reports it; and how many of them have acknowledged, or have left. */
interface NodeAcks {
  clientCount: number | null;
  settledCount: number;
}

/** Passes on what the nodes report, once: what is above the client count of a node is ignored. */
export class AckRequest {
  private readonly tellClientCount: (count: number) => void;
  private readonly ack: AckCallback;
  private readonly byNode = new Map<ServerId, NodeAcks>();

  /**
   * @param ack    called once per acknowledgement; `leaveOf(ack)` once per client that has left without
   * @param nodes  the nodes that are known to report
   */
  constructor(tellClientCount: (count: number) => void, ack: AckCallback, nodes: Iterable<ServerId>) {
    this.tellClientCount = tellClientCount;
    this.ack = ack;
    for (const uid of nodes) this.nodeOf(uid);
  }

  /** A node reports the number of its clients. Further reports of the same node are ignored. */
  onClientCount(uid: ServerId, clientCount: number): void {
    if (uid === UNNAMED) return this.tellClientCount(clientCount);
    const node = this.nodeOf(uid);
    if (node.clientCount !== null) return;
    node.clientCount = Math.max(clientCount, node.settledCount);
    this.tellClientCount(node.clientCount);
  }

  /** A client of a node has acknowledged. */
  onAck(uid: ServerId, value: unknown): void {
    if (uid === UNNAMED || this.settleOne(uid)) this.ack(value);
  }

  /** A client of a node has left without an acknowledgement. */
  onLeave(uid: ServerId): void {
    if (this.settleOne(uid)) (leaveOf(this.ack) ?? ignore)();
  }

  /** A node was removed: its clients won't acknowledge. If it was not known to report, the broadcast waits for its time-out. */
  onNodeRemoved(uid: ServerId): void {
    const node = this.byNode.get(uid);
    if (node === undefined) return;
    this.onClientCount(uid, 0);
    while (node.settledCount < node.clientCount!) this.onLeave(uid);
  }

  /** Nodes that have not reported the number of their clients. */
  silentNodes(): ServerId[] {
    return Array.from(this.byNode).flatMap(([uid, { clientCount }]) => (clientCount === null ? [uid] : []));
  }

  private settleOne(uid: ServerId): boolean {
    const node = this.nodeOf(uid);
    if (node.clientCount !== null && node.settledCount >= node.clientCount) return false;
    node.settledCount++;
    return true;
  }

  private nodeOf(uid: ServerId): NodeAcks {
    let node = this.byNode.get(uid);
    if (node === undefined) this.byNode.set(uid, (node = { clientCount: null, settledCount: 0 }));
    return node;
  }
}
