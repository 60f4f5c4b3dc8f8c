/** Nodes in processes of their own, run by fixtures/node.cjs. They are workers of node:cluster, so that its adapters work, too. */
import cluster from "node:cluster";
import { fileURLToPath } from "node:url";
import { within } from "../../support/wait.js";
import { closeLater } from "./services.js";

cluster.setupPrimary({
  exec: fileURLToPath(new URL("fixtures/node.cjs", import.meta.url)),
  execArgv: [],
  args: [],
  serialization: "advanced",
  silent: true,
});

/** Processes without a server: starting one takes longer than most tests. */
const idle = [];
closeLater(() => Promise.all(idle.map((node) => node.kill())));

class NodeProcess {
  constructor() {
    this.output = "";
    this.hasEnded = false;
    this.calls = new Map();
    this.count = 0;
    this.worker = cluster.fork();
    for (const stream of [this.worker.process.stdout, this.worker.process.stderr]) stream.on("data", (chunk) => (this.output += chunk));
    this.worker.on("error", () => {}); // what is sent to a process that ends
    this.ended = new Promise((resolve) => {
      this.worker.once("exit", (code, signal) => {
        this.hasEnded = true;
        for (const { reject } of this.calls.values()) reject(new Error(`the node has ended (${code ?? signal}): ${this.output}`));
        resolve(code ?? signal);
      });
    });
    this.notices = [];
    this.worker.on("message", ({ number, value, error, notice, at }) => {
      if (notice) this.notices.push({ notice, at });
      const call = this.calls.get(number);
      if (call === undefined) return; // an adapter's
      this.calls.delete(number);
      if (error) call.reject(new Error(error));
      else call.resolve(value);
    });
  }

  get pid() {
    return this.worker.process.pid;
  }

  #ask(act, message) {
    if (this.hasEnded) return Promise.reject(new Error(`the node has ended: ${this.output}`));
    const number = ++this.count;
    const answered = new Promise((resolve, reject) => this.calls.set(number, { resolve, reject }));
    this.worker.send({ number, act, ...message });
    return within(answered, `a node to ${act} ${message?.source ?? ""}`, () => this.output, 60_000);
  }

  async start(node, connection, options) {
    const port = await this.#ask("start", { node, connection, options });
    this.url = `http://127.0.0.1:${port}`;
  }

  /** Runs `program({ io, kept, require }, ...args)` in the node, and gives what it returns. `kept` outlives the call. */
  run(program, ...args) {
    return this.#ask("run", { source: String(program), args });
  }

  close() {
    return this.#ask("close");
  }

  signal(name) {
    process.kill(this.pid, name);
  }

  /** Ends the process at once. */
  async kill() {
    this.worker.process.kill("SIGKILL");
    await this.ended;
  }
}

/**
 * Starts one node per member of `nodes`: `{ server: "roomcast" | "socket.io", base: "own" | "ours", adapter }`.
 * @param backend   as `startBackends` gives it
 * @param options   of the servers
 * @param isReused  whether other tests may have the processes afterwards
 */
export async function startProcesses(t, backend, nodes, { options = {}, isReused = backend.isReusable } = {}) {
  const processes = nodes.map(() => (isReused && idle.pop()) || new NodeProcess());
  t.after(async () => {
    await Promise.all(
      processes.map(async (each) => {
        const isClosed =
          isReused &&
          (await each.close().then(
            () => true,
            () => false,
          ));
        if (isClosed) idle.push(each);
        else await each.kill();
      }),
    );
  });
  await Promise.all(processes.map((each, index) => each.start(nodes[index], backend.connection, options)));
  return processes;
}
