import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { client, once, record } from "../../support/client.js";
import { oursOnly } from "../../support/target.js";
import { root, startReadme } from "./readme-program.js";

const ours = oursOnly("the README is about roomcast");

test("the README's server runs as it stands in an empty folder, and serves its page [ROB-810]", ours, async (t) => {
  const { url } = await startReadme(t);
  const page = await fetch(url);
  assert.equal(page.headers.get("content-type"), "text/html; charset=utf-8");
  assert.match(await page.text(), /^<!doctype html>/);
  assert.equal((await fetch(`${url}/socket.io/socket.io.js`)).status, 200);

  const ada = client(t, url, "/", { auth: { name: "Ada" } });
  const bob = client(t, url, "/", { auth: { name: " Bob " } });
  await Promise.all([once(ada, "connect"), once(bob, "connect")]);
  const said = once(ada, "said");
  assert.equal(await bob.timeout(5000).emitWithAck("say", "hello"), "sent");
  assert.deepEqual(await said, ["Bob", "hello"]);
});

test("the README's server survives clients that send anything [ROB-810]", ours, async (t) => {
  const { url, printed } = await startReadme(t);
  for (const auth of [
    undefined,
    {},
    { name: 1 },
    { name: null },
    { name: "" },
    { name: " " },
    { name: { trim: 1 } },
    { name: "x".repeat(21) },
  ]) {
    const [refusal] = await once(client(t, url, "/", { auth }), "connect_error");
    assert.equal(refusal.message, "Who are you?");
  }
  const mallory = client(t, url, "/", { auth: { name: "Mallory" } });
  const bob = client(t, url, "/", { auth: { name: "Bob" } });
  await Promise.all([once(mallory, "connect"), once(bob, "connect")]);
  const heard = record(bob, "said");
  const odd = [undefined, null, 1, true, [], {}, { toString: 1 }, Buffer.alloc(3), "x".repeat(1001)];
  mallory.emit("say").emit("say", "no acknowledgement").emit("unknown", 1);
  for (const value of odd)
    mallory
      .emit("say", value)
      .emit("say", value, () => {})
      .emit("say", value, value)
      .emit("say", () => {});
  assert.equal(await mallory.timeout(5000).emitWithAck("say", "still served"), "sent");
  await heard.until((all) => all.length > 0);
  assert.deepEqual(heard.events, [["said", "Mallory", "still served"]]);
  assert.equal(printed().includes("Error"), false);
});

test("the README's first command starts the chat, its second runs the tests, and documents come before figures [ROB-811]", () => {
  const text = readFileSync(join(root, "README.md"), "utf8");
  const [, commands] = /```sh\n([^]*?)```/.exec(text);
  assert.deepEqual(
    commands
      .trim()
      .split("\n")
      .map((line) => line.replace(/\s*#.*/, "")),
    ["npm ci && npm start", "npm test"],
  );
  const table = text.slice(text.indexOf("<!-- bench:start -->"), text.indexOf("<!-- bench:end -->"));
  assert.equal(table.match(/^\| /gm).length, 1 + 6);
  assert.ok(text.indexOf("## Documents") < text.indexOf("## Measured"));
});
