// The adapter between workers of one machine, and what their primary does for it.
import cluster from "node:cluster";
import { inspect } from "node:util";
import { UsageError } from "../../errors";
import type { LinkOptions } from "../link-hub";
import { type LinkedAdapter, linkedAdapter } from "../linked-adapter";
import { checkLinkOptions } from "../option-checks";
import { directoryFor, makeDirectory } from "./directory";
import { relayHandovers } from "./handover";
import { IpcAdapter, relayIpc } from "./ipc-adapter";
import { WorkersLink } from "./workers-link";

/** Options of `createAdapter`. */
export interface WorkersAdapterOptions extends LinkOptions {
  /**
   * How messages get to the other workers. Default `"unix"`: by unix sockets, directly. `"ipc"`: through the primary, as
   * `@socket.io/cluster-adapter` does, for workers beside those of the original; without `adapter.status`, and with JSON, which turns Buffers into
   * objects, unless `cluster.setupPrimary({ serialization: "advanced" })` was called.
   */
  protocol?: "unix" | "ipc";
  /**
   * The directory of the sockets, for processes that no primary has forked, such as those of PM2 or systemd. It is made if it is missing, and has to be
   * accessible by this user alone. Default: that of `setupPrimary()`; without that, outside of a cluster, this server is alone.
   * @example
   * directory: "/run/user/1000/chat"
   */
  directory?: string;
  /**
   * Bytes that wait for one other worker at most. Default 16 MiB. What would be more is dropped for that worker, counted in
   * `adapter.counters.lost`, and `adapter.status` is `degraded` until it reads again. One message may be larger if nothing waits.
   */
  maxQueuedBytes?: number;
}

/** On what `createAdapter` gives for unix sockets. */
export const kWorkers = Symbol.for("roomcast.workers");
const DEFAULT_QUEUED_BYTES = 16 * 1024 * 1024;
const NAMES = ["protocol", "directory", "maxQueuedBytes", "heartbeatInterval", "heartbeatTimeout", "carrySessions"];

/**
 * Gives the value of the option `adapter` for servers in workers of one machine: processes of node:cluster or child_process, or worker_threads.
 * @throws UsageError RC_ERR_OPTION on options that are invalid, and in a worker whose primary has not called `setupPrimary()`
 * @example
 * import { createAdapter } from "roomcast/cluster";
 *
 * const io = new Server(httpServer, { adapter: createAdapter() });
 */
export function createAdapter(options: WorkersAdapterOptions = {}): (nsp: any) => LinkedAdapter | IpcAdapter {
  check(options);
  const { protocol = "unix", directory, maxQueuedBytes = DEFAULT_QUEUED_BYTES, ...others } = options;
  if (protocol === "unix") {
    const path = directoryFor(directory);
    return Object.assign(
      linkedAdapter(() => new WorkersLink(path, maxQueuedBytes), others),
      { [kWorkers]: true as const },
    );
  }
  if (others.carrySessions === true) throw new UsageError("RC_ERR_OPTION", 'option carrySessions: expected protocol "unix", met "ipc"');
  if (process.send === undefined)
    throw new UsageError("RC_ERR_OPTION", 'option protocol: "ipc" expects a worker of node:cluster, met a process without a primary');
  return (nsp) => new IpcAdapter(nsp, others);
}

/**
 * Prepares the primary, or the main thread, for workers with `createAdapter()`: makes the directory of their sockets, and passes on the messages of
 * workers with `protocol: "ipc"` and of those of `@socket.io/cluster-adapter`; and passes connections on between workers with `carrySessions`. Call it before the workers are started; a second call changes nothing.
 * @throws UsageError RC_ERR_ARGUMENT in a worker; RC_ERR_OPTION if the path of the directory for temporary files is too long
 * @example
 * import cluster from "node:cluster";
 * import { setupPrimary } from "roomcast/cluster";
 *
 * if (cluster.isPrimary) {
 *   setupPrimary();
 *   for (let i = 0; i < 4; i++) cluster.fork();
 * }
 */
export function setupPrimary(): void {
  if (cluster.isWorker) throw new UsageError("RC_ERR_ARGUMENT", "setupPrimary: expected to be called in the primary, met a worker");
  if (!makeDirectory()) return;
  relayIpc();
  relayHandovers();
}

function check(options: unknown): void {
  if (typeof options !== "object" || options === null)
    throw new UsageError("RC_ERR_ARGUMENT", `createAdapter: expected an object, met ${inspect(options)}`);
  const { protocol, maxQueuedBytes } = options as WorkersAdapterOptions;
  const unknown = Object.keys(options).find((name) => !NAMES.includes(name));
  if (unknown !== undefined) throw invalid(unknown, `one of ${NAMES.join(", ")}`, unknown);
  if (protocol !== undefined && protocol !== "unix" && protocol !== "ipc") throw invalid("protocol", '"unix" or "ipc"', protocol);
  if (maxQueuedBytes !== undefined && !(typeof maxQueuedBytes === "number" && maxQueuedBytes > 0 && Number.isFinite(maxQueuedBytes)))
    throw invalid("maxQueuedBytes", "a number above 0", maxQueuedBytes);
  checkLinkOptions(options);
}

function invalid(name: string, expected: string, met: unknown): UsageError {
  return new UsageError("RC_ERR_OPTION", `option ${name}: expected ${expected}, met ${inspect(met)}`);
}
