// The messages between the primary and the workers of `start()`, over the IPC channel of node:cluster.

/** To a worker: drain and end. */
export interface ToWorker {
  roomcast: "stop";
  /** Whether other workers take new connections meanwhile. */
  isReplaced: boolean;
}

/** To the primary: the worker is ready. */
export interface FromWorker {
  roomcast: "ready";
  /** Where it listens; empty if the program listens by itself. */
  address: string;
}

export function isToWorker(message: unknown): message is ToWorker {
  return typeof message === "object" && message !== null && (message as ToWorker).roomcast === "stop";
}

export function isFromWorker(message: unknown): message is FromWorker {
  return typeof message === "object" && message !== null && (message as FromWorker).roomcast === "ready";
}
