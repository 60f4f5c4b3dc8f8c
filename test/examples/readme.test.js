import { test } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { client, once } from "../support/client.js";
import { oursOnly } from "../support/target.js";
import { eventually } from "../support/pairs.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const [serverCode, clientCode] = readFileSync(`${root}/README.md`, "utf8")
  .match(/```js\n[^]*?```/g)
  .map((block) => block.slice(6, -3));

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function isListening(port) {
  return fetch(`http://127.0.0.1:${port}/socket.io/socket.io.js`).then(
    (response) => response.ok,
    () => false,
  );
}

test("the README's server and page run as printed", oursOnly("the README is about roomcast"), async (t) => {
  const port = await freePort();
  const server = spawn(process.execPath, ["--eval", serverCode], {
    cwd: root,
    env: { ...process.env, PORT: String(port) },
    stdio: "inherit",
  });
  t.after(() => server.kill("SIGKILL"));
  await eventually(() => isListening(port), "the README's server");

  const [refusal] = await once(client(t, port), "connect_error");
  assert.equal(refusal.message, "who are you?");

  const bob = client(t, port, "/", { auth: { name: "Bob" } });
  await once(bob, "connect");
  const said = once(bob, "said");
  const printed = new Promise((resolve) => {
    new Function("io", "console", clientCode)((options) => client(t, port, "/", options), { log: resolve });
  });
  assert.deepEqual(await said, ["Ada", "hello"]);
  assert.equal(await printed, "sent");
});
