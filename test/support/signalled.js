/** Processes of `fixtures/signalled.mjs`: servers that signals end. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { within } from "./wait.js";

const FIXTURE = fileURLToPath(new URL("fixtures/signalled.mjs", import.meta.url));

/**
 * Starts one and waits until it listens.
 * @param config  see the fixture
 * @returns `{ child, urls, connectedAt, output(), ended }`; `ended` is a promise of `{ code, signal }`
 */
export async function startSignalled(t, config) {
  const child = fork(FIXTURE, [JSON.stringify(config)], { stdio: ["ignore", "pipe", "pipe", "ipc"] });
  t.after(() => child.kill("SIGKILL"));
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  const ended = once(child, "close").then(([code, signal]) => ({ code, signal }));
  const connectedAt = [];
  const [{ ports, listeners }] = await within(once(child, "message"), "the process to listen", () => output);
  child.on("message", (message) => connectedAt.push(message.connectedAt));
  const urls = ports.map((port) => `http://127.0.0.1:${port}`);
  return { child, urls, listeners, connectedAt, output: () => output, ended: within(ended, "the process to end", () => output, 60_000) };
}

/** The most of the times within one second. */
export function mostInOneSecond(times) {
  const sorted = [...times].sort((a, b) => a - b);
  let most = 0;
  for (let from = 0, to = 0; to < sorted.length; to++) {
    while (sorted[to] - sorted[from] >= 1000) from++;
    most = Math.max(most, to - from + 1);
  }
  return most;
}
