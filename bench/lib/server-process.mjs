// Starts `servers/soak-server.mjs` and calls its actions.
import { fork } from "node:child_process";

export class ServerProcess {
  /** @param settings  `{ options, http }`: of the Socket.IO and of the HTTP server */
  static start(settings, { execArgv = ["--expose-gc"] } = {}) {
    const child = fork(new URL("../servers/soak-server.mjs", import.meta.url), [JSON.stringify(settings)], { execArgv });
    return new Promise((resolve, reject) => {
      child.once("message", ({ port }) => resolve(new ServerProcess(child, port)));
      child.once("exit", (code, signal) => reject(new Error(`the server has ended: ${code ?? signal}`)));
    });
  }

  constructor(child, port) {
    this.child = child;
    this.port = port;
    this.calls = new Map();
    this.count = 0;
    child.on("message", ({ id, result, error }) => {
      const call = this.calls.get(id);
      this.calls.delete(id);
      if (error === undefined) call?.resolve(result);
      else call?.reject(new Error(error));
    });
    child.on("exit", (code, signal) => {
      for (const { reject } of this.calls.values()) reject(new Error(`the server has ended: ${code ?? signal}`));
    });
  }

  call(action, ...args) {
    const id = ++this.count;
    this.child.send({ id, action, args });
    return new Promise((resolve, reject) => this.calls.set(id, { resolve, reject }));
  }

  stop() {
    this.child.disconnect();
  }
}
