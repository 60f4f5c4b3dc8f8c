/** Debian's Chromium for pages and runners of this family. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** Starts Chromium, which ends with the test. */
export async function launch(t) {
  execFileSync(fileURLToPath(new URL("../../browser/setup.sh", import.meta.url)), { stdio: "inherit" });
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-quic"] });
  t.after(() => browser.close());
  return browser;
}
