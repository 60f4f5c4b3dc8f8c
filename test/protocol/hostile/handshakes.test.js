/** Handshakes that are lies, guesses or cut short; rows 3, 4, 5, 12, 13, 18, 28, 29, 30 and 35 of the list of known attacks. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { openAttacker, openBystander, shareChild, startChild, WEBSOCKET_PATH } from "../../support/hostile/child.js";
import { ours, oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { http, PollingSession, rawRequest, refusedUpgrade, upgradeBytes, WireSocket } from "../../support/wire-client.js";

const POLLING_PATH = "/socket.io/?EIO=4&transport=polling";

let child;
shareChild({ app: "handshakes" }, (started) => (child = started));

async function undisturbed(bystander, of = child) {
  await bystander.check();
  const { isPolluted } = await of.call("state");
  assert.equal(isPolluted, false);
  await of.assertUnharmed();
}

const EXTENSIONS = [
  "constructor, __proto__, permessage-deflate; __proto__; constructor=1",
  "__proto__; polluted=1",
  "permessage-deflate; server_max_window_bits=__proto__",
  "permessage-deflate; client_max_window_bits=999999999999",
  ",,;;==",
  `permessage-deflate${"; a".repeat(3000)}`,
];
for (const perMessageDeflate of [false, true]) {
  for (const extensions of EXTENSIONS) {
    test(`ignores or refuses the extensions "${extensions.slice(0, 40)}", compression ${perMessageDeflate ? "on" : "off"} [ENG-46, ENG-113, THREAT-3]`, async (t) => {
      const own = await startChild(t, { options: { perMessageDeflate } });
      const bystander = await openBystander(t, own);
      const met = await WireSocket.open(own.port, WEBSOCKET_PATH, { "Sec-WebSocket-Extensions": extensions }).catch(({ response }) => ({
        response,
      }));
      assert.ok([101, 400].includes(met.response.status), `status ${met.response.status}`);
      assert.doesNotMatch(met.response.headers["sec-websocket-extensions"] ?? "", /proto|constructor/);
      met.abort?.();
      await undisturbed(bystander, own);
    });
  }
}

test("refuses a list of subprotocols with 15,000 spaces in it, in a moment [ENG-46, ENG-112, THREAT-4]", async (t) => {
  const bystander = await openBystander(t, child);
  const refusal = refusedUpgrade(child.port, WEBSOCKET_PATH, { "Sec-WebSocket-Protocol": `a${" ".repeat(15_000)}b` });
  const { status } = await within(refusal, "the refusal", undefined, 1000);
  assert.equal(status, 400);
  await undisturbed(bystander);
});

test("refuses an upgrade when its header upgrade comes after more headers than Node keeps [ENG-46, THREAT-5]", async (t) => {
  const bystander = await openBystander(t, child);
  const bytes = upgradeBytes(child.port, WEBSOCKET_PATH)
    .toString("latin1")
    .replace("Upgrade: websocket\r\n", `${"a:\r\n".repeat(2100)}Upgrade: websocket\r\n`);
  const answer = (await rawRequest(child.port, bytes)).toString("latin1");
  assert.match(answer, /^HTTP\/1\.1 4(00|31) /); // Node itself answers 431 from version 22 on
  await undisturbed(bystander);
});

const RESETS = [
  ["a foreign path", "/elsewhere/?EIO=4&transport=websocket"],
  ["an unknown session", `${WEBSOCKET_PATH}&sid=unknown`],
  ["an unknown transport", "/socket.io/?EIO=4&transport=foo"],
  ["another revision", "/socket.io/?EIO=3&transport=websocket"],
  ["a good path", WEBSOCKET_PATH],
];
for (const [what, path] of RESETS) {
  test(`survives clients that ask to upgrade at ${what} and reset the connection [ENG-48, ENG-66, THREAT-12]`, async (t) => {
    const own = await startChild(t, { options: { destroyUpgradeTimeout: 30 } });
    const bystander = await openBystander(t, own);
    for (let i = 0; i < 60; i++) await resetAfter(own.port, upgradeBytes(own.port, path), i % 3);
    await own.untilClients(1);
    await undisturbed(bystander, own);
  });
}

/** Sends a request and resets the connection: at once, with the next turn of the loop, or when the answer begins (or 60 ms passed without one). */
function resetAfter(port, bytes, when) {
  const socket = connect({ port, host: "127.0.0.1" });
  socket.on("error", () => {});
  const reset = () => socket.resetAndDestroy();
  socket.once("connect", () =>
    socket.write(bytes, () => {
      if (when === 0) reset();
      else if (when === 1) setImmediate(reset);
      else {
        socket.once("data", reset);
        setTimeout(reset, 60);
      }
    }),
  );
  return within(new Promise((resolve) => socket.once("close", resolve)), "the reset");
}

test("closes an upgrade for another path that no listener answers [ENG-66]", async (t) => {
  const own = await startChild(t, { options: { destroyUpgradeTimeout: 30 } });
  const bystander = await openBystander(t, own);
  assert.equal((await rawRequest(own.port, upgradeBytes(own.port, "/elsewhere/"))).length, 0);
  await undisturbed(bystander, own);
});

const TRANSPORTS = [
  "transport=foo",
  "transport=",
  "",
  "transport=__proto__",
  "transport=constructor",
  "transport=webtransport",
  "transport=polling&transport=foo",
];
for (const query of TRANSPORTS) {
  test(`refuses "${query}" by code 0, as request and as upgrade [ENG-40, ENG-42, ENG-44, THREAT-13]`, async (t) => {
    const bystander = await openBystander(t, child);
    const path = `/socket.io/?EIO=4&${query}`;
    const refusal = await http(child.port, { path });
    assert.equal(refusal.status, 400);
    assert.equal(refusal.text, '{"code":0,"message":"Transport unknown"}');
    const upgrade = await refusedUpgrade(child.port, path);
    assert.equal(upgrade.status, 400);
    assert.equal(upgrade.text, "Transport unknown");
    await undisturbed(bystander);
  });
}

test("keeps hostile names in the query as plain data [EIO-5, SOC-11, THREAT-18]", async (t) => {
  const ws = await openAttacker(t, child, { query: "&__proto__=x&constructor=y&a=1&a=2&__proto__[polluted]=1&toString=z" });
  const [, names, last, proto] = await child.report("query", ws.socketId);
  assert.ok(names.includes("constructor") && names.includes("toString"));
  assert.equal(last, "2");
  assert.equal(proto, "x");
  assert.equal((await child.call("state")).isPolluted, false);
  ws.abort();
  await child.assertUnharmed();
});

const SIDS = ["constructor", "__proto__", "toString", "hasOwnProperty", "x".repeat(8000), "%00", "%F0%9F%92%A9", "a&sid=b"];
for (const sid of SIDS) {
  test(`refuses the session id ${sid.slice(0, 20)} by code 1 [ENG-6, ENG-40, EIO-5]`, async (t) => {
    const bystander = await openBystander(t, child);
    for (const method of ["GET", "POST"]) {
      const { status, text } = await http(child.port, {
        method,
        path: `${POLLING_PATH}&sid=${sid}`,
        ...(method === "POST" && { body: "4x" }),
      });
      assert.equal(status, 400);
      assert.equal(text, '{"code":1,"message":"Session ID unknown"}');
    }
    const upgrade = await refusedUpgrade(child.port, `${WEBSOCKET_PATH}&sid=${sid}`);
    assert.equal(upgrade.status, 400);
    assert.equal(upgrade.text, "Session ID unknown");
    await undisturbed(bystander);
  });
}

const TARGETS = [
  ["a malformed escape in the query", `${POLLING_PATH}&a=%zz&b=%`, [200]],
  ["a malformed escape in the path", "/socket.io/%zz?EIO=4&transport=polling", [200, 400]],
  ["a malformed escape in the session id", `${POLLING_PATH}&sid=%E0%A4%A`, [400]],
  ["a query without values", "/socket.io/?EIO=4&transport=polling&&&=&=x", [200]],
  ["a second question mark", "/socket.io/?EIO=4&transport=polling?x", [400]],
  ["no query", "/socket.io/", [400]],
  ["brackets", `${POLLING_PATH}&a[b][c]=1&a[]=2`, [200]],
  ["8 kB of query", `${POLLING_PATH}&a=${"x".repeat(8000)}`, [200]],
  ["bytes beyond ASCII", `${POLLING_PATH}&a=\xe9`, [200, 400]],
];
for (const [what, path, statuses] of TARGETS) {
  test(`answers a request target with ${what} and survives it [EIO-5, ENG-61, THREAT-35]`, async (t) => {
    const bystander = await openBystander(t, child);
    const { status } = await http(child.port, { path });
    assert.ok(statuses.includes(status), `status ${status}`);
    const upgrade = path.replace("polling", "websocket");
    const met = await WireSocket.open(child.port, upgrade).catch((error) => error);
    met.abort?.();
    await undisturbed(bystander);
  });
}

for (const target of [
  "//socket.io/?EIO=4&transport=polling",
  "http://127.0.0.1/socket.io/?EIO=4&transport=polling",
  "http://[/socket.io/",
  "*",
]) {
  test(`leaves the target ${target} to the program [ENG-62, ENG-65]`, async (t) => {
    const bystander = await openBystander(t, child);
    const bytes = `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /none HTTP/1.1\r\nHost: x\r\n\r\n`;
    const socket = connect({ port: child.port, host: "127.0.0.1" });
    t.after(() => socket.destroy());
    const received = [];
    socket.on("data", (chunk) => received.push(chunk)).on("error", () => {});
    socket.write(bytes);
    await bystander.check();
    const text = Buffer.concat(received).toString();
    assert.ok(text === "" || text.startsWith("HTTP/1.1 400"), text);
    await undisturbed(bystander);
  });
}

test("sends no CORS header unless the program asks for it [ENG-76, OPT-8, THREAT-28]", async (t) => {
  const bystander = await openBystander(t, child);
  const headers = { Origin: "https://evil.example" };
  const session = await PollingSession.open(child.port, "", { path: "/socket.io/", headers });
  const ws = await WireSocket.open(child.port, WEBSOCKET_PATH, headers);
  const responses = [
    session.response,
    await session.post("40", { headers }),
    await session.get({ headers }),
    ws.response,
    await http(child.port, { path: "/socket.io/?EIO=4&transport=foo", headers }),
    await http(child.port, { path: `${POLLING_PATH}&sid=none`, headers }),
    await http(child.port, { path: "/socket.io/socket.io.js", headers }),
    await http(child.port, { method: "OPTIONS", path: POLLING_PATH, headers: { ...headers, "Access-Control-Request-Method": "POST" } }),
  ];
  for (const { status, rawHeaders } of responses) {
    const cors = rawHeaders.filter(([name]) => /^access-control-/i.test(name));
    assert.deepEqual(cors, [], `status ${status}`);
  }
  ws.abort();
  await undisturbed(bystander);
});

test(
  "draws every id from so large a space that none can be guessed from another [ENG-17, NSP-22, CSR-2, THREAT-29]",
  oursOnly("its ids end in a number that counts"),
  async (t) => {
    const own = await startChild(t, { options: { connectionStateRecovery: {} } });
    const ids = [];
    for (let round = 0; round < 20; round++) {
      const batch = await Promise.all(
        Array.from({ length: 20 }, async () => {
          const ws = await WireSocket.open(own.port, WEBSOCKET_PATH);
          const { sid } = JSON.parse((await ws.next()).slice(1));
          ws.send("40");
          const socket = JSON.parse((await ws.next()).slice(2));
          ws.abort();
          return [sid, socket.sid, socket.pid];
        }),
      );
      ids.push(...batch);
    }
    const all = ids.flat();
    assert.equal(new Set(all).size, all.length);
    for (const id of all) assert.match(id, /^[A-Za-z0-9_-]{20}$/);
    for (let at = 0; at < 20; at++) {
      const met = new Set(all.map((id) => id[at])); // 1,200 draws out of 64: all of them but one in ten million times
      assert.ok(met.size >= 60, `place ${at} knows ${met.size} characters`);
    }
    for (const related of ids) {
      for (const [a, b] of [
        [0, 1],
        [0, 2],
        [1, 2],
      ])
        assert.ok(sharedPlaces(related[a], related[b]) < 10, related.join());
    }
    for (let i = 1; i < all.length; i++) assert.ok(sharedPlaces(all[i - 1], all[i]) < 10, `${all[i - 1]} ${all[i]}`);
  },
);

function sharedPlaces(a, b) {
  return [...a].filter((character, at) => character === b[at]).length;
}

const COOKIES = [
  { name: "x; HttpOnly=1" },
  { name: "x\r\nInjected: 1" },
  { name: "" },
  { name: "x", path: "/; Domain=evil.example" },
  { name: "x", path: "/\r\nInjected: 1" },
  { name: "x", domain: "a.example; Secure" },
];
for (const cookie of COOKIES) {
  test(`never writes the cookie ${JSON.stringify(cookie)} that a configuration asks for [ENG-105, THREAT-30]`, async (t) => {
    let own;
    try {
      own = await startChild(t, { options: { cookie } });
    } catch (error) {
      return assert.match(error.message, /cookie|option (name|path|domain)|argument name/i); // refused at start-up
    }
    const response = await http(own.port, { path: POLLING_PATH }).catch(() => null);
    const names = response?.rawHeaders.map(([name]) => name.toLowerCase()) ?? [];
    assert.ok(!names.includes("injected"));
    const [, line] = response?.rawHeaders.find(([name]) => /^set-cookie$/i.test(name)) ?? [];
    if (line !== undefined) {
      ours("it leaves the check to its cookie package", () => assert.fail(`wrote ${line}`));
    }
    await ours("an invalid cookie ends its process", () => own.assertUnharmed());
  });
}
