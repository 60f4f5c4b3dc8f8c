/** Programs of docs/guides/frameworks.md, started as they stand there, with the real packages beside them. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { within } from "../../../support/wait.js";

const family = fileURLToPath(new URL("..", import.meta.url));
const guide = await readFile(new URL("../../../../docs/guides/frameworks.md", import.meta.url), "utf8");
const reportPort = fileURLToPath(new URL("../fixtures/report-port.mjs", import.meta.url));

/** The code blocks of one language below a heading of the guide, in their order. */
export function blocksBelow(heading, language) {
  const [, section] = guide.split(new RegExp(`^## ${heading}$`, "m"));
  const [text] = section.split(/^## /m);
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, "gm"))].map(([, code]) => code);
}

/**
 * A folder that is removed after the test. It is below this family, so that programs in it find the packages that are installed here.
 * @param files  contents by relative path
 */
export async function makeFolder(t, files) {
  await mkdir(join(family, "artifacts"), { recursive: true });
  const folder = await mkdtemp(join(family, "artifacts", "program-"));
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  for (const [path, contents] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), contents);
  }
  return folder;
}

/**
 * Runs `file` with PORT=0, and waits until an HTTP server of the program listens.
 * @returns `{ url, stop() }`; `stop` sends SIGTERM, and gives `[exitCode, signal]` when the process has ended
 */
export async function startProgram(t, folder, file, env = {}) {
  const child = spawn(process.execPath, ["--import", reportPort, file], {
    cwd: folder,
    env: { ...process.env, PORT: "0", NODE_OPTIONS: "", NEXT_TELEMETRY_DISABLED: "1", ...env },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  const gone = once(child, "exit");
  t.after(async () => {
    child.kill("SIGKILL");
    await gone;
  });
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (printed += text));
  const ended = gone.then(() => {
    throw new Error(`${file} ended: ${printed}`);
  });
  ended.catch(() => {}); // of interest only until the program listens
  const [port] = await within(Promise.race([once(child, "message"), ended]), `${file} to listen`, () => printed, 60_000);
  const stop = () => {
    child.kill("SIGTERM");
    return within(gone, `${file} to end after SIGTERM`, () => printed, 15_000);
  };
  return { url: `http://127.0.0.1:${port}`, stop, printed: () => printed };
}
