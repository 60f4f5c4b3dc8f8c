/* global document, innerWidth */
import { test } from "node:test";
import assert from "node:assert/strict";
import { startExample } from "../examples/example-process.js";
import { launch, openPage, screenshot } from "./browser.js";

async function joinChat({ page }, nickname) {
  await page.getByLabel("Nickname").fill(nickname);
  await page.getByRole("button", { name: "Join the chat" }).click();
  await page.getByText("online · websocket").waitFor();
}

async function enterRoom({ page }, name) {
  await page.getByRole("navigation").getByRole("button", { name }).click();
  await page.getByRole("heading", { name, level: 1 }).waitFor();
}

async function say(from, to, text) {
  await from.page.getByLabel("Message").fill(text);
  await from.page.getByRole("button", { name: "Send" }).click();
  await to.page.getByRole("log").getByText(text, { exact: true }).waitFor();
  await from.page.locator("li.mine:not(.waiting):not(.failed)", { hasText: text }).waitFor();
}

async function sayBothWays(ada, bob, room) {
  await say(ada, bob, `Ada says hello in ${room}`);
  await say(bob, ada, `Bob answers in ${room}, €🦊`);
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
