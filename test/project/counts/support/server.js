import { fork } from "node:child_process";
import { once } from "node:events";
import { Client } from "../../../../bench/load/client.mjs";

/**
 * Starts the counting server and stops it with the test.
 * @returns `{ port, open(count), command(name, argument), count(work) }`; `count` tells what the server did while `work` ran
 */
export async function startCountedServer(t) {
  const child = fork(new URL("./counted-server.mjs", import.meta.url), {
    execArgv: ["--expose-gc", "--min-semi-space-size=256", "--max-semi-space-size=256"],
    env: { ...process.env, NODE_ENV: "production" },
  });
  const clients = [];
  t.after(async () => {
    for (const client of clients) client.close();
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });
  const [{ port }] = await once(child, "message");

  const command = async (name, argument) => {
    const answer = once(child, "message");
    child.send({ name, argument });
    return (await answer)[0];
  };
  const open = async (count) => {
    const opened = [];
    while (opened.length < count) {
      const batch = Array.from({ length: Math.min(50, count - opened.length) }, () => new Client({ port }).open());
      opened.push(...(await Promise.all(batch)));
    }
    clients.push(...opened);
    return opened;
  };
  const count = async (work) => {
    const { heap: heapBefore } = await command("start");
    await work();
    const { writes, heap, collections } = await command("read");
    return { writes, allocated: heap - heapBefore, collections };
  };
  return { port, command, open, count };
}

/** Resolves when the client got `frames` more frames; `onFrame(count)` is called for each. */
export function receive(client, frames, onFrame = () => {}) {
  return new Promise((resolve) => {
    let seen = 0;
    client.onFrame = () => {
      seen++;
      onFrame(seen);
      if (seen === frames) resolve();
    };
  });
}
