import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { build } from "esbuild";
import { io as connect } from "socket.io-client";
import { createProject } from "./support/project.js";

const server = (load) => `
${load}
const io = new Server(0, { cors: { origin: "*" } });
io.on("connection", (socket) => socket.on("question", (text, callback) => callback(text.toUpperCase())));
console.log(io.httpServer.address().port);
process.on("disconnect", () => process.exit(0));
`;
const variants = [
  { format: "cjs", file: "server.cjs", source: server('const { Server } = require("socket.io");') },
  { format: "esm", file: "server.mjs", source: server('import { Server } from "socket.io";') },
];

for (const { format, file, source } of variants) {
  test(`runs as a single ${format} file made by esbuild, without any node_modules [HTTP-6]`, async (t) => {
    const directory = await createProject(t, { files: { [file]: source } });
    const alone = await mkdtemp(join(tmpdir(), "roomcast-bundle-"));
    t.after(() => rm(alone, { recursive: true, force: true }));
    const outfile = join(alone, file);
    // Bundles of CommonJS code as ES modules need a `require` for Node's own modules, whoever wrote that code.
    const banner =
      format === "esm" ? { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' } : {};
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
    const response = await fetch(`http://127.0.0.1:${port}/socket.io/socket.io.js`);
    assert.equal(response.status, 404);
    assert.equal(await response.text(), "");
  });
}
