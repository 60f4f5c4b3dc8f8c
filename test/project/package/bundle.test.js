import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { build } from "esbuild";
import { io as connect } from "socket.io-client";
import { createProject, packageRoot } from "./support/project.js";

const server = (load) => `
${load}
const io = new Server(0, { cors: { origin: "*" } });
io.on("connection", (socket) => socket.on("question", (text, callback) => callback(text.toUpperCase())));
console.log(io.httpServer.address().port);
process.on("disconnect", () => process.exit(0));
`;
/** As docs/migrating.md gives it. */
const [bannerLine] = /import \{ createRequire \}.*import\.meta\.dirname;/.exec(
  await readFile(join(packageRoot, "docs/migrating.md"), "utf8"),
);

const variants = [
  { format: "cjs", file: "server.cjs", source: server('const { Server } = require("socket.io");') },
  { format: "esm", file: "server.mjs", source: server('import { Server } from "socket.io";') },
];

for (const { format, file, source } of variants) {
  test(`runs as a single ${format} file made by esbuild, without any node_modules; client-dist beside it is served [HTTP-6, ROB-581, ROB-703]`, async (t) => {
    const directory = await createProject(t, { files: { [file]: source } });
    const alone = await mkdtemp(join(tmpdir(), "roomcast-bundle-"));
    t.after(() => rm(alone, { recursive: true, force: true }));
    await mkdir(join(alone, "bin"));
    const outfile = join(alone, "bin", file);
    // Bundles of CommonJS code as ES modules need a `require` for Node's own modules, whoever wrote that code.
    const banner = format === "esm" ? { js: bannerLine } : {};
    const options = { entryPoints: [join(directory, file)], outfile, bundle: true, platform: "node", format, banner, logLevel: "silent" };
    const { warnings } = await build(options);
    assert.deepEqual(
      warnings.map(({ text }) => text),
      [],
    );

    const child = spawn(process.execPath, [outfile], { stdio: ["ignore", "pipe", "inherit", "ipc"] });
    t.after(() => child.kill("SIGKILL"));
    const [port] = await once(createInterface({ input: child.stdout }), "line");
    for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
      const client = connect(`http://127.0.0.1:${port}`, { transports, forceNew: true });
      t.after(() => client.disconnect());
      assert.equal(await client.emitWithAck("question", "hello"), "HELLO");
      client.disconnect();
    }
    const clientFile = `http://127.0.0.1:${port}/socket.io/socket.io.js`;
    const response = await fetch(clientFile);
    assert.equal(response.status, 404);
    assert.equal(await response.text(), "");
    await cp(join(directory, "node_modules/socket.io/client-dist"), join(alone, "client-dist"), { recursive: true });
    assert.match(await (await fetch(clientFile)).text(), /^\/\*!/);
  });
}

test("the dashboard is whole in a single file made by esbuild, and the package has no file of it to look for [ROB-581, ROB-977]", async (t) => {
  const source = server('const { Server } = require("socket.io");\nconst { dashboard } = require("socket.io/dashboard");').replace(
    "io.on(",
    "dashboard(io);\nio.on(",
  );
  const directory = await createProject(t, { files: { "server.cjs": source } });
  const alone = await mkdtemp(join(tmpdir(), "roomcast-bundle-"));
  t.after(() => rm(alone, { recursive: true, force: true }));
  const outfile = join(alone, "server.cjs");
  await build({ entryPoints: [join(directory, "server.cjs")], outfile, bundle: true, platform: "node", logLevel: "silent" });
  const child = spawn(process.execPath, [outfile], { stdio: ["ignore", "pipe", "inherit", "ipc"] });
  t.after(() => child.kill("SIGKILL"));
  const [port] = await once(createInterface({ input: child.stdout }), "line");
  const page = `http://127.0.0.1:${port}/dashboard/`;
  assert.match(await (await fetch(page)).text(), /<script type="module" src="main\.js">/);
  for (const name of ["main.js", "elements.js", "overview.js", "window-list.js", "details.js", "style.css"])
    assert.equal((await fetch(page + name)).status, 200, name);
  assert.equal((await (await fetch(`${page}api/state`)).json()).figures.sockets, 0);
});
