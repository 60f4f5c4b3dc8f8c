/** Debian's Chromium, driven over its debugging protocol, and what a test wants to know about a page. */
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const artifacts = fileURLToPath(new URL("./artifacts/", import.meta.url));
const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts Chromium, which ends with the test. */
export async function launch(t) {
  execFileSync(fileURLToPath(new URL("./setup.sh", import.meta.url)), { stdio: "inherit" });
  const browser = await chromium.launch({ executablePath, args: flags });
  t.after(() => browser.close());
  return browser;
}

/**
 * Opens a page of its own context; what throws inside it is kept.
 * @returns `{ page, wire, errors }`; `wire` lists in order what was seen on the network: `polling GET`, `polling POST`, `websocket`
 */
export async function openPage(browser, url, options = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const wire = [];
  const errors = [];
  page.on("request", (request) => {
    if (request.url().includes("transport=polling")) wire.push(`polling ${request.method()}`);
  });
  page.on("websocket", (socket) => {
    socket.once("framereceived", () => wire.push("websocket"));
  });
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(url);
  return { page, wire, errors };
}

/** Keeps a picture under artifacts/, which git ignores. */
export async function screenshot(page, name) {
  mkdirSync(artifacts, { recursive: true });
  await page.screenshot({ path: `${artifacts}${name}.png` });
}
