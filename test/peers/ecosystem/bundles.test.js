import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once as onceEvent } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { build } from "esbuild";
import webpack from "webpack";
import { client, connect, once } from "../../support/client.js";
import { assertRoomcast, familyRoot } from "./support/roomcast.js";

// Code that was CommonJS needs `require` and `__dirname` inside an ES module, whoever wrote it; docs/migrating.md gives this line.
const requireBanner =
  'import { createRequire } from "node:module"; const require = createRequire(import.meta.url); const __dirname = import.meta.dirname;';

/** Bundles `entry` into the one file `outfile` and gives the warnings. */
const bundlers = {
  async esbuild(entry, outfile, { minify, format }) {
    const options = { entryPoints: [entry], outfile, bundle: true, minify, platform: "node", logLevel: "silent" };
    const { warnings } = await build({ ...options, format, banner: format === "esm" ? { js: requireBanner } : {} });
    return warnings.map(({ text }) => text);
  },
  async webpack(entry, outfile, { minify, format }) {
    const compiler = webpack({
      target: "node20",
      mode: "production",
      entry,
      experiments: { outputModule: format === "esm" },
      output: { path: dirname(outfile), filename: basename(outfile), library: format === "esm" ? { type: "module" } : undefined },
      optimization: { minimize: minify },
    });
    const stats = await promisify(compiler.run).call(compiler);
    await promisify(compiler.close).call(compiler);
    const { errors, warnings } = stats.toJson({ all: false, errors: true, warnings: true });
    assert.deepEqual(errors, []);
    // `ws` tries these two and does without.
    return warnings.map(({ message }) => message).filter((message) => !/'(bufferutil|utf-8-validate)'/.test(message));
  },
};
const formats = [
  { format: "cjs", minify: false },
  { format: "cjs", minify: true },
  { format: "esm", minify: true },
];

for (const [name, bundle] of Object.entries(bundlers)) {
  for (const { format, minify } of formats) {
    const extension = format === "esm" ? "mjs" : "cjs";
    test(`a server bundled by ${name} into one ${minify ? "minified " : ""}${format} file runs without node_modules [MEM-1, HTTP-6]`, async (t) => {
      assertRoomcast();
      const alone = await mkdtemp(join(tmpdir(), "roomcast-bundle-"));
      t.after(() => rm(alone, { recursive: true, force: true }));
      const outfile = join(alone, `server.${extension}`);
      assert.deepEqual(await bundle(join(familyRoot, `fixtures/bundled-server.${extension}`), outfile, { format, minify }), []);
      const files = (await readdir(alone)).filter((file) => !file.endsWith(".LICENSE.txt"));
      assert.deepEqual(files, [`server.${extension}`]);

      const child = fork(outfile, { cwd: alone, stdio: ["ignore", "inherit", "pipe", "ipc"] });
      t.after(() => child.kill("SIGKILL"));
      let warnings = "";
      child.stderr.setEncoding("utf8").on("data", (text) => (warnings += text));
      const [{ port }] = await onceEvent(child, "message");
      const refused = client(t, port);
      assert.equal((await once(refused, "connect_error"))[0].message, "unauthorized");
      const auth = { token: "secret" };
      const listener = await connect(t, port, "/", { auth });
      for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
        const socket = await connect(t, port, "/", { transports, auth });
        assert.equal(await socket.emitWithAck("shout", "hello"), "HELLO");
        const news = once(listener, "news");
        socket.emit("broadcast", Buffer.from([1, 2]));
        assert.deepEqual(await news, [Buffer.from([1, 2])]);
      }
      const clientFile = await fetch(`http://127.0.0.1:${port}/socket.io/socket.io.js`);
      assert.equal(clientFile.status, 404);
      const ended = onceEvent(child.stderr, "end");
      child.disconnect();
      await ended;
      assert.match(warnings, /ROOMCAST_CLIENT_FILES.*the client files cannot be served: .*client-dist/);
    });
  }
}
