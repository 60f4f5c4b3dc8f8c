import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot, run } from "./support/project.js";

const start = (PORT) => run(process.execPath, [join(packageRoot, "scripts/start.mjs")], { env: { PORT }, allowFailure: true });

for (const port of ["http", "70000", "-1", "3e3"]) {
  test(`says in one line that PORT=${port} is no port [ROB-702]`, async () => {
    const { code, stderr, stdout } = await start(port);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.equal(stderr, `roomcast: PORT is expected to be a number from 0 to 65535, met ${JSON.stringify(port)}\n`);
  });
}

test("says in one line that the port is taken, after what it says while it builds [ROB-702]", async (t) => {
  const server = createServer().listen(0);
  t.after(() => server.close());
  await once(server, "listening");
  const { port } = server.address();
  const { code, stderr } = await start(String(port));
  assert.equal(code, 1);
  const said = stderr.trim().split("\n").at(-1);
  assert.equal(said, `roomcast: port ${port} is in use; choose another one: PORT=3001 npm start`);
});
