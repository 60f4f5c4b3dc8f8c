/* global axe, document, getComputedStyle, innerHeight, innerWidth, window */
import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { startExample } from "../../project/examples/example-process.js";
import { launch, openPage, screenshot } from "./browser.js";

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const widths = [320, 390, 1280];

async function joinChat({ page }, nickname) {
  await page.getByLabel("Nickname").fill(nickname);
  await page.getByRole("button", { name: "Join the chat" }).click();
  await page.getByText("online · websocket").waitFor();
}

async function enterRoom({ page }, name) {
  const menu = page.getByRole("button", { name: "Rooms" }); // on narrow pages
  if (await menu.isVisible()) await menu.click();
  await page.getByRole("navigation").getByRole("button", { name }).click();
  await page.getByRole("heading", { name, level: 1 }).waitFor();
}

async function write({ page }, text) {
  await page.getByLabel("Message").fill(text);
  await page.getByRole("button", { name: "Send", exact: true }).click();
}

async function say(from, to, text) {
  await write(from, text);
  await to.page.getByRole("log").getByText(text, { exact: true }).waitFor();
  await from.page.locator("li.mine:not(.waiting):not(.failed)", { hasText: text }).waitFor();
}

async function sayBothWays(ada, bob, room) {
  await say(ada, bob, `Ada says hello in ${room}`);
  await say(bob, ada, `Bob answers in ${room}, €🦊`);
}

/** Fills the log of a room: more than a small window shows at a time. */
async function writeMuch(from, label = "line") {
  for (let i = 1; i <= 10; i += 1) await write(from, `${label} ${i}: ${"words ".repeat(40)}`);
  await from.page.locator("li.mine:not(.waiting):not(.failed)", { hasText: `${label} 10` }).waitFor();
}

const isLogAtEnd = ({ page }) => page.getByRole("log").evaluate((log) => log.scrollHeight - log.scrollTop - log.clientHeight < 2);
const scrollTop = ({ page }) => page.getByRole("log").evaluate((log) => log.scrollTop);

/** What axe and a look at the width find wrong in the state that the page is in, at every width, light and dark. */
async function inspect({ page }, state) {
  const { width, height } = page.viewportSize();
  const found = [];
  await page.evaluate(axeSource);
  for (const at of widths) {
    await page.setViewportSize({ width: at, height });
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      const { violations } = await page.evaluate(() => axe.run());
      for (const { id, nodes } of violations)
        found.push(`${state}, ${at} px, ${colorScheme}: ${id}: ${nodes.map(({ html }) => html).join(" ")}`);
      if (await isOverflowing(page)) found.push(`${state}, ${at} px: wider than the window`);
    }
  }
  await page.emulateMedia({ colorScheme: null });
  await page.setViewportSize({ width, height });
  return found;
}

const isOverflowing = (page) => page.evaluate(() => document.documentElement.scrollWidth > innerWidth);

test("two pages chat in two rooms over polling, then WebSocket, and both come back after the server was killed", async (t) => {
  const server = await startExample(t, "chat");
  const browser = await launch(t);
  const ada = await openPage(browser, server.url, { viewport: { width: 1100, height: 720 } });
  const bob = await openPage(browser, server.url, { viewport: { width: 390, height: 760 }, colorScheme: "dark" });
  await joinChat(ada, "Ada");
  await joinChat(bob, "Bob");
  for (const { wire } of [ada, bob]) {
    assert.equal(wire[0], "polling GET");
    assert.ok(wire.includes("polling POST"));
    assert.equal(wire.filter((seen) => seen === "websocket").length, 1);
  }

  await ada.page.getByRole("complementary").getByText("Bob").waitFor();
  await sayBothWays(ada, bob, "the lobby");
  await enterRoom(ada, "#music");
  await say(bob, bob, "only the lobby hears this");
  await enterRoom(bob, "#music");
  await sayBothWays(ada, bob, "music");
  assert.equal(await ada.page.getByText("only the lobby hears this").count(), 0);
  assert.equal(await ada.page.getByText("in the lobby").count(), 0);

  await bob.page.getByLabel("Message").pressSequentially("I am");
  await ada.page.getByText("Bob is typing…").waitFor();
  await screenshot(ada.page, "chat-wide-light");
  await screenshot(bob.page, "chat-narrow-dark");
  for (const { page } of [ada, bob]) assert.equal(await isOverflowing(page), false);

  await server.kill();
  for (const { page } of [ada, bob])
    await page.getByText("Connection lost. Reconnecting…").or(page.getByText("The server does not answer.")).waitFor();
  await screenshot(ada.page, "chat-connection-lost");
  await startExample(t, "chat", server.port);
  for (const { page } of [ada, bob]) {
    await page.getByText("Back online.").waitFor();
    await page.getByText("online · websocket").waitFor();
    await page.getByRole("heading", { name: "#music", level: 1 }).waitFor();
  }
  await ada.page.getByRole("complementary").getByText("Bob").waitFor();
  await sayBothWays(ada, bob, "music after the restart");
  await screenshot(ada.page, "chat-back-online");
  for (const { wire, errors } of [ada, bob]) {
    assert.equal(wire.filter((seen) => seen === "websocket").length, 2);
    assert.deepEqual(errors, []);
  }
});

test("the chat can be used with the keyboard alone, and every control has a name", async (t) => {
  const { url } = await startExample(t, "chat");
  const { page } = await openPage(await launch(t), url);
  await page.keyboard.type("Ada"); // the nickname has the focus from the start
  await page.keyboard.press("Enter");
  await page.getByText("online · websocket").waitFor();
  await page.keyboard.type("typed without a mouse");
  await page.keyboard.press("Enter");
  await page.getByRole("log").getByText("typed without a mouse").waitFor();
  const nameless = await page
    .locator("input:visible, button:visible")
    .evaluateAll((controls) =>
      controls
        .filter((control) => !control.labels?.length && !control.getAttribute("aria-label") && !control.textContent.trim())
        .map((control) => control.outerHTML),
    );
  assert.deepEqual(nameless, []);
});

test("a nickname that is taken is refused on the page", async (t) => {
  const { url } = await startExample(t, "chat");
  const browser = await launch(t);
  await joinChat(await openPage(browser, url), "Ada");
  const second = await openPage(browser, url);
  await second.page.getByLabel("Nickname").fill("Ada");
  await second.page.getByRole("button", { name: "Join the chat" }).click();
  await second.page.getByRole("alert").getByText("Somebody here already has this nickname.").waitFor();
  await joinChat(second, "Ada the second");
});

test("a new message does not scroll a page that shows older ones; a page at the end stays at the end [ROB-801]", async (t) => {
  const { url, kill, port } = await startExample(t, "chat");
  const browser = await launch(t);
  const viewport = { width: 390, height: 600 };
  const [ada, bob] = [await openPage(browser, url, { viewport }), await openPage(browser, url, { viewport })];
  await joinChat(ada, "Ada");
  await joinChat(bob, "Bob");
  await writeMuch(ada);
  assert.equal(await isLogAtEnd(ada), true);
  assert.equal(await isLogAtEnd(bob), true);

  await bob.page.getByRole("log").evaluate((log) => log.scrollTo(0, 100));
  await bob.page.waitForFunction(() => document.querySelector("#messages").scrollTop === 100);
  await write(ada, "the newest of all");
  await bob.page.getByRole("button", { name: "New messages" }).waitFor();
  assert.equal(await scrollTop(bob), 100);
  await bob.page.getByRole("button", { name: "New messages" }).click();
  assert.equal(await isLogAtEnd(bob), true);
  assert.equal(await bob.page.getByRole("button", { name: "New messages" }).isVisible(), false);

  // A keyboard takes half of the window, a banner some more.
  await bob.page.setViewportSize({ width: 390, height: 320 });
  await bob.page.waitForFunction(() => innerHeight === 320);
  await bob.page.waitForFunction(isElementAtEnd);
  await kill();
  await bob.page
    .getByRole("status")
    .getByText(/Connection lost|does not answer/)
    .waitFor();
  await bob.page.waitForFunction(isElementAtEnd);

  await startExample(t, "chat", port);
  await joinedAgain(ada);
  await writeMuch(ada, "again");
  const late = await openPage(browser, url, { viewport });
  await joinChat(late, "Late");
  await late.page.getByText("again 10").waitFor();
  assert.equal(await isLogAtEnd(late), true);
});

function isElementAtEnd() {
  const log = document.querySelector("#messages");
  return log.scrollHeight - log.scrollTop - log.clientHeight < 2;
}

const joinedAgain = ({ page }) => page.getByText("Back online.").waitFor();

test("on a narrow page new rooms can be opened, names are whole, and being offline is visible [ROB-802]", async (t) => {
  const { url, kill } = await startExample(t, "chat");
  const browser = await launch(t);
  const ada = await openPage(browser, url, { viewport: { width: 320, height: 568 } });
  const { page } = ada;
  const name = "WWWWWWWWWWWWWWWWWWWW";
  await joinChat(ada, name);
  const isNameWhole = await page.locator("#whoami").evaluate((shown) => {
    const { overflow, height } = getComputedStyle(shown);
    return overflow === "visible" && shown.scrollWidth <= shown.clientWidth && parseFloat(height) < 60;
  });
  assert.equal(isNameWhole, true);

  await page.keyboard.press("Shift+Tab"); // from the message: the log
  await page.keyboard.press("Shift+Tab"); // the button of the menu
  await page.keyboard.press("Enter");
  await page.getByLabel("New room").fill("tea-time");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "#tea-time", level: 1 }).waitFor();
  assert.equal(await page.getByLabel("New room").isVisible(), false);
  await page.getByRole("button", { name: "Rooms" }).click();
  assert.equal(await page.getByRole("complementary").getByText(name).isVisible(), true);
  await page.keyboard.press("Escape");
  assert.equal(await page.getByLabel("New room").isVisible(), false);

  await kill();
  await page.locator("#status").getByText("offline").waitFor();
  await page
    .locator("#banner")
    .getByText(/Connection lost|does not answer/)
    .waitFor();
  assert.match(await page.title(), /offline/);
  for (const width of widths) {
    await page.setViewportSize({ width, height: 568 });
    for (const id of ["#status", "#banner"]) assert.equal(await page.locator(id).isVisible(), true);
  }
});

test("an empty room says so, and rooms with new messages are marked until they are entered [ROB-803]", async (t) => {
  const { url } = await startExample(t, "chat");
  const browser = await launch(t);
  const [ada, bob] = [await openPage(browser, url), await openPage(browser, url)];
  await joinChat(ada, "Ada");
  await ada.page.getByText("Nobody has written here yet").waitFor();
  await joinChat(bob, "Bob");
  await enterRoom(bob, "#music");
  await write(bob, "hello in here");
  const marked = ada.page.getByRole("button", { name: "#music new messages" });
  await marked.waitFor();
  assert.equal(await bob.page.getByText("new messages", { exact: true }).count(), 0);
  await marked.click();
  await ada.page.getByText("hello in here").waitFor();
  await ada.page.getByText("new messages", { exact: true }).waitFor({ state: "detached" });
  assert.equal(await ada.page.getByText("Nobody has written here yet").isVisible(), false);
});

test("what was not delivered can be sent again, and is there once [ROB-804]", async (t) => {
  const { url, kill, port } = await startExample(t, "chat");
  const ada = await openPage(await launch(t), url);
  const { page } = ada;
  await joinChat(ada, "Ada");
  await kill();
  await page.locator("#status").getByText("offline").waitFor();
  await write(ada, "is anybody there?");
  await page.getByText("not delivered").waitFor();
  await page.getByRole("button", { name: "Send again" }).click();
  await page.getByText("sending…").waitFor();
  await startExample(t, "chat", port);
  await joinedAgain(ada);
  const again = page.getByRole("button", { name: "Send again" });
  const delivered = page.locator("li.mine:not(.waiting):not(.failed)", { hasText: "is anybody there?" });
  await again.or(delivered).waitFor();
  if (await again.isVisible()) await again.click();
  await delivered.waitFor();
  await page.reload();
  await page.getByText("is anybody there?").waitFor();
  assert.equal(await page.getByRole("listitem").filter({ hasText: "is anybody there?" }).count(), 1);
});

test("a page is renamed, left, and keeps its name over a reload; a window that it opens gets its own [ROB-805]", async (t) => {
  const { url } = await startExample(t, "chat");
  const ada = await openPage(await launch(t), url);
  const { page } = ada;
  await joinChat(ada, "Ada");
  await write(ada, "before");
  await page.getByRole("button", { name: "Rename" }).click();
  await page.getByLabel("New name").fill("Countess");
  await page.keyboard.press("Enter");
  await page.getByRole("complementary").getByText("Countess").waitFor();
  assert.equal(await page.locator("#rename-dialog").isVisible(), false);
  assert.equal(await page.locator("#whoami").textContent(), "Countess");
  assert.equal(await page.locator("li.mine").count(), 1);

  await page.reload();
  await page.getByText("online · websocket").waitFor();
  assert.equal(await page.locator("#whoami").textContent(), "Countess");
  assert.equal(await page.locator("li.mine", { hasText: "before" }).count(), 1);

  const [second] = await Promise.all([page.waitForEvent("popup"), page.evaluate(() => void window.open(document.URL))]);
  await second.getByRole("button", { name: "Join the chat" }).click();
  await page.getByRole("complementary").getByText("Countess 2").waitFor();
  assert.equal(await second.locator("#whoami").textContent(), "Countess 2");
  assert.equal(await second.locator("li.mine").count(), 0);
  assert.equal(await page.locator("#status").getAttribute("data-state"), "online");

  await second.getByRole("button", { name: "Leave" }).click();
  await second.getByRole("button", { name: "Join the chat" }).waitFor();
  await page.getByRole("complementary").getByText("Countess 2").waitFor({ state: "detached" });
  await second.reload();
  assert.equal(await second.getByRole("button", { name: "Join the chat" }).isVisible(), true);
});

test("without the client file the page says so [ROB-806]", async (t) => {
  const { url } = await startExample(t, "chat");
  const context = await (await launch(t)).newContext();
  const page = await context.newPage();
  await page.route("**/socket.io.js", (route) => route.abort());
  await page.goto(url);
  await page.getByRole("alert").getByText("could not be loaded").waitFor();
  assert.equal(await page.getByRole("button", { name: "Join the chat" }).isDisabled(), true);
  assert.deepEqual(await inspect({ page }, "without client"), []);
});

test("axe finds nothing in any state of the chat, light or dark, and no width scrolls sideways [ROB-807]", async (t) => {
  const { url, kill, port } = await startExample(t, "chat");
  const browser = await launch(t);
  const ada = await openPage(browser, url, { viewport: { width: 390, height: 568 } });
  const bob = await openPage(browser, url, { viewport: { width: 390, height: 568 } });
  const { page } = ada;
  const found = [];
  const look = async (state, who = ada) => found.push(...(await inspect(who, state)));

  await look("welcome");
  await joinChat(ada, "W".repeat(20));
  await page.getByRole("button", { name: "Rooms" }).waitFor();
  await look("empty room");
  await bob.page.getByLabel("Nickname").fill("w".repeat(20));
  await bob.page.getByRole("button", { name: "Join the chat" }).click();
  await bob.page.getByRole("alert").getByText("already has this nickname").waitFor();
  await look("refused", bob);
  await joinChat(bob, "Bob");
  await write(bob, `https://example.com/${"long".repeat(60)}`);
  await writeMuch(ada);
  await bob.page.getByLabel("Message").pressSequentially("I am");
  await page.getByText("Bob is typing…").waitFor();
  await look("talk");
  await page.getByRole("log").evaluate((log) => log.scrollTo(0, 0));
  await write(bob, "one more");
  await page.getByRole("button", { name: "New messages" }).waitFor();
  await look("older messages");
  await enterRoom(bob, "#music");
  await write(bob, "elsewhere");
  await page.locator("#menu-mark").waitFor();
  await page.getByRole("button", { name: "Rooms" }).click();
  await look("menu");
  await page.getByRole("button", { name: "Rename" }).click();
  await page.getByLabel("New name").fill("Bob");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").getByText("already has this nickname").waitFor();
  await look("rename");
  await page.getByRole("button", { name: "Cancel" }).click();
  await kill();
  await page.locator("#status").getByText("offline").waitFor();
  await write(ada, "into the dark");
  await page.getByText("sending…").waitFor();
  await look("offline");
  await page.getByRole("button", { name: "Send again" }).waitFor();
  await look("not delivered");
  await startExample(t, "chat", port);
  await joinedAgain(ada);
  await look("back online");
  assert.deepEqual(found, []);
  assert.deepEqual(ada.errors, []);
});
