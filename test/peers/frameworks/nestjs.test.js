import { test } from "node:test";
import assert from "node:assert/strict";
import { connect } from "../../support/client.js";
import { run } from "../../project/package/support/project.js";
import { fileURLToPath } from "node:url";
import { blocksBelow, makeFolder, startProgram } from "./support/guide.js";
import { routesAnswer, speak, stops } from "./support/checks.js";

const compiler = fileURLToPath(new URL("../../../node_modules/typescript/bin/tsc", import.meta.url));
const [gateway, adapter, main] = blocksBelow("NestJS", "ts");
const tsconfig = {
  compilerOptions: {
    ...{ strict: true, skipLibCheck: true, target: "es2022", module: "nodenext", outDir: "dist", rootDir: "src" },
    ...{ experimentalDecorators: true, emitDecoratorMetadata: true, types: ["node"], typeRoots: ["../../../../../node_modules/@types"] },
  },
  include: ["src"],
};

/** The guide's files under the names that it gives them, compiled with their types checked, as NestJS does it. */
async function compile(t) {
  const folder = await makeFolder(t, {
    "package.json": '{"private":true,"type":"module"}',
    "tsconfig.json": JSON.stringify(tsconfig),
    "src/chat.gateway.ts": gateway,
    "src/chat-io.adapter.ts": adapter,
    "src/main.ts": main,
  });
  await run(process.execPath, [compiler, "-p", folder], { cwd: folder });
  return folder;
}

test("the guide's NestJS application compiles, answers events, and closes its sockets at SIGTERM [ROB-980, ROB-981]", async (t) => {
  const program = await startProgram(t, await compile(t), "dist/main.js");
  await routesAnswer(program.url);
  await speak(t, program.url);
  const foreign = await fetch(`${program.url}/socket.io/?EIO=4&transport=polling`, { headers: { origin: "https://evil.example" } });
  assert.equal(foreign.status, 403, "the option `origins` of the guide's adapter has reached the server");
  await stops(program, await connect(t, program.url, "/", { transports: ["websocket"] }), [null, "SIGTERM"]);
});
