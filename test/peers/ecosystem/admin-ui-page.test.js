import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { instrument } from "@socket.io/admin-ui";
import express from "express";
import { connect, once } from "../../support/client.js";
import { launch } from "./support/chromium.js";
import { assertRoomcast, startServer } from "./support/roomcast.js";

const files = join(dirname(fileURLToPath(import.meta.resolve("@socket.io/admin-ui"))), "../ui/dist");

test("the page of @socket.io/admin-ui in Chromium lists sockets as they connect and disconnect, and disconnects one [MEM-1, EX-197]", async (t) => {
  assertRoomcast("@socket.io/admin-ui");
  const { io, url } = await startServer(t, {}, express().use(express.static(files)));
  instrument(io, { auth: false, mode: "development" });
  const first = await connect(t, url, "/", { transports: ["websocket"] });
  const page = await (await launch(t)).newPage();
  await page.route(
    ({ hostname }) => hostname !== "127.0.0.1", // fonts
    (route) => route.abort(),
  );
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));

  await page.goto(url);
  await page.getByLabel("Server URL").fill(url);
  await page.getByRole("button", { name: "Connect" }).click();
  await page.getByRole("navigation").getByRole("link", { name: "Sockets" }).click();
  const row = (id) => page.locator("tbody tr", { hasText: new RegExp(`^${id}127`) }).first();
  await row(first.id).getByText("WebSocket").waitFor();
  const second = await connect(t, url, "/", { transports: ["polling"] });
  await row(second.id).getByText("HTTP long-polling").waitFor();

  const { id } = first;
  const gone = once(first, "disconnect");
  await row(id).getByRole("button").click();
  assert.equal((await gone)[0], "io server disconnect");
  await page.getByRole("row", { name: `ID ${id}` }).waitFor(); // the click opens its page as well
  await page.getByRole("navigation").getByRole("link", { name: "Sockets" }).click();
  await row(second.id).waitFor();
  await row(id).waitFor({ state: "detached" });
  assert.deepEqual(errors, []);
});
