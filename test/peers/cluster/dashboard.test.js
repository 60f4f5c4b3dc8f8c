/** `roomcast/dashboard` over Redis, and behind nginx. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { once } from "../../support/client.js";
import { act, ask, dashboard, login, state } from "../../support/dashboard.js";
import { joinServer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { startBackends } from "./backends.js";
import { waitUntil, startNodes } from "./cluster.js";
import { startNginx } from "./services.js";

const NAME = "roomcast/redis with redis";
const OFFICIAL = "@socket.io/redis-adapter with redis";
const backends = await startBackends((name) => name === NAME || name === OFFICIAL);
const [backend, official] = [NAME, OFFICIAL].map((wanted) => backends.find(({ name }) => name === wanted));
const AUTH = { username: "ops", password: "correct horse" };

test("shows three servers over Redis, finds their sockets and acts on them [ROB-973, ROB-975]", async (t) => {
  const { servers, sockets, clients, nodes } = await startNodes(t, backend, { bases: Array(3).fill("ours") });
  const [{ port }] = nodes;
  const log = [];
  dashboard(servers[0], { allow: ["disconnect", "join", "leave", "send"], intervalMs: 100, log: (entry) => log.push(entry) });
  await waitUntil(async () => {
    const { figures } = await state(port);
    return figures.nodes.length === 3 && figures.nodes.reduce((sum, node) => sum + node.clients, 0) === 3;
  }, "the servers to tell of their clients");
  const { figures } = await state(port);
  assert.deepEqual(
    [figures.health.adapter.status, figures.nodes.filter(({ isSelf }) => isSelf).length, figures.stats.sessions],
    ["ok", 1, 1],
  );

  assert.deepEqual((await act(port, { action: "join", namespace: "/", target: sockets[1].id, room: "far" })).json(), { sockets: 1 });
  await waitUntil(() => sockets[1].rooms.has("far"), "the socket to join");
  sockets[2].join("far");
  const search = async () => (await ask(port, "/api/elsewhere?namespace=/&search=far")).json();
  await waitUntil(async () => (await search()).total === 2, "both to be found");
  assert.deepEqual((await search()).rows.map(({ id }) => id).sort(), [sockets[1].id, sockets[2].id].sort());
  assert.deepEqual((await ask(port, "/api/room?namespace=/&room=far")).json(), { count: 2, silent: 0 });
  const one = (await ask(port, `/api/socket?namespace=/&id=${sockets[2].id}`)).json();
  assert.deepEqual([one.isHere, one.roomNames], [false, ["far"]]);

  const got = Promise.all([once(clients[1], "news"), once(clients[2], "news")]);
  assert.deepEqual((await act(port, { action: "send", namespace: "/", target: "far", event: "news", args: [1] })).json(), { sockets: 2 });
  assert.deepEqual(await got, [[1], [1]]);
  await act(port, { action: "leave", namespace: "/", target: sockets[2].id, room: "far" });
  await waitUntil(() => !sockets[2].rooms.has("far"), "the socket to leave");
  const left = once(clients[1], "disconnect");
  await act(port, { action: "disconnect", namespace: "/", target: sockets[1].id });
  assert.equal((await left)[0], "io server disconnect");
  await waitUntil(async () => (await state(port)).figures.adapter.counters.received > 0, "what has arrived to be counted");
  assert.deepEqual(
    log.map(({ action, outcome, sockets: count }) => [action, outcome, count]),
    [
      ["join", "done", 1],
      ["send", "done", 2],
      ["leave", "done", 1],
      ["disconnect", "done", 1],
    ],
  );
});

test("finds sockets by their whole id and by room where a server has the official adapter [ROB-975]", async (t) => {
  const closers = [];
  const nodes = [];
  for (const [one, base] of [
    [backend, "ours"],
    [official, "own"],
  ])
    nodes.push(await startServer(t, { adapter: await one.makeAdapter(base, (close) => closers.push(close)) }));
  t.after(() => Promise.all(closers.map((close) => close()))); // after the servers
  const [here, there] = nodes;
  dashboard(here.io);
  await waitUntil(async () => (await here.io.of("/").adapter.serverCount()) === 2, "the other server to be counted");
  const far = await joinServer(t, there);
  far.socket.join("far");
  const search = async (text) => (await ask(here.port, `/api/elsewhere?namespace=/&search=${text}`)).json();
  for (const text of [far.socket.id, "far"]) {
    const { rows, total } = await search(text);
    assert.deepEqual([rows.map(({ id }) => id), total], [[far.socket.id], 1], text);
  }
  assert.deepEqual(await search(far.socket.id.slice(0, 10)), { rows: [], total: 0, silent: 0 });
});

test("nginx on the same machine makes nobody local, and the login works below another path [ROB-971, ROB-972]", async (t) => {
  const plain = await startServer(t);
  dashboard(plain.io);
  const closed = await startServer(t);
  dashboard(closed.io, { auth: AUTH, loopback: false });
  const locations = `
    location /plain/ { proxy_pass http://127.0.0.1:${plain.port}/dashboard/; }
    location /ops/dashboard {
      proxy_pass http://127.0.0.1:${closed.port}/dashboard;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-Host $http_host;
    }`;
  const { port } = await startNginx((at) => `server { listen 127.0.0.1:${at}; ${locations} }`);
  assert.equal((await ask(port, "/", { path: "/plain" })).status, 403);
  const at = { path: "/ops/dashboard" };
  const redirect = await ask(port, "", at);
  assert.equal(new URL(redirect.headers.location, `http://127.0.0.1:${port}/ops/dashboard`).pathname, "/ops/dashboard/");
  assert.equal((await ask(port, "/", at)).status, 401);
  const answer = await login(port, "ops", "correct horse", {}, at.path);
  assert.equal(answer.status, 303);
  const cookie = answer.headers["set-cookie"][0].split(";")[0];
  assert.equal((await ask(port, "/api/state", { ...at, headers: { cookie } })).json().user, "ops");
});
