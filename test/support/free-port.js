import { createServer } from "node:net";

/** A port that stays free while nobody listens: below those that the system gives to outgoing connections. */
export async function freePort() {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 22_000);
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await new Promise((resolve) => server.once("listening", () => resolve(true)).once("error", () => resolve(false)));
    await new Promise((resolve) => server.close(resolve));
    if (isFree) return port;
  }
}
