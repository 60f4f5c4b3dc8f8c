// The base class of cluster adapters that find the other nodes by heartbeats.
import { ClusterAdapter } from "./cluster-adapter";
import { type ClusterAdapterOptions, Heartbeats } from "./heartbeats";
import type { ClusterMessage, ClusterResponse, Offset, ServerId, UnsignedMessage } from "./messages";
import type { ExpectedResponders } from "./pending-request";

/** An adapter for any transport that reaches all nodes, with discovery of nodes by heartbeats. */
export abstract class ClusterAdapterWithHeartbeat extends ClusterAdapter {
  /** @internal */ readonly _heartbeats: Heartbeats;

  protected constructor(nsp: any, opts?: ClusterAdapterOptions) {
    super(nsp);
    this._heartbeats = new Heartbeats(
      { send: (type) => this.publish({ type }), onNodeRemoved: (uid) => this._node.onNodeRemoved(uid) },
      opts,
    );
  }

  /** Announces this node to the others (CLU-21). May be called again (ADP-2). */
  override init(): Promise<void> | void {
    this._heartbeats.start();
  }

  /** Tells the other nodes to remove this one, and stops the timers (CLU-24). */
  override close(): Promise<void> | void {
    this._heartbeats.stop();
    this._node.ackRequests.clear();
  }

  /** The number of known nodes, including this one. */
  override serverCount(): Promise<number> {
    return Promise.resolve(1 + this._heartbeats.nodes.size);
  }

  override tableSizes(): Record<string, number> {
    return { ...super.tableSizes?.(), nodes: this._heartbeats.nodes.size };
  }

  /** @internal */
  override _expectedResponders(): ExpectedResponders {
    return { nodes: new Set(this._heartbeats.nodes.keys()), count: null };
  }

  // Public in this class, as in the original
  override onMessage(message: ClusterMessage, offset?: Offset): void {
    super.onMessage(message, offset);
  }

  override onResponse(response: ClusterResponse): void {
    super.onResponse(response);
  }

  override publish(message: UnsignedMessage): void {
    super.publish(message);
  }

  protected override publishAndReturnOffset(message: UnsignedMessage): Promise<Offset> {
    this._heartbeats.onSent();
    return super.publishAndReturnOffset(message);
  }

  /** @internal */
  override _accepts(message: { uid: ServerId; nsp: string; type?: number }): boolean {
    if (!super._accepts(message)) return false; // CLU-27: before the node is marked alive
    this._heartbeats.onMessage(message);
    return true;
  }

  /** @internal */
  override _onHeartbeat(message: ClusterMessage): void {
    this._heartbeats.onHeartbeat(message);
  }
}
