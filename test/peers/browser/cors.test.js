/* global document, io */
import { test } from "node:test";
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { startHttp, startServer } from "../../support/server.js";
import { launch, openPage } from "./browser.js";

/** A page of another origin: its module imports the client from `url` and connects back there. */
async function openForeignPage(t, url) {
  const html = `<!doctype html><link rel="icon" href="data:,">
    <script>
      addEventListener("error", () => { document.title = "no module"; }, true);
    </script>
    <script type="module">
      import { io } from "${url}/socket.io/socket.io.esm.min.js";
      const socket = io("${url}", { transports: ["polling"], reconnection: false });
      socket.on("connect", () => socket.emit("echo", "across origins", (answer) => { document.title = answer; }));
      socket.on("connect_error", (error) => { document.title = "connect_error: " + error.message; });
    </script>`;
  const foreign = await startHttp(
    t,
    createServer((req, res) => res.setHeader("Content-Type", "text/html").end(html)),
  );
  const messages = [];
  const { page } = await openPage(await launch(t), "about:blank");
  page.on("console", (message) => messages.push(message.text()));
  await page.goto(foreign.url.replace("127.0.0.1", "localhost"));
  return { page, messages };
}

async function start(t, options) {
  const { io, url } = await startServer(t, options);
  io.on("connection", (socket) => socket.on("echo", (value, answer) => answer(value)));
  return url;
}

test("a page of another origin imports the client and connects, when cors allows it [HTTP-20, HTTP-76]", async (t) => {
  const url = await start(t, { cors: { origin: /^http:\/\/localhost:\d+$/ } });
  const { page } = await openForeignPage(t, url);
  await page.waitForFunction(() => document.title !== "");
  assert.equal(await page.title(), "across origins");
});

test("without cors the browser refuses the client's module to a page of another origin [HTTP-76]", async (t) => {
  const { page, messages } = await openForeignPage(t, await start(t, {}));
  await page.waitForFunction(() => document.title !== "");
  assert.equal(await page.title(), "no module");
  assert.ok(
    messages.some((text) => text.includes("blocked by CORS policy")),
    messages.join("\n"),
  );
});

test("without cors the browser refuses the polling of a page of another origin [ENG-76]", async (t) => {
  const url = await start(t, {});
  const { page } = await openPage(await launch(t), `${url}/socket.io/socket.io.js`);
  const foreign = await startHttp(
    t,
    createServer((req, res) => res.setHeader("Content-Type", "text/html").end("<!doctype html>")),
  );
  const source = await page.evaluate(() => document.body.textContent);
  await page.goto(foreign.url.replace("127.0.0.1", "localhost"));
  await page.addScriptTag({ content: source });
  const reason = await page.evaluate(
    (address) =>
      new Promise((resolve) => {
        const socket = io(address, { transports: ["polling"], reconnection: false });
        socket.on("connect", () => resolve("connected"));
        socket.on("connect_error", (error) => resolve(error.message));
      }),
    url,
  );
  assert.equal(reason, "xhr poll error");
});
