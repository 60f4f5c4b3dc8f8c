// The parent's side of a child process that answers commands: a server or a load generator.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

export const canPin = existsSync("/usr/bin/taskset") && availableParallelism() > 1;

/** Raises the limit of open files as far as the machine allows, for tens of thousands of clients. */
const FILES = ["1048576", "300000", "120000"].find(
  (count) => existsSync("/usr/bin/prlimit") && spawnSync("prlimit", [`--nofile=${count}:${count}`, "true"]).status === 0,
);

/**
 * Starts a script and waits for the message that says it is ready.
 * @param args  `{ script, args, nodeArgs, node, core }`; `core` is a list for taskset, and counts only where it is installed
 * @returns `{ ready, command(name, argument), stop(), pid }`; `ready` is the message of the script
 * @throws if the script ends before it is ready; the error has its output
 */
export async function startChild({ script, args = [], nodeArgs = [], node = process.execPath, core = null, env = {} }) {
  const words = [node, ...nodeArgs, script, ...args];
  if (core !== null && canPin) words.unshift("taskset", "-c", String(core));
  if (FILES !== undefined) words.unshift("prlimit", `--nofile=${FILES}:${FILES}`);
  const child = spawn(words[0], words.slice(1), {
    stdio: ["ignore", "inherit", "pipe", "ipc"],
    env: { ...process.env, NODE_ENV: "production", ...env },
  });
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (complaint = (complaint + text).slice(-2000)));

  const waiting = new Map();
  let lastId = 0;
  const fail = (error) => {
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  const answer = (id) => new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
  const exited = new Promise((resolve) => {
    child.once("exit", (code, signal) => {
      resolve();
      fail(new Error(lastLine(complaint) || `ended with ${code ?? signal}`));
    });
  });
  child.once("error", fail);
  child.on("message", ({ id, result, error }) => {
    const asked = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) asked?.resolve(result);
    else asked?.reject(new Error(error));
  });
  const command = (name, argument) => {
    const id = ++lastId;
    const result = answer(id);
    child.send({ id, name, argument }, (error) => error && fail(error));
    return result;
  };
  const stop = () => {
    child.kill("SIGKILL");
    return exited;
  };
  const ready = await answer(0);
  return { ready, command, stop, exited, pid: child.pid };
}

function lastLine(text) {
  const lines = text.trim().split("\n");
  return lines.find((line) => /^\w*Error\b|^skip: /.test(line.trim())) ?? lines.at(-1);
}

/** CPU time of a process in microseconds, from the kernel: for processes that answer no commands. */
export function cpuOf(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return { user: Number(fields[11]) * 10_000, system: Number(fields[12]) * 10_000 };
}
