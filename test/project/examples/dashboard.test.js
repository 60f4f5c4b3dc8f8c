/** The example of the dashboard, as its README says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../../support/client.js";
import { act, ask, login, state } from "../../support/dashboard.js";
import { oursOnly } from "../../support/target.js";
import { startExample } from "./example-process.js";

const OURS = oursOnly("it has no dashboard");
const REMOTE = { "x-forwarded-for": "203.0.113.7" };

test("shows its clients to this machine, and only shows [ROB-978]", OURS, async (t) => {
  const { url, port } = await startExample(t, "dashboard");
  const one = await connect(t, url);
  await one.emitWithAck("join", "tea");
  assert.equal((await state(port)).figures.rooms, 1);
  assert.equal((await act(port, { action: "disconnect", namespace: "/", target: one.id })).status, 403);
  assert.equal((await ask(port, "/", { headers: REMOTE })).status, 403);
});

test("has a login and acts, where the environment says so [ROB-978]", OURS, async (t) => {
  const env = { DASHBOARD_PASSWORD: "correct horse", DASHBOARD_ALLOW: "disconnect" };
  const { url, port } = await startExample(t, "dashboard", 0, env);
  const one = await connect(t, url);
  assert.equal((await ask(port, "/", { headers: REMOTE })).status, 401);
  const cookie = (await login(port, "ops", "correct horse", REMOTE)).headers["set-cookie"][0].split(";")[0];
  const headers = { ...REMOTE, cookie };
  assert.deepEqual((await act(port, { action: "disconnect", namespace: "/", target: one.id }, headers)).json(), { sockets: 1 });
});
