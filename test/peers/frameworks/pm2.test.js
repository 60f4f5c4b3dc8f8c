// The program and the settings for PM2 of docs/guides/deploying.md, with the real PM2: several instances without sticky sessions, and a reload.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { io as connect } from "socket.io-client";
import { within } from "../../support/wait.js";
import { makeFolder } from "./support/guide.js";
import { freePort } from "../../support/free-port.js";

const pm2 = fileURLToPath(new URL("node_modules/pm2/bin/pm2", import.meta.url));
const guide = await readFile(new URL("../../../docs/guides/deploying.md", import.meta.url), "utf8");
const sectionOf = (heading) => guide.split(`\n## ${heading}\n`)[1].split("\n## ")[0];
const blocksOf = (heading) => [...sectionOf(heading).matchAll(/^```js\n([^]*?)^```$/gm)].map(([, code]) => code);
const CLIENTS = 12;

test(
  "PM2 runs several instances without sticky sessions, and reloads them; every client comes back [ROB-989]",
  { timeout: 120_000 },
  async (t) => {
    const [program] = blocksOf("The program");
    const settings = blocksOf("PM2")[1];
    const withAdapter = program
      .replace('require("roomcast");', 'require("roomcast");\nconst { createAdapter } = require("roomcast/cluster");')
      .replace(
        "new Server(httpServer, {",
        "new Server(httpServer, {\n  adapter: createAdapter({ directory: process.env.CHAT_DIRECTORY, carrySessions: true }),",
      );
    assert.match(withAdapter, /createAdapter\(\{ directory/);
    const port = await freePort();
    const folder = await makeFolder(t, {
      "server.js": `${withAdapter}\nio.on("connection", (socket) => socket.on("who", (answer) => answer(process.pid)));\n`,
      "package.json": "{}",
    });
    const directory = join(folder, "workers");
    await mkdir(directory, { mode: 0o700 });
    const config = settings.replace("instances: 4", "instances: 2").replace('"/run/chat"', `${JSON.stringify(directory)}, PORT: ${port}`);
    assert.match(config, /instances: 2/);
    const run = async (...args) => {
      const env = { ...process.env, PM2_HOME: join(folder, ".pm2"), PM2_DISABLE_VERSION_CHECK: "true", NODE_OPTIONS: "" };
      return (await promisify(execFile)(process.execPath, [pm2, ...args], { cwd: folder, env })).stdout;
    };
    await writeFile(join(folder, "ecosystem.config.js"), config);
    await run("start", "ecosystem.config.js");
    try {
      await reloadUnderClients(t, port, run);
    } finally {
      await run("kill"); // while its files are there
    }
  },
);

async function reloadUnderClients(t, port, run) {
  const refusals = [];
  const clients = Array.from({ length: CLIENTS }, () => connect(`http://127.0.0.1:${port}`, { forceNew: true, reconnectionDelay: 50 }));
  for (const client of clients) {
    t.after(() => client.close());
    client.io.on("reconnect_error", ({ context, description }) => refusals.push(context?.status ?? description));
  }
  await Promise.all(clients.map((client) => within(once(client, "connect"), "a client to connect", undefined, 20_000)));
  const who = () => Promise.all(clients.map((client) => client.timeout(20_000).emitWithAck("who")));
  const before = new Set(await who());
  assert.equal(before.size, 2);

  const back = clients.map((client) => once(client, "disconnect").then(() => once(client, "connect")));
  await run("reload", "chat");
  await within(Promise.all(back), "all clients to be back", undefined, 60_000);
  const after = new Set(await who());
  for (const pid of after) assert.ok(!before.has(pid), "an old instance answers");
  assert.deepEqual(
    refusals.filter((status) => status === 400),
    [],
  );
}
