/** An example as its user starts it: a process of its own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { within } from "../../support/wait.js";

const examples = new URL("../../../examples/", import.meta.url);
const alias = fileURLToPath(new URL("./load-target.cjs", import.meta.url));

/**
 * Starts `examples/<name>/server.js` and waits for the address that it prints: `http://localhost:…`, or `… on ADDRESS:PORT`.
 * @param port  0 for any free one
 * @param env   further variables of the environment
 * @returns     `{ url, port, kill() }`; `kill` ends the process at once, as a crash would, and waits until it is gone
 */
export async function startExample(t, name, port = 0, env = {}) {
  const args = process.env.TEST_TARGET ? ["--require", alias] : [];
  const child = spawn(process.execPath, [...args, fileURLToPath(new URL(`${name}/server.js`, examples))], {
    env: { ...process.env, PORT: String(port), NODE_OPTIONS: "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const gone = once(child, "exit");
  const kill = async () => {
    child.kill("SIGKILL");
    await within(gone, `${name} to end`);
  };
  t.after(kill);

  let printed = "";
  const address = new Promise((resolve, reject) => {
    child.stdout.setEncoding("utf8").on("data", (text) => {
      printed += text;
      const [, found] = /(?:http:\/\/localhost| on \S+):(\d+)/.exec(printed) ?? [];
      if (found) resolve(`http://localhost:${found}`);
    });
    child.stderr.setEncoding("utf8").on("data", (text) => (printed += text));
    gone.then(([code]) => reject(new Error(`${name} ended with code ${code}: ${printed}`)));
  });
  const url = await within(address, `${name} to print its address`, () => printed, 15_000);
  return { url, port: Number(new URL(url).port), kill };
}
