import { test } from "node:test";
import assert from "node:assert/strict";
import { startReadme } from "../../project/examples/readme-program.js";
import { launch } from "./browser.js";

test("the README's page talks to its server, and to a second window [ROB-810]", async (t) => {
  const { url } = await startReadme(t);
  const browser = await launch(t);
  const errors = [];
  const open = async (name) => {
    const page = await (await browser.newContext()).newPage();
    page.setDefaultTimeout(15_000);
    page.on("dialog", (dialog) => dialog.accept(name));
    page.on("pageerror", (error) => errors.push(error.message));
    await page.goto(url);
    return page;
  };
  const ada = await open("Ada");
  const bob = await open("Bob");
  const nobody = await open(" ");
  await nobody.getByText("Who are you?").waitFor();
  await bob.getByLabel("Message").fill("ready");
  await bob.keyboard.press("Enter");
  await bob.getByText("you: ready (sent)").waitFor();
  await ada.getByLabel("Message").fill("<b>hello</b>");
  await ada.getByRole("button", { name: "Say" }).click();
  await ada.getByText("you: <b>hello</b> (sent)").waitFor();
  await bob.getByText("Ada: <b>hello</b>").waitFor();
  assert.deepEqual(errors, []);
});
