/** `roomcast/dashboard`: who may look, and from where something may be changed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { act, ask, dashboard, login, ownOrigin, state } from "../../support/dashboard.js";
import { catchWarnings, pair } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";

const OURS = oursOnly("it has no dashboard");
const AUTH = { username: "ops", password: "correct horse" };
const FORWARDED = { "x-forwarded-for": "203.0.113.7" };

/** A server with a dashboard; `log` has what it has logged. */
async function start(t, options = {}) {
  const server = await startServer(t);
  const log = [];
  dashboard(server.io, { log: (entry) => log.push(entry), ...options });
  return { ...server, log };
}

const cookieOf = ({ headers }) => headers["set-cookie"]?.[0].split(";")[0];

test("without auth answers this machine alone, and says which option opens it [ROB-971]", OURS, async (t) => {
  const { port } = await start(t);
  const statusWith = async (headers, below = "/") => (await ask(port, below, { headers })).status;
  for (const host of ["localhost", "127.0.0.1:80", "app.localhost:3000", "[::1]:3000"]) assert.equal(await statusWith({ host }), 200, host);
  const foreign = [
    { host: "rebound.example" },
    { host: "localhost.example" },
    ...["x-forwarded-for", "x-real-ip", "forwarded", "via", "x-forwarded-proto", "cf-connecting-ip"].map((name) => ({
      [name]: "127.0.0.1",
    })),
  ];
  for (const headers of foreign) {
    for (const below of ["/", "/main.js", "/api/state", "/login"])
      assert.equal(await statusWith(headers, below), 403, JSON.stringify(headers));
  }
  assert.match((await ask(port, "/", { headers: FORWARDED })).text, /Set the option `auth` of dashboard\(\)/);
});

test("a request in HTTP/1.0, as of a proxy that adds no header, is none of this machine [ROB-971]", OURS, async (t) => {
  const { rawRequest } = await import("../../support/wire-client.js");
  const { port } = await start(t);
  const answer = await rawRequest(port, "GET /dashboard/ HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n");
  assert.match(String(answer.text ?? answer), /403 Forbidden/);
});

test("a request with so many headers that Node.js may have dropped that of a proxy is none of this machine [ROB-971]", OURS, async (t) => {
  const { port } = await start(t);
  const fillers = (count) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`a${index}`, "1"]));
  const statusOf = async (headers) => (await ask(port, "/", { headers: { host: "localhost", ...headers } })).status;
  assert.equal(await statusOf(fillers(50)), 200);
  assert.equal(await statusOf(fillers(200)), 403);
  const status = await statusOf({ ...fillers(1000), ...FORWARDED });
  assert.ok([403, 431].includes(status), `${status}; newer versions of Node.js refuse so many`);
});

test("with a password asks for a login, this machine only without loopback: true [ROB-971, ROB-972]", OURS, async (t) => {
  const { port } = await start(t, { auth: AUTH, loopback: true });
  assert.equal((await ask(port)).status, 200);
  const page = await ask(port, "/", { headers: FORWARDED });
  assert.equal(page.status, 401);
  assert.match(page.text, /<form method="post" action="login">/);
  assert.equal((await ask(port, "/style.css", { headers: FORWARDED })).status, 200);
  for (const below of ["/api/state", "/api/sockets", "/nothing"])
    assert.equal((await ask(port, below, { headers: FORWARDED })).status, 401);
  const closed = await start(t, { auth: AUTH });
  assert.equal((await ask(closed.port)).status, 401);
});

test("a login is a signed cookie that other servers accept, until it is changed or over [ROB-972]", OURS, async (t) => {
  const options = { auth: AUTH };
  const [{ port, log }, other] = [await start(t, options), await start(t, options)];
  const answer = await login(port, "ops", "correct horse");
  assert.deepEqual([answer.status, answer.headers.location], [303, "./"]);
  assert.match(answer.headers["set-cookie"][0], /^roomcast-dashboard=[\w.-]+; HttpOnly; SameSite=Strict; Max-Age=43200$/);
  const cookie = cookieOf(answer);
  for (const { port: at } of [{ port }, other]) assert.equal((await state(at, { cookie })).user, "ops");
  assert.match((await login(port, "ops", "correct horse", { "x-forwarded-proto": "https" })).headers["set-cookie"][0], /; Secure$/);
  for (const wrong of [cookie.slice(0, -1), cookie.replace("=", "=9"), "roomcast-dashboard=a.b.c", "roomcast-dashboard="])
    assert.equal((await ask(port, "/api/state", { headers: { cookie: wrong } })).status, 401, wrong);
  const another = await start(t, { ...options, auth: { ...AUTH, password: "another" } });
  assert.equal((await ask(another.port, "/api/state", { headers: { cookie } })).status, 401);
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() + 12 * 3_600_000 + 1 });
  assert.equal((await ask(port, "/api/state", { headers: { cookie } })).status, 401);
  assert.deepEqual(
    log.map(({ action, outcome, user }) => [action, outcome, user]),
    Array(2).fill(["login", "done", "ops"]),
  );
});

test("logs out [ROB-972]", OURS, async (t) => {
  const { port, log } = await start(t, { auth: AUTH });
  const cookie = cookieOf(await login(port, "ops", "correct horse"));
  const { token } = await state(port, { cookie });
  const answer = await ask(port, "/logout", { method: "POST", headers: { ...ownOrigin(port), cookie, "x-dashboard-token": token } });
  assert.match(answer.headers["set-cookie"][0], /^roomcast-dashboard=; .*Max-Age=0$/);
  assert.equal(log.at(-1).action, "logout");
});

test("bounds attempts to log in, and logs each without the password [ROB-972]", OURS, async (t) => {
  const { port, log } = await start(t, { auth: AUTH });
  for (const [username, password] of [
    ["ops", "wrong"],
    ["root", "correct horse"],
    ["", ""],
  ]) {
    const answer = await login(port, username, password);
    assert.deepEqual([answer.status, answer.headers["set-cookie"]], [401, undefined]);
    assert.match(answer.text, /The name or the password is wrong\./);
  }
  const answers = await Promise.all(Array.from({ length: 12 }, () => login(port, "ops", "guess")));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [...Array(7).fill(401), ...Array(5).fill(429)]);
  const refused = await login(port, "ops", "correct horse");
  assert.deepEqual([refused.status, refused.headers["retry-after"] > 0], [429, true]);
  assert.equal(log.length, 11, "of attempts above the limit only the first is told");
  assert.doesNotMatch(JSON.stringify(log), /guess|correct/);
  assert.ok(log.every(({ action, outcome, address }) => action === "login" && outcome === "refused" && address === "127.0.0.1"));
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() + 60_000 });
  assert.equal((await login(port, "ops", "correct horse")).status, 303);
});

test("the token of a visitor without a login tells nothing about the password [ROB-972]", OURS, async (t) => {
  const options = { auth: AUTH, loopback: true };
  const [one, other] = [await start(t, options), await start(t, options)];
  assert.notEqual((await state(one.port)).token, (await state(other.port)).token);
});

test("attempts to log in do not push what was done out of the log [ROB-973]", OURS, async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() });
  const { port } = await start(t, { auth: AUTH });
  const cookie = cookieOf(await login(port, "ops", "correct horse"));
  for (let minute = 0; minute < 4; minute++) {
    t.mock.timers.tick(60_000);
    await Promise.all(Array.from({ length: 12 }, () => login(port, "ops", "guess")));
  }
  const { log } = await state(port, { cookie });
  assert.deepEqual([log.length, log[0].outcome, log.filter(({ outcome }) => outcome === "refused").length], [21, "done", 20]);
});

test("a log that rejects is told of, and ends nothing [ROB-973]", OURS, async (t) => {
  const warned = catchWarnings(t).next(({ code }) => code === "ROOMCAST_CALLBACK_FAILED");
  const { port } = await start(t, { auth: AUTH, log: () => Promise.reject(new Error("no store")) });
  assert.equal((await login(port, "ops", "guess")).status, 401);
  assert.match((await warned).message, /the function log of dashboard\(\) failed/);
});

test("a function decides about each request; one that throws lets nobody in [ROB-971]", OURS, async (t) => {
  const auth = async ({ headers }) => {
    if (headers.authorization === "broken") throw new Error("no store");
    return headers.authorization === "yes" ? true : "yes";
  };
  const { port } = await start(t, { auth });
  const statusWith = async (headers) => (await ask(port, "/", { headers })).status;
  assert.deepEqual(
    [await statusWith({ authorization: "yes" }), await statusWith({}), await statusWith({ authorization: "broken" })],
    [200, 403, 500],
  );
});

test("an action needs the token and the origin of the page [ROB-973]", OURS, async (t) => {
  const { io, port, socket } = await pair(t);
  dashboard(io, { allow: ["join"] });
  const { token } = await state(port);
  const body = { action: "join", namespace: "/", target: socket.id, room: "a" };
  const own = { ...ownOrigin(port), "x-dashboard-token": token };
  const refused = [
    {},
    { "x-dashboard-token": token },
    ownOrigin(port),
    { ...own, "x-dashboard-token": "guess" },
    { ...own, origin: "http://evil.example" },
    { ...own, origin: "null" },
    { ...own, origin: `http://127.0.0.1:${port + 1}` },
    { ...own, "sec-fetch-site": "cross-site" },
    { ...own, "sec-fetch-site": "same-site" },
  ];
  for (const headers of refused) {
    assert.equal((await ask(port, "/api/act", { method: "POST", body, headers })).status, 403, JSON.stringify(headers));
  }
  assert.equal((await ask(port, `/api/act?${new URLSearchParams(body)}`, { headers: own })).status, 404, "GET changes nothing");
  assert.equal(socket.rooms.has("a"), false);
  assert.equal((await act(port, body)).status, 200);
  assert.equal((await ask(port, "/api/act", { method: "POST", body, headers: { ...own, "sec-fetch-site": "same-origin" } })).status, 200);
});

test("a login needs the origin of the page, too [ROB-973]", OURS, async (t) => {
  const { port } = await start(t, { auth: AUTH });
  assert.equal((await login(port, "ops", "correct horse", { origin: "http://evil.example" })).status, 403);
});
