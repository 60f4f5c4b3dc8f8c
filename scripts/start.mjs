/**
 * `npm start`: builds when dist/ is missing, then serves the chat example on port 3000, or on `PORT`.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "./doors.mjs";

if (!existsSync(join(root, "dist/esm/index.mjs"))) {
  const { status } = spawnSync(process.execPath, [join(root, "scripts/build.mjs")], { stdio: "inherit", cwd: root });
  if (status !== 0) process.exit(1);
}
await import("../examples/chat/server.js");
