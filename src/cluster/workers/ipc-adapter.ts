// The protocol of `@socket.io/cluster-adapter`, over the IPC channels of node:cluster: for workers beside those of the original.
import cluster, { type Worker } from "node:cluster";
import { ignore } from "../../support/ignore";
import { ClusterError } from "../../errors";
import { ClusterAdapterWithHeartbeat } from "../heartbeat-cluster-adapter";
import type { ClusterAdapterOptions } from "../heartbeats";
import { type ClusterMessage, type ClusterResponse, isResponse, type Offset, type ServerId } from "../messages";

/*
 * A worker sends messages to the primary, with `source` added, and responses with `requesterUid`, too. The primary passes a response to the
 * worker with that node, everything else to all other workers. The primary learns which nodes a worker has from what it sends.
 */

const SOURCE = "_sio_adapter";

/** On the listener that all adapters of this process share. */
const kAdapters = Symbol.for("roomcast.ipc");
type SharedListener = ((message: unknown) => void) & { [kAdapters]?: Set<IpcAdapter> };

/** An adapter in a worker. */
export class IpcAdapter extends ClusterAdapterWithHeartbeat {
  constructor(nsp: any, opts: ClusterAdapterOptions) {
    super(nsp, opts);
    sharedAdapters().add(this);
  }

  override async doPublish(message: ClusterMessage): Promise<Offset> {
    await send({ source: SOURCE, ...message });
    return "";
  }

  override async doPublishResponse(requesterUid: ServerId, response: ClusterResponse): Promise<void> {
    await send({ source: SOURCE, ...response, requesterUid });
  }

  /** @internal */
  override _deliversFirst(): boolean {
    return true;
  }

  override close(): Promise<void> | void {
    const closed = super.close();
    const listener = findListener();
    const adapters = listener?.[kAdapters];
    adapters?.delete(this);
    if (adapters?.size === 0) process.off("message", listener!);
    return closed;
  }

  /** @internal */
  _onIpcMessage(message: ClusterMessage): void {
    if (isResponse(message)) this.onResponse(message as unknown as ClusterResponse);
    else this.onMessage(message);
  }
}

/** The adapters of this process, in one listener. */
function sharedAdapters(): Set<IpcAdapter> {
  const existing = findListener();
  if (existing !== undefined) return existing[kAdapters]!;
  const adapters = new Set<IpcAdapter>();
  const listener: SharedListener = (message) => {
    if (!isOfAdapter(message)) return;
    const { nsp } = message;
    for (const adapter of adapters) if (adapter.nsp.name === nsp) adapter._onIpcMessage(message as unknown as ClusterMessage);
  };
  listener[kAdapters] = adapters;
  process.on("message", listener);
  return adapters;
}

function findListener(): SharedListener | undefined {
  return (process.listeners("message") as SharedListener[]).find((listener) => listener[kAdapters] !== undefined);
}

function isOfAdapter(message: unknown): message is Record<string, unknown> {
  return typeof message === "object" && message !== null && (message as { source?: unknown }).source === SOURCE;
}

function send(message: object): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (cause?: unknown): void =>
      reject(new ClusterError("RC_ERR_CLUSTER_LINK", "the primary of this worker cannot be reached", cause));
    if (process.send === undefined || !process.connected) return fail();
    process.send(message, undefined, undefined, (error) => (error ? fail(error) : resolve()));
  });
}

/** Passes the messages of workers on, in the primary. Called once. */
export function relayIpc(): void {
  const nodesByWorker = new Map<number, Set<ServerId>>();
  cluster.on("message", (worker: Worker, message: unknown) => {
    if (!isOfAdapter(message)) return;
    const { uid, requesterUid } = message;
    let nodes = nodesByWorker.get(worker.id);
    if (nodes === undefined) nodesByWorker.set(worker.id, (nodes = new Set()));
    if (typeof uid === "string" && nodes.size < NODES_MAX) nodes.add(uid);
    const all = Object.values(cluster.workers ?? {}).filter((each) => each !== undefined && each.id !== worker.id) as Worker[];
    const owner = all.find((each) => nodesByWorker.get(each.id)?.has(requesterUid as ServerId) === true);
    for (const each of owner === undefined ? all : [owner]) if (each.isConnected()) each.send(message, ignore);
  });
  cluster.on("exit", (worker) => nodesByWorker.delete(worker.id));
}

/** Nodes of one worker: one per namespace, and those that were closed. */
const NODES_MAX = 100_000;
