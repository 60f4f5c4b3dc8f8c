/** Runs the command `roomcast` in a process of its own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { within } from "../../support/wait.js";

const file = fileURLToPath(new URL("../../../bin/roomcast.js", import.meta.url));
const PATIENCE_MS = 60_000;

/**
 * @param options  of `spawn`
 * @returns `{ child, until(pattern), ended() }`: `until` waits for a match in what it prints, `ended` gives `{ code, stdout, stderr }`
 */
export function roomcast(t, args, { env = {}, input, options = {} } = {}) {
  const child = spawn(process.execPath, [file, ...args], {
    env: { ...process.env, NODE_OPTIONS: "", NO_COLOR: "1", ...env },
    stdio: ["pipe", "pipe", "pipe"],
    ...options,
  });
  const closed = once(child, "close");
  t.after(() => child.kill("SIGKILL"));
  const output = { stdout: "", stderr: "" };
  const listeners = new Set();
  for (const name of ["stdout", "stderr"])
    child[name]?.setEncoding("utf8").on("data", (text) => {
      output[name] += text;
      for (const listener of listeners) listener();
    });
  if (input !== undefined) child.stdin.write(input);
  const all = () => output.stdout + output.stderr;
  const until = (pattern) => {
    const found = new Promise((resolve) => {
      const look = () => {
        const match = pattern.exec(all());
        if (match !== null) resolve(match);
      };
      listeners.add(look);
      look();
    });
    return within(found, `the line ${pattern}`, all, PATIENCE_MS);
  };
  const ended = async () => {
    const [code, signal] = await within(closed, "the command to end", all, PATIENCE_MS);
    return { code: code ?? signal, ...output };
  };
  return { child, until, ended };
}
