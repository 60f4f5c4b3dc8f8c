// Several servers of a test that behave as one.
import { linkedAdapter } from "../cluster/linked-adapter";
import type { LinkOptions } from "../cluster/link-hub";
import { UsageError } from "../errors";
import type { ServerOptions } from "../server/options";
import { now, pause } from "./expect";
import { MemoryBus } from "./memory-bus";
import { BUSY_MS } from "./memory-network";
import { createTestServer, type TestServer, type TestServerSettings } from "./test-server";

const MAX_NODES = 64;
/** Turns without any activity after which nothing is under way between the servers. */
const QUIET_TURNS = 4;
/** How long servers may take to know each other, in real time. */
const START_MS = 10_000;

/** Settings of `createTestCluster`. */
export interface TestClusterSettings extends TestServerSettings {
  /** Options of the adapter, such as `heartbeatTimeout` and `carrySessions`. */
  adapter?: LinkOptions;
}

/** What `createTestCluster` gives. */
export interface TestCluster {
  /** The servers. Each has its own clients and its own network. */
  readonly nodes: readonly TestServer[];
  /** What connects them: `cut()`, `silence()`, `restore()`. */
  readonly bus: MemoryBus;
  /** Resolves when nothing is under way between servers, and between servers and clients. See `TestNetwork.settled`. */
  settled(): Promise<void>;
  /** Closes all servers. */
  close(): Promise<void>;
}

/**
 * Makes several servers without ports that behave as one, like servers over Redis.
 * @param count     how many servers, from 1 to 64
 * @param options   of each server, without `adapter`
 * @param settings  `adapter`: options of the adapter; `client`: see `createTestServer`
 * @returns resolves when the servers know each other. Rejects when that takes 10 seconds of real time; then they are closed
 * @throws UsageError RC_ERR_ARGUMENT
 * @example
 * const { nodes, close } = await createTestCluster(2);
 * const client = await nodes[1].connect();
 * const heard = expectEvent(client, "news");
 * nodes[0].io.emit("news", 1);
 * assert.deepEqual(await heard, [1]);
 * await close();
 */
export async function createTestCluster(
  count: number,
  options: Omit<Partial<ServerOptions>, "adapter"> = {},
  settings: TestClusterSettings = {},
): Promise<TestCluster> {
  if (!Number.isInteger(count) || count < 1 || count > MAX_NODES)
    throw new UsageError("RC_ERR_ARGUMENT", `createTestCluster: expected a number of servers from 1 to ${MAX_NODES}, met ${String(count)}`);
  const bus = new MemoryBus();
  const nodes: TestServer[] = [];

  const settled = async (): Promise<void> => {
    const until = now() + BUSY_MS;
    for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
      await Promise.all(nodes.map(({ network }) => network.settled()));
      if (!bus.isBusy) continue;
      if (now() > until) throw new Error(`settled: the servers sent each other something for ${BUSY_MS} ms without a break`);
      quiet = 0;
    }
  };
  const close = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.close()));
  };

  const start = async (): Promise<void> => {
    const until = now() + START_MS;
    while (nodes.length < count)
      nodes.push(createTestServer({ ...options, adapter: linkedAdapter(() => bus.link(), settings.adapter ?? {}) }, settings));
    for (const { io } of nodes)
      while ((await io.nodes()).length < count) {
        if (now() > until) throw new Error(`createTestCluster: the servers did not know each other within ${START_MS} ms`);
        await pause(1);
      }
  };

  try {
    await start();
  } catch (error) {
    await close().catch(() => {}); // the error of the start says more
    throw error;
  }
  return { nodes, bus, settled, close };
}
