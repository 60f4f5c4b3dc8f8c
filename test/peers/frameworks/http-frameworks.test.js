import { test } from "node:test";
import assert from "node:assert/strict";
import { connect, once } from "../../support/client.js";
import { blocksBelow, makeFolder, startProgram } from "./support/guide.js";
import { routesAnswer, speak, stops } from "./support/checks.js";

const programs = [
  { heading: "Express 5", file: "server.cjs" },
  { heading: "Fastify 5", file: "server.cjs" },
  { heading: "Hono", file: "server.mjs" },
];

/** Starts the only program below a heading. */
async function startOf(t, { heading, file }) {
  const [code] = blocksBelow(heading, "js");
  return startProgram(t, await makeFolder(t, { [file]: code }), file);
}

for (const each of programs) {
  test(`the guide's server with ${each.heading} answers events, beside the routes of the framework [ROB-980]`, async (t) => {
    const { url } = await startOf(t, each);
    await routesAnswer(url);
    await speak(t, url);
    await routesAnswer(url);
  });

  test(`SIGTERM closes the sockets of the guide's server with ${each.heading}, and the process ends [ROB-981]`, async (t) => {
    const program = await startOf(t, each);
    await stops(program, await connect(t, program.url, "/", { transports: ["websocket"] }));
  });
}

test("a route of the guide's Express server sends to a room [ROB-980]", async (t) => {
  const { url } = await startOf(t, programs[0]);
  const socket = await connect(t, url);
  assert.deepEqual(await socket.emitWithAck("say", "in the lobby now"), { sent: true });
  const announced = once(socket, "announced");
  const headers = { "content-type": "application/json" };
  const { status } = await fetch(`${url}/announce`, { method: "POST", headers, body: '{"text":"doors open"}' });
  assert.equal(status, 204);
  assert.deepEqual(await announced, ["doors open"]);
});
