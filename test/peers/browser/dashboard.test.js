/* global axe, document, getComputedStyle, innerHeight, innerWidth, PerformanceObserver, requestAnimationFrame, window */
/** The page of `roomcast/dashboard` in Chromium. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { linkedNodes } from "../../support/bus-link.js";
import { once as onceEvent } from "../../support/client.js";
import { dashboard } from "../../support/dashboard.js";
import { joinServer, pair } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { within } from "../../support/wait.js";
import { launch, openPage, screenshot } from "./browser.js";

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SIZES = [
  { width: 390, height: 844 },
  { width: 1280, height: 800 },
];
const VIEWS = ["Overview", "Sockets", "Rooms", "Cluster", "Log"];
const ALL = ["disconnect", "join", "leave", "send"];
const AUTH = { username: "ops", password: "correct horse" };
/** The longest task that a page may have while it scrolls and gets new figures, in milliseconds. */
const TASK_MS = 200;

const pageOf = ({ url }) => `${url}/dashboard/`;
const goTo = (page, view) => page.getByRole("link", { name: view, exact: true }).click();
/** The policy of the page forbids inline scripts, also those of tests: axe comes by the debugging protocol. */
const WITHOUT_POLICY = { bypassCSP: true };

/** What axe and a look at the width find wrong in the state that the page is in, in both sizes and both themes. */
async function inspect(page, state) {
  const found = [];
  await page.evaluate(axeSource);
  for (const size of SIZES) {
    await page.setViewportSize(size);
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      const { violations } = await page.evaluate(() => axe.run());
      for (const { id, nodes } of violations)
        found.push(`${state}, ${size.width} px, ${colorScheme}: ${id}: ${nodes.map(({ html }) => html).join(" ")}`);
      if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) found.push(`${state}, ${size.width} px: too wide`);
    }
  }
  return found;
}

test("every view, the details and the login pass axe in both sizes and themes [ROB-977]", { timeout: 180_000 }, async (t) => {
  const server = await pair(t);
  dashboard(server.io, { allow: ALL, path: "/dashboard" });
  dashboard(server.io, { auth: AUTH, loopback: false, path: "/closed" });
  server.socket.join(["room-1", "a room with a long name ".repeat(8)]);
  const browser = await launch(t);
  const { page, errors } = await openPage(browser, pageOf(server), WITHOUT_POLICY);
  const found = [];
  for (const view of VIEWS) {
    await goTo(page, view);
    await page.locator(`#view-${view.toLowerCase()}`).waitFor();
    found.push(...(await inspect(page, view)));
  }
  await goTo(page, "Sockets");
  await page.getByRole("button", { name: server.socket.id }).click();
  await page.getByRole("dialog").getByText("room-1").waitFor();
  found.push(...(await inspect(page, "details")));
  const login = await openPage(browser, `${server.url}/closed/`, WITHOUT_POLICY);
  found.push(...(await inspect(login.page, "login")));
  await login.page.getByLabel("Name").fill("ops");
  await login.page.getByLabel("Password").fill("wrong");
  await login.page.getByRole("button", { name: "Log in" }).click();
  await login.page.getByText("The name or the password is wrong.").waitFor();
  found.push(...(await inspect(login.page, "wrong password")));
  assert.deepEqual([...found, ...errors, ...login.errors], []);
});

test("works with the keyboard alone [ROB-977]", { timeout: 60_000 }, async (t) => {
  const server = await pair(t);
  dashboard(server.io, { allow: ["join"], intervalMs: 200 });
  const { page, errors } = await openPage(await launch(t), pageOf(server));
  const focused = () => page.evaluate(() => document.activeElement.textContent || document.activeElement.type || document.activeElement.id);
  await page.getByText("ready", { exact: true }).waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "Skip to content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "content");
  assert.ok(await page.locator("#view-overview").isVisible());
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.type), "search");
  assert.ok(await page.locator("#view-sockets").isVisible());
  await page.keyboard.type("/nothing");
  await page.getByText("0 found").waitFor({ state: "attached" });
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.type(server.socket.id.slice(0, 8));
  await page.getByText("1 found").waitFor({ state: "attached" });
  const isOutlined = () => page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle !== "none");
  for (const what of ["namespace", "order", "list", "line"]) {
    await page.keyboard.press("Tab");
    assert.ok(await isOutlined(), what);
  }
  assert.equal(await focused(), server.socket.id);
  const before = await page.locator("#node").evaluate(() => performance.now());
  await page.waitForFunction((start) => performance.getEntriesByType("resource").filter((one) => one.startTime > start).length > 4, before);
  assert.equal(await focused(), server.socket.id, "new figures leave the focus where it is");
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: `Socket ${server.socket.id}` });
  await dialog.waitFor();
  assert.equal(await focused(), "Close");
  await page.keyboard.press("Tab");
  await page.keyboard.type("by-keyboard");
  await page.keyboard.press("Enter");
  await dialog.getByText("join: done for 1 socket").waitFor();
  assert.ok(server.socket.rooms.has("by-keyboard"));
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  assert.equal(await focused(), server.socket.id);
  assert.deepEqual(errors, []);
});

test("shows and acts on sockets of two servers, and its log [ROB-973, ROB-975]", { timeout: 60_000 }, async (t) => {
  const { nodes } = await linkedNodes(t, 2);
  const [here, there] = nodes;
  dashboard(here.io, { allow: ALL, intervalMs: 200 });
  const far = await joinServer(t, there);
  far.socket.join("far");
  const { page, errors } = await openPage(await launch(t), pageOf(here), { viewport: SIZES[0] });
  await goTo(page, "Cluster");
  await page.getByText("2 with 1 clients").waitFor();
  await page.getByText(/^link works since/).waitFor();
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  await goTo(page, "Sockets");
  await page.locator("#view-sockets").getByLabel("Search").fill("far");
  await page.getByText("1 found").waitFor();
  await page.getByRole("button", { name: far.socket.id }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("another one").waitFor();
  const got = onceEvent(far.client, "news");
  await dialog.getByLabel("Event").fill("news");
  await dialog.getByLabel("Values, as JSON").fill('1, {"a": [2]}');
  await dialog.getByRole("button", { name: "Send" }).click();
  assert.deepEqual(await got, [1, { a: [2] }]);
  await dialog.getByRole("button", { name: "Leave far" }).click();
  await dialog.getByText("none but its own").waitFor();
  await dialog.getByRole("button", { name: "Disconnect" }).click();
  assert.ok(far.client.connected, "it has to be pressed twice");
  const left = onceEvent(far.client, "disconnect");
  await dialog.getByRole("button", { name: "Press again to disconnect" }).click();
  await left;
  await dialog.getByText("gone").waitFor();
  await page.keyboard.press("Escape");
  await goTo(page, "Log");
  for (const text of ["send news", "leave far", "disconnect"])
    await page.getByRole("rowheader").or(page.getByRole("cell")).getByText(text, { exact: true }).first().waitFor();
  assert.deepEqual(errors, []);
});

test("shows hostile names as text [ROB-974]", { timeout: 60_000 }, async (t) => {
  const hostile = '"><img src=x onerror="window.hacked=1"><script>window.hacked=1</script>';
  const server = await pair(t, {}, { client: { extraHeaders: { "user-agent": hostile, "x-forwarded-for": hostile } } });
  dashboard(server.io, { allow: ALL, intervalMs: 200 });
  server.io.of(`/${hostile}`);
  server.socket.join(hostile);
  // Without the policy: the page itself has to be safe.
  const { page, errors } = await openPage(await launch(t), pageOf(server), WITHOUT_POLICY);
  await page.getByRole("rowheader", { name: `/${hostile}`, exact: true }).waitFor();
  await goTo(page, "Rooms");
  await page.getByRole("button", { name: hostile, exact: true }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("1 on all servers").waitFor();
  await dialog.getByLabel("Event").fill(hostile);
  await dialog.getByRole("button", { name: "Send" }).click();
  await dialog.getByText("send: done for 1 socket").waitFor();
  await dialog.getByRole("button", { name: "Show its sockets" }).click();
  await page.getByRole("button", { name: server.socket.id }).click();
  await dialog.getByText(`127.0.0.1, forwarded for ${hostile}`).waitFor();
  await dialog.getByText(hostile, { exact: true }).first().waitFor();
  await page.keyboard.press("Escape");
  await goTo(page, "Log");
  await page.getByText(`send ${hostile}`).waitFor();
  assert.deepEqual(await page.evaluate(() => [window.hacked, document.querySelectorAll("img, body script").length]), [undefined, 0]);
  assert.deepEqual(errors, []);
});

test("asks for a login, and goes back to it after the logout [ROB-972]", { timeout: 60_000 }, async (t) => {
  const server = await startServer(t);
  dashboard(server.io, { auth: AUTH, loopback: false, intervalMs: 200 });
  const { page, errors } = await openPage(await launch(t), `${server.url}/dashboard`);
  await page.getByLabel("Name").fill("ops");
  await page.getByLabel("Password").fill("correct horse");
  await page.keyboard.press("Enter");
  await page.getByText("ready", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("button", { name: "Log in" }).waitFor();
  assert.deepEqual(errors, []);
});

test("tells when the server does not answer, and goes on when it does; pauses [ROB-977]", { timeout: 60_000 }, async (t) => {
  const server = await startServer(t);
  dashboard(server.io, { intervalMs: 200 });
  const { page } = await openPage(await launch(t), pageOf(server));
  await page.getByText("ready", { exact: true }).waitFor();
  await page.context().setOffline(true);
  await page.getByText("no answer").waitFor();
  await page.context().setOffline(false);
  await page.getByText("ready", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("paused").waitFor();
  await page.getByRole("button", { name: "Resume" }).click();
  await page.getByText("ready", { exact: true }).waitFor();
});

/** A server with so many clients, in some rooms, that talk a little. */
async function startCrowd(t, count) {
  const server = await startServer(t, { pingInterval: 300_000 });
  const { io, port } = server;
  dashboard(io, { allow: ALL });
  let joined = 0;
  io.on("connection", (socket) => {
    socket.join(`table-${joined++ % 300}`);
    if (joined % 7 === 0) socket.join("vip");
    socket.on("hello", () => {});
  });
  for (const name of ["/admin", "/news"]) io.of(name);
  const crowd = fork(fileURLToPath(new URL("../../support/crowd.mjs", import.meta.url)), [port, count]);
  t.after(() => crowd.kill());
  await within(once(crowd, "message"), "the crowd to connect", undefined, 60_000);
  let turn = 0;
  const talk = setInterval(() => {
    io.to(`table-${turn++ % 300}`).emit("dealt", turn);
    if (turn % 5 === 0) crowd.send("talk");
  }, 50);
  t.after(() => clearInterval(talk));
  return server;
}

test("scrolls through 10,000 sockets and gets new figures without a long task [ROB-977]", { timeout: 180_000 }, async (t) => {
  const server = await startCrowd(t, 10_000);
  const browser = await launch(t);
  const { page, errors } = await openPage(browser, pageOf(server), { viewport: SIZES[1] });
  await goTo(page, "Sockets");
  await page.getByText("10,000 sockets").waitFor();
  await page.evaluate(() => {
    window.tasks = [];
    new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({
      type: "longtask",
    });
    window.frames = [];
    let last = performance.now();
    requestAnimationFrame(function step(now) {
      window.frames.push(now - last);
      last = now;
      requestAnimationFrame(step);
    });
  });
  await page.evaluate(() =>
    setTimeout(() => {
      for (const start = performance.now(); performance.now() - start < 60;);
    }),
  ); // is a long task seen at all?
  await page.waitForFunction(() => window.tasks.splice(0).length > 0);
  const list = page.getByRole("group", { name: "Sockets" });
  const lines = list.locator("tbody tr[aria-rowindex]");
  for (let part = 1; part <= 20; part++) {
    await list.evaluate((view, at) => (view.scrollTop = at * (view.scrollHeight - view.clientHeight)), part / 20);
    const middle = await list.evaluate((view) => Math.floor((view.scrollTop + view.clientHeight / 2) / 40));
    await list.locator(`tr[aria-rowindex="${Math.min(middle, 9_999) + 2}"] button`).waitFor();
    assert.ok((await lines.count()) <= 200);
  }
  assert.equal(await lines.last().getAttribute("aria-rowindex"), "10001");
  await list.hover();
  for (let i = 0; i < 60; i++) await page.mouse.wheel(0, -700);
  await page.locator("#view-sockets").getByLabel("Order").selectOption("most rooms");
  await list.locator('tr[aria-rowindex="2"]').getByRole("cell", { name: "2", exact: true }).waitFor();
  const { tasks, frames } = await page.evaluate(() => ({ tasks: window.tasks, frames: window.frames }));
  const longest = Math.max(0, ...tasks);
  t.diagnostic(`longest task ${longest} ms, longest frame ${Math.round(Math.max(...frames))} ms, of ${frames.length}`);
  assert.ok(longest < TASK_MS, `a task took ${longest} ms`);
  assert.deepEqual(errors, []);

  for (const viewport of SIZES) {
    for (const colorScheme of ["light", "dark"]) {
      const shown = await openPage(browser, pageOf(server), { viewport, colorScheme });
      for (const view of ["Overview", "Sockets", "Rooms", "Cluster"]) {
        await goTo(shown.page, view);
        await shown.page.locator(`#view-${view.toLowerCase()} tbody th`).first().waitFor();
        await screenshot(shown.page, `dashboard-${view.toLowerCase()}-${viewport.width}-${colorScheme}`);
        assert.ok(await shown.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth && innerHeight > 0));
      }
      await shown.page.context().close();
    }
  }
});
