/** `roomcast/dashboard` on an app of uWebSockets.js. */
import assert from "node:assert/strict";
import { connect as connectTcp } from "node:net";
import { test } from "node:test";
import { connect, once } from "../../support/client.js";
import { act, ask, dashboard, login, state } from "../../support/dashboard.js";
import { Server } from "../../support/target.js";
import { createApp } from "./app.js";

/** A connection that stays: one that closes behind each request may be that of a proxy with HTTP/1.0, of which this host does not tell the version. */
const direct = { connection: "keep-alive" };

async function start(t, options = {}) {
  const { app, listen } = await createApp();
  const io = new Server();
  io.attachApp(app);
  const end = dashboard(io, options);
  app.any("/*", (res) => res.end("app"));
  return { app, io, end, port: await listen(t, () => io.close()) };
}

test("is mounted by one line, leaves other requests alone, and is taken away [ROB-993]", async (t) => {
  const { io, end, port } = await start(t);
  const get = (below, more) => ask(port, below, { headers: direct, ...more });
  const redirect = await get("");
  assert.deepEqual([redirect.status, redirect.headers.location], [303, "dashboard/"]);
  const page = await get("/");
  assert.deepEqual([page.status, page.headers["content-type"]], [200, "text/html; charset=utf-8"]);
  for (const name of page.text.matchAll(/(?:src|href)="([a-z-]+\.(?:js|css))"/g)) assert.equal((await get(`/${name[1]}`)).status, 200);
  assert.equal((await get("/", { method: "HEAD" })).text, "");
  assert.equal((await get("/nothing")).status, 404);
  assert.equal((await get("/", { method: "DELETE" })).status, 405);
  for (const path of ["/", "/dashboards", "/dashboar"]) assert.equal((await get("", { path })).text, "app");
  await connect(t, port);
  assert.equal((await state(port, direct)).figures.stats.sessions, 1);
  assert.equal((await get(`/api/sockets?namespace=/`)).json().total, 1);
  end();
  assert.equal((await get("/")).text, "app");
  dashboard(io, { path: "/other" });
  assert.equal((await get("/", { path: "/other" })).status, 200);
  dashboard(io);
  assert.equal((await get("/")).status, 200);
});

test("acts on sockets, and refuses what it would refuse on every host [ROB-993]", async (t) => {
  const { port } = await start(t, { allow: ["disconnect"] });
  const client = await connect(t, port);
  const action = { action: "disconnect", namespace: "/", target: client.id, kind: "socket" };
  assert.equal((await act(port, { ...action, action: "join", room: "a" }, direct)).status, 403);
  const gone = once(client, "disconnect");
  assert.deepEqual((await act(port, action, direct)).json(), { sockets: 1 });
  await gone;
  assert.equal((await act(port, { text: "x".repeat(100_000) }, direct)).status, 413);
  for (const headers of [{ connection: "close" }, { ...direct, "x-forwarded-for": "10.0.0.1" }, { ...direct, host: "example.com" }])
    assert.equal((await ask(port, "/", { headers })).status, 403, JSON.stringify(headers));
});

test("has a login [ROB-993]", async (t) => {
  const { port } = await start(t, { auth: { username: "ops", password: "correct horse" }, loopback: false });
  assert.equal((await ask(port, "/api/state")).status, 401);
  assert.equal((await login(port, "ops", "wrong")).status, 401);
  const answer = await login(port, "ops", "correct horse");
  assert.equal(answer.status, 303);
  const cookie = answer.headers["set-cookie"][0].split(";")[0];
  assert.equal((await state(port, { cookie })).user, "ops");
});

test("holds little of a body that nobody reads, and survives a client that leaves [ROB-993]", async (t) => {
  let asked = 0;
  const { port } = await start(t, { loopback: false, auth: () => (asked++, new Promise(() => {})) });
  const head = (length) => `POST /dashboard/api/act HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`;
  const leaving = connectTcp(port, "127.0.0.1");
  leaving.write(`${head(100)}{"a"`);
  while (asked < 1) await new Promise(setImmediate);
  leaving.destroy();
  const flooding = connectTcp(port, "127.0.0.1");
  const cut = once(flooding, "close");
  flooding.on("error", () => {});
  flooding.write(head(1_000_000_000));
  const chunk = Buffer.alloc(64 * 1024);
  const write = () => !flooding.destroyed && flooding.write(chunk, write);
  write();
  await cut;
  assert.ok(flooding.bytesWritten < 50_000_000, `${flooding.bytesWritten} bytes were taken`);
  assert.equal((await ask(port, "", { path: "/" })).text, "app");
});
