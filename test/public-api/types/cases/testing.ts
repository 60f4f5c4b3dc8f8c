import { Server } from "socket.io";
import {
  createTestCluster,
  createTestServer,
  expectEvent,
  expectNoEvent,
  testAdapter,
  testLink,
  testParser,
  testTransport,
  type TestServer,
} from "socket.io/testing";
import type { Link } from "socket.io/adapter";
import * as parser from "socket.io/parser";

declare function expectType<T>(value: T): void;
declare const link: Link;

interface FromClient {
  ask: (question: string, answer: (text: string) => void) => void;
}
interface FromServer {
  news: (count: number) => void;
}

export async function test_servers() {
  const server = createTestServer<FromClient, FromServer>({ pingInterval: 1000 });
  expectType<TestServer<FromClient, FromServer>>(server);
  expectType<Server<FromClient, FromServer>>(server.io);
  const client = await server.connect("/", { auth: { token: "x" } });
  client.on("news", (count) => expectType<number>(count));
  expectType<string>(await client.emitWithAck("ask", "why"));
  // @ts-expect-error no such event
  client.emit("nothing");
  server.network.cut(client);
  await expectNoEvent(client, "news", server.network.settled());
  const [first] = await expectEvent(server.io, "connection", { timeoutMs: 10, where: () => true });
  void first;
  await createTestServer(new Server<FromClient, FromServer>()).close();
  const { nodes, bus } = await createTestCluster(2, { pingTimeout: 1 }, { adapter: { carrySessions: true } });
  bus.cut();
  await nodes[0]!.connect();
  // @ts-expect-error the kit has an adapter of its own
  await createTestCluster(2, { adapter: undefined });
}

export function suites(test: (title: string, run: () => Promise<void>) => void) {
  testParser({ name: "x", test, parser });
  testAdapter({ name: "x", test, start: async () => () => undefined });
  testLink({ name: "x", test, start: async () => () => link });
  testTransport({
    name: "x",
    test,
    start: async (options, after) => {
      const { io, connect, close } = createTestServer(options);
      after(close);
      return { io, connect };
    },
  });
}
