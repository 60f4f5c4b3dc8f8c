/** The options `origins` and `jsonp`: which pages may open a session. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { once } from "../../../support/client.js";
import { POLLING, startEcho, WEBSOCKET } from "../../../support/engine.js";
import { catchWarnings } from "../../../support/pairs.js";
import { startEngine, startServer } from "../../../support/server.js";
import { engine as engineModule, oursOnly, Server } from "../../../support/target.js";
import { http, PollingSession, refusedUpgrade, WireSocket } from "../../../support/wire-client.js";

const OURS = oursOnly("it has no such option");
const GOOD = "https://good.example";
const EVIL = "https://evil.example";

/** Opens a session by each transport: what the clients are told, `open` or the status. */
async function outcomes(port, headers) {
  const poll = await http(port, { path: POLLING, headers });
  const polling = poll.status === 200 ? "open" : poll.status;
  const met = await WireSocket.open(port, WEBSOCKET, headers).catch(({ response }) => response);
  if (met.status) return [polling, met.status];
  assert.match(await met.next(), /^0\{/);
  met.abort();
  return [polling, "open"];
}

const OPEN = ["open", "open"];
/** On uWebSockets.js refusals of WebSockets are as those of polling. */
const REFUSED = [403, process.env.TEST_HOST === "uws" ? 403 : 400];
const LISTS = [
  {
    title: "an origin",
    origins: GOOD,
    open: [GOOD, "HTTPS://Good.Example", `${GOOD}:443`],
    refused: [EVIL, `${GOOD}.evil.example`, `${GOOD}:444`, "http://good.example", "null"],
  },
  {
    title: "a list",
    origins: ["http://a.example:80", /^https:\/\/[a-z]+\.good\.example$/],
    open: ["http://a.example", "https://b.good.example"],
    refused: [EVIL, "https://b.good.example.evil", "null"],
  },
  {
    title: '"same"',
    origins: "same",
    open: ["http://127.0.0.1:PORT", "https://127.0.0.1:PORT"],
    refused: [EVIL, "http://127.0.0.1", "http://127.0.0.1:PORT.evil.example", "null"],
  },
  { title: '"null" by name', origins: ["null"], open: ["null"], refused: [EVIL] },
  {
    title: "a scheme of an app",
    origins: ["same", "capacitor://localhost"],
    open: ["capacitor://localhost", "http://127.0.0.1:PORT"],
    refused: ["capacitor://evil"],
  },
  { title: "no origin at all", origins: [], open: [], refused: [GOOD, "null"] },
  {
    title: "a function that answers later",
    origins: (origin, callback) => setImmediate(callback, null, origin === GOOD),
    open: [GOOD],
    refused: [EVIL, "null"],
  },
  {
    title: "a function that answers with an error",
    origins: (origin, callback) => callback(origin === GOOD ? null : new Error("no"), true),
    open: [GOOD],
    refused: [EVIL],
  },
];
for (const { title, origins, open, refused } of LISTS) {
  test(`accepts pages by ${title}, on polling and WebSocket, and clients without an origin [ROB-190, ROB-191]`, OURS, async (t) => {
    const { engine, port } = await startEcho(t, { origins });
    const seen = [];
    engine.on("connection_error", ({ code, context }) => seen.push([code, context.name, context.origin]));
    const named = (origin) => origin.replace("PORT", port);
    for (const origin of open) assert.deepEqual(await outcomes(port, { Origin: named(origin) }), OPEN, origin);
    assert.deepEqual(seen, []);
    for (const origin of refused) {
      assert.deepEqual(await outcomes(port, { Origin: named(origin) }), REFUSED, origin);
      assert.deepEqual(seen.splice(0), Array(2).fill([4, "ORIGIN_NOT_ALLOWED", named(origin)]));
    }
    assert.deepEqual(await outcomes(port, {}), OPEN);
  });
}

for (const fail of [
  () => {
    throw new Error("down");
  },
  () => Promise.reject(new Error("down")),
]) {
  // prettier-ignore
  test("refuses a page, with a process warning, when the function fails [ROB-191, ROB-201]", OURS, async (t) => {
    const { port } = await startEcho(t, { origins: fail });
    const { next } = catchWarnings(t);
    assert.deepEqual(await outcomes(port, { Origin: GOOD }), [400, 400]);
    await next(({ code, message }) => code === "ROOMCAST_CALLBACK_FAILED" && message.includes("origins"));
  });
}

test("checks the origin before allowRequest, at the first request of a session only [ROB-191]", OURS, async (t) => {
  const asked = [];
  const allowRequest = (request, callback) => callback(null, asked.push(request.headers.origin));
  const { port } = await startEcho(t, { origins: GOOD, allowRequest });
  await outcomes(port, { Origin: EVIL });
  assert.deepEqual(asked, []);
  const client = await PollingSession.open(port, "", { headers: { Origin: GOOD } });
  assert.equal((await client.post("4x")).text, "ok");
  assert.deepEqual(await client.poll(), ["4x"]);
  assert.deepEqual(asked, [GOOD]);
});

test("checks the Referer of a request without Origin [ROB-192]", OURS, async (t) => {
  const { port } = await startEcho(t, { origins: GOOD, jsonp: true });
  const statusOf = async (query, headers) => (await http(port, { path: POLLING + query, headers })).status;
  for (const [query, headers] of [
    ["&j=0", {}],
    ["", { "Sec-Fetch-Site": "cross-site" }],
    ["", { "Sec-Fetch-Site": "same-site" }],
  ]) {
    // prettier-ignore
    assert.equal(await statusOf(query, headers), 403);
    assert.equal(await statusOf(query, { ...headers, Referer: `${EVIL}/${GOOD}/` }), 403);
    assert.equal(await statusOf(query, { ...headers, Referer: `${GOOD}/page?x=1` }), 200);
  }
  assert.equal(await statusOf("", { "Sec-Fetch-Site": "same-origin" }), 200);
});

for (const [jsonp, revision3, revision4] of [
  [undefined, 200, 400],
  [true, 200, 200],
  [false, 400, 400],
]) {
  test(`answers JSONP by ${revision3} and ${revision4} to revisions 3 and 4 with jsonp: ${jsonp} [ROB-193, EIO-110]`, OURS, async (t) => {
    const { engine, port } = await startEngine(t, { jsonp, allowEIO3: true });
    const seen = [];
    engine.on("connection_error", ({ code, context }) => seen.push([code, context.name]));
    const path = (eio) => `/engine.io/?EIO=${eio}&transport=polling&j=0`;
    assert.equal((await http(port, { path: path(3) })).status, revision3);
    assert.equal((await http(port, { path: path(4) })).status, revision4);
    const refusals = [revision3, revision4].filter((status) => status === 400);
    assert.deepEqual(seen, refusals.map(() => [3, "JSONP_NOT_ENABLED"])); // prettier-ignore
    assert.equal((await http(port, { path: POLLING })).status, 200);
  });
}

test("guards a Socket.IO server behind TLS and HTTP/2 as well [ROB-191]", OURS, async (t) => {
  for (const host of [{ https: true }, { http2: true }]) {
    const { port } = await startServer(t, { origins: ["same"] }, host);
    const path = "/socket.io/?EIO=4&transport=";
    for (const [origin, status] of [
      [EVIL, 403],
      [`https://127.0.0.1:${port}`, 200],
    ]) {
      // prettier-ignore
      assert.equal((await http(port, { tls: true, path: `${path}polling`, headers: { Origin: origin } })).status, status);
    }
    const refused = await refusedUpgrade(port, `${path}websocket`, { Origin: EVIL }, { tls: true });
    assert.equal(refused.status, 400);
  }
});

const FLAWS = [
  "https://good.example/", "https://good.example/app", "good.example", "https://*.good.example", "", 5, true, {}, /a/g, ["https://a.example", "b"], [null],
]; // prettier-ignore
for (const origins of FLAWS) {
  test(
    `refuses origins: ${typeof origins === "object" ? String(JSON.stringify(origins)) : String(origins)} when the server is made [ROB-190]`,
    OURS,
    () => {
      const expected = { code: "RC_ERR_OPTION", message: /^option origins: expected .*, met / };
      assert.throws(() => new Server({ origins }), expected);
      assert.throws(() => new engineModule.Server({ origins }), expected);
    },
  );
}

test("refuses jsonp: 'yes' when the server is made [ROB-193]", OURS, () => {
  assert.throws(() => new Server({ jsonp: "yes" }), { code: "RC_ERR_OPTION", message: "option jsonp: expected a boolean, met string" });
});

test("accepts all pages without the option [ENG-76]", async (t) => {
  const { engine, port } = await startEcho(t);
  const connected = once(engine, "connection");
  assert.deepEqual(await outcomes(port, { Origin: EVIL, Cookie: "user=1" }), OPEN);
  await connected;
});
