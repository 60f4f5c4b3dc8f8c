import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createProject, pack, packageRoot, run, runJson, toolPath, writeFiles } from "./support/project.js";

/** Runs in the project: a server on an official adapter, a client of the project's own, and the client file of the package. */
const program = `
const { Server } = require("socket.io");
const { createShardedAdapter, createAdapter } = require("@socket.io/redis-adapter");
const { io: connect } = require("socket.io-client");
const { statSync } = require("node:fs");
const redis = { on() {}, subscribe: async () => {}, psubscribe: async () => {}, publish: async () => 0, unsubscribe: async () => {}, punsubscribe: async () => {} };
const io = new Server(0, { adapter: createAdapter(redis, redis) });
io.on("connection", (socket) => socket.on("question", (answer) => answer("yes")));
const client = connect("http://127.0.0.1:" + io.httpServer.address().port);
client.emit("question", (answer) => {
  const adapter = io.of("/").adapter.constructor.name;
  const bytes = statSync("node_modules/socket.io/client-dist/socket.io.js").size;
  console.log(JSON.stringify({ answer, adapter, name: require("socket.io/package.json").name, hasClientFile: bytes > 100000 }));
  process.exit();
});
`;
const expected = { answer: "yes", adapter: "RedisAdapter", name: "roomcast", hasClientFile: true };

const managers = {
  "npm --legacy-peer-deps": ["npm", ["install", "--legacy-peer-deps", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"]],
  "yarn 1": [
    process.execPath,
    [toolPath("yarn", "bin/yarn.js"), "install", "--no-lockfile", "--non-interactive", "--silent", "--prefer-offline"],
  ],
  pnpm: [process.execPath, [toolPath("pnpm", "bin/pnpm.cjs"), "install", "--prefer-offline", "--silent"]],
};

for (const [name, [command, args]] of Object.entries(managers)) {
  test(`serves with an official adapter when ${name} installed it [ROB-590, ROB-580]`, async (t) => {
    const directory = await scratch(t);
    const dependencies = { "socket.io": `file:${await pack()}`, "socket.io-client": "^4.8.0", "@socket.io/redis-adapter": "8.3.0" };
    await writeFiles(directory, { "package.json": JSON.stringify({ private: true, dependencies }), "main.js": program });
    await run(command, args, { cwd: directory, env: { npm_config_registry: await registry() } });
    assert.deepEqual(await runJson(directory, ["main.js"]), expected);
  });
}

test("installs one @types/node, the project's own [ROB-572]", async (t) => {
  const directory = await createProject(t, { dependencies: { "@types/node": "16" } });
  const found = (await readdir(join(directory, "node_modules"), { recursive: true })).filter((path) =>
    /(^|[\\/])@types[\\/]node$/.test(path),
  );
  assert.deepEqual(found, [join("@types", "node")]);
});

const fromGit = existsSync(join(packageRoot, ".git")) ? false : "there is no git repository here";

test("is packed whole from a fresh clone without installed packages [ROB-700]", { skip: fromGit }, async (t) => {
  const directory = await scratch(t);
  const clone = join(directory, "clone");
  await run("git", ["clone", "--quiet", "--depth", "1", `file://${packageRoot}`, clone]);
  const { stdout } = await run("npm", ["pack", "--silent"], { cwd: clone });
  const list = async (tarball) => (await run("tar", ["-tzf", tarball])).stdout.split("\n").sort();
  assert.deepEqual(await list(join(clone, stdout.trim().split("\n").at(-1))), await list(await pack()));
});

test("runs when it was installed from git [ROB-700]", { skip: fromGit }, async (t) => {
  const directory = await scratch(t);
  const clone = join(directory, "clone.git");
  await run("git", ["clone", "--quiet", "--bare", "--depth", "1", `file://${packageRoot}`, clone]);
  const dependencies = { "socket.io": `git+file://${clone}`, "socket.io-client": "^4.8.0", "@socket.io/redis-adapter": "8.3.0" };
  await writeFiles(directory, { "package.json": JSON.stringify({ private: true, dependencies }), "main.js": program });
  await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: directory });
  assert.deepEqual(await runJson(directory, ["main.js"]), expected);
});

async function scratch(t) {
  const directory = await mkdtemp(join(tmpdir(), "roomcast-install-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** The registry that npm uses; yarn 1 has another one of its own. */
async function registry() {
  return (await run("npm", ["config", "get", "registry"])).stdout.trim();
}
