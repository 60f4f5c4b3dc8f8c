import { test } from "node:test";
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { connect, once } from "../../support/client.js";
import { within } from "../../support/wait.js";
import { run } from "../../project/package/support/project.js";
import { blocksBelow, makeFolder, startProgram } from "./support/guide.js";
import { routesAnswer, speak, stops } from "./support/checks.js";

const { WebSocket } = await import("ws");
const nextCommand = fileURLToPath(new URL("node_modules/next/dist/bin/next", import.meta.url));
const [server, client] = blocksBelow("Next\\.js", "js");
const env = { NEXT_TELEMETRY_DISABLED: "1", CI: "true" };

/** A small application: a page with the guide's module of the client, a route, and a page for every other address, /socket.io too. */
const application = {
  "package.json": '{"private":true}',
  "next.config.mjs": `export default { turbopack: { root: ${JSON.stringify(fileURLToPath(new URL(".", import.meta.url)))} } };`,
  "server.mjs": server,
  "app/socket.js": client,
  "app/listener.js": `"use client";
import { useEffect, useState } from "react";
import { listen } from "./socket.js";
export default function Listener() {
  const [said, show] = useState("nothing");
  useEffect(() => listen(show), []);
  return <p>{said}</p>;
}`,
  "app/layout.js": `export default ({ children }) => <html lang="en"><body>{children}</body></html>;`,
  "app/page.js": `import Listener from "./listener.js";
export default () => <main>the page<Listener /></main>;`,
  "app/[slug]/page.js": `import { notFound } from "next/navigation";
export default () => notFound();`,
  "app/ready/route.js": `export const dynamic = "force-dynamic";
export const GET = () => Response.json({ ready: true });`,
};

test("the guide's Next.js server, built, answers events beside its pages and routes, and ends at SIGTERM [ROB-980, ROB-981]", async (t) => {
  const folder = await makeFolder(t, application);
  await run(process.execPath, [nextCommand, "build"], { cwd: folder, env });
  const program = await startProgram(t, folder, "server.mjs", { ...env, NODE_ENV: "production" });
  assert.match(await (await fetch(program.url)).text(), /the page/);
  await routesAnswer(program.url);
  await speak(t, program.url);
  assert.match(await (await fetch(program.url)).text(), /the page/);
  await stops(program, await connect(t, program.url, "/", { transports: ["websocket"] }));
});

test("the guide's Next.js server in development keeps its own WebSocket beside those of roomcast [ROB-980]", async (t) => {
  const folder = await makeFolder(t, application);
  const program = await startProgram(t, folder, "server.mjs", { ...env, NODE_ENV: "development" });
  assert.match(await (await fetch(program.url)).text(), /the page/);
  const reload = new WebSocket(`${program.url.replace("http", "ws")}/_next/hmr?id=1`);
  t.after(() => reload.terminate());
  await within(once(reload, "message"), "the first message of the WebSocket that reloads pages", program.printed, 30_000);
  await speak(t, program.url);
  assert.equal(reload.readyState, WebSocket.OPEN);
});
