/** The README's server and page, in an empty folder that has nothing but roomcast installed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { within } from "../../support/wait.js";

export const root = fileURLToPath(new URL("../../..", import.meta.url));

/** An empty folder in which `require("roomcast")` gives this repository's; it is removed after the test. */
export function emptyProject(t) {
  const folder = mkdtempSync(join(tmpdir(), "roomcast-docs-"));
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(root, join(folder, "node_modules/roomcast"), "dir");
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The first block of that language in the README. */
function readmeBlock(language) {
  const [, code] = new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``).exec(readFileSync(join(root, "README.md"), "utf8"));
  return code;
}

/**
 * Saves both as the README says, runs the server, and waits for the address that it prints.
 * @returns `{ url, child, printed() }`
 */
export async function startReadme(t) {
  const folder = emptyProject(t);
  writeFileSync(join(folder, "server.js"), readmeBlock("js"));
  writeFileSync(join(folder, "index.html"), readmeBlock("html"));
  const child = spawn(process.execPath, ["server.js"], {
    cwd: folder,
    env: { ...process.env, PORT: "0", NODE_OPTIONS: "" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const gone = once(child, "exit");
  t.after(async () => {
    child.kill("SIGKILL");
    await within(gone, "the README's server to end");
  });
  let printed = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (printed += text));
  const address = new Promise((resolve, reject) => {
    child.stdout.setEncoding("utf8").on("data", (text) => {
      printed += text;
      const [url] = /http:\/\/localhost:\d+/.exec(printed) ?? [];
      if (url) resolve(url);
    });
    gone.then(([code]) => reject(new Error(`the README's server ended with code ${code}: ${printed}`)));
  });
  const url = await within(address, "the README's server to print its address", () => printed, 15_000);
  return { url, child, printed: () => printed };
}
