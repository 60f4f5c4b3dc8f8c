/** The entry `roomcast/cluster`. */
import { Server } from "socket.io";
import { createAdapter, setupPrimary, start, type StartOptions, type Supervisor, type WorkersAdapterOptions } from "socket.io/cluster";

setupPrimary();
const options: WorkersAdapterOptions = {
  protocol: "unix",
  directory: "/run/x",
  maxQueuedBytes: 1,
  heartbeatInterval: 1,
  heartbeatTimeout: 2,
};
new Server({ adapter: createAdapter(options) });
new Server().adapter(createAdapter({ protocol: "ipc" }));

// @ts-expect-error: no such protocol
createAdapter({ protocol: "tcp" });
// @ts-expect-error: no such option
createAdapter({ dir: "x" });

const workers: Promise<Supervisor | null> = start({
  server: () => new Server(),
  workers: 2,
  port: 0,
  host: "::1",
  drain: { timeoutMs: 1 },
});
const silent: StartOptions = { server: async () => {}, log: () => {} };
void workers.then((all) => all?.reload());
void start(silent);

// @ts-expect-error: it gives something else
void start({ server: () => 1 });
