import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createProject, packageRoot, run } from "./support/project.js";

const listener = `
const { Server } = require("socket.io");
const { io: connect } = require("socket.io-client");
const io = new Server(0);
io.on("connection", (socket) => socket.on("question", () => { throw new Error("thrown by the listener"); }));
connect("http://127.0.0.1:" + io.httpServer.address().port).emit("question");
`;
const option = `
const { Server } = require("socket.io");
new Server(0, { pingTimeout: "soon" });
`;

/** What Node.js writes about the error that ends the program, with the frames that name a source of the package, innermost first. */
async function traceOf(directory, program) {
  const { stderr, code } = await run(process.execPath, ["--enable-source-maps", program], { cwd: directory, allowFailure: true });
  assert.equal(code, 1);
  const frames = [...stderr.matchAll(/^ +at (?:(.+) \()?.*\/node_modules\/socket\.io\/(src\/[^:]+\.ts):(\d+):\d+\)?$/gm)];
  return {
    stderr,
    frames: frames.map(([, name, file, line]) => {
      assert.ok(existsSync(join(packageRoot, file)), `${file} is no source`);
      return { called: name?.split(/[ .]/).at(-1), file, text: readFileSync(join(packageRoot, file), "utf8").split("\n")[line - 1] };
    }),
  };
}

test("a stack trace of the installed package names sources and lines when Node.js reads source maps", async (t) => {
  const directory = await createProject(t, { files: { "listener.cjs": listener, "option.cjs": option } });

  await t.test("below an error that a listener throws", async () => {
    const { stderr, frames } = await traceOf(directory, "listener.cjs");
    assert.match(stderr, /Error: thrown by the listener\n +at .*listener\.cjs:5:/);
    assert.match(frames[0].file, /^src\/server\/socket\//);
    assert.match(frames[0].text, /\b(emit|apply|call)\(/);
    assert.doesNotMatch(stderr, /roomcast\.js/);
  });

  await t.test("above a wrong option: the throw itself, and each call that leads to it", async () => {
    const { frames } = await traceOf(directory, "option.cjs");
    assert.match(frames[0].text, /throw new UsageError\("RC_ERR_OPTION"/);
    assert.equal(frames.at(-1).called, "Server");
    for (const [index, { called }] of frames.slice(0, -1).entries())
      assert.ok(frames[index + 1].text.includes(`${called}(`), `${frames[index + 1].text} calls ${called}`);
  });
});
