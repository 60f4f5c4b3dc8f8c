// Clients of the nodes of bench/cluster.mjs: they join `/`, and count the bytes that arrive.
import { answerCommands, ready } from "../lib/serve.mjs";
import { Client } from "./client.mjs";

let clients = [];

const bytes = () => clients.reduce((sum, client) => sum + client.bytes, 0);

answerCommands({
  /** Opens `count` clients of the server at `port`. */
  async open({ port, count }) {
    for (let i = 0; i < count; i += 50) {
      const some = Array.from({ length: Math.min(50, count - i) }, () => new Client({ port }).open());
      clients.push(...(await Promise.all(some)));
    }
  },
  bytes,
  /** Waits until so many bytes have arrived in all. */
  async until({ total, ms }) {
    const deadline = Date.now() + ms;
    while (bytes() < total) {
      if (Date.now() > deadline) throw new Error(`${bytes()} of ${total} bytes arrived within ${ms} ms`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  },
  close() {
    for (const { socket } of clients) socket.destroy();
    clients = [];
  },
});
ready();
