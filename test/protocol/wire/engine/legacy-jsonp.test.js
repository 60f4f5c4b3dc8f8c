// JSONP polling, in both revisions.
import { test } from "node:test";
import assert from "node:assert/strict";
import { once } from "../../../support/client.js";
import { PollingSession, http } from "../../../support/wire-client.js";
import { POLLING, messages, pollingPair, startEcho } from "../../../support/engine.js";
import { startEngine } from "../../../support/server.js";

const FORM = { "Content-Type": "application/x-www-form-urlencoded" };
const form = (payload) => `d=${encodeURIComponent(payload)}`;

/** The payload inside a JSONP response, which must be a call of `___eio[index]`. */
function unwrap(text, index) {
  const [, digits, literal] = /^___eio\[(\d*)\]\((".*")\);$/s.exec(text) ?? [];
  assert.equal(digits, index, text);
  return JSON.parse(literal);
}

test("wraps the handshake, byte by byte [EIO-4, EIO-110, EIO-111]", async (t) => {
  const { port } = await startEngine(t, { jsonp: true });
  const { text, headers } = await http(port, { path: `${POLLING}&j=0` });
  assert.match(
    text,
    /^___eio\[0\]\("0\{\\"sid\\":\\"[A-Za-z0-9_-]{20}\\",\\"upgrades\\":\[\\"websocket\\"\],\\"pingInterval\\":25000,\\"pingTimeout\\":20000,\\"maxPayload\\":1000000\}"\);$/,
  );
  assert.match(headers["content-type"], /^text\/(plain|javascript); charset=UTF-8$/);
});

for (const [given, index] of [
  ["7", "7"],
  ["a1b2", "12"],
  ["", ""],
  ["1);alert(1", "11"],
]) {
  test(`keeps only the digits of j=${given} [EIO-110, EIO-111]`, async (t) => {
    const { port } = await startEngine(t, { jsonp: true });
    const { text } = await http(port, { path: `${POLLING}&j=${encodeURIComponent(given)}` });
    assert.match(unwrap(text, index), /^0\{/);
  });
}

test("wraps every response to a poll with the index of the handshake [EIO-110]", async (t) => {
  const { client, session } = await pollingPair(t, { jsonp: true }, { query: "j=0" });
  for (const query of ["", "j=9"]) {
    session.send("a");
    assert.equal(unwrap((await client.get({ query })).text, "0"), "4a");
  }
});

test("does not wrap the polls of a session that was opened without j [EIO-110]", async (t) => {
  const { client, session } = await pollingPair(t);
  session.send("a");
  assert.equal((await client.get({ query: "j=1" })).text, "4a");
});

test("escapes what a script may not contain [EIO-111]", async (t) => {
  const { client, session } = await pollingPair(t, { jsonp: true }, { query: "j=0" });
  session.send('a\u2028b\u2029c"d\\e');
  session.send("f");
  const { text, headers, body } = await client.get();
  assert.equal(text, '___eio[0]("4a\\u2028b\\u2029c\\"d\\\\e\\u001e4f");');
  assert.equal(headers["content-length"], String(body.length));
});

test("takes posts as a form field, with its own escapes of newlines [EIO-113]", async (t) => {
  const { client, session } = await pollingPair(t, { jsonp: true }, { query: "j=0" });
  const seen = messages(session);
  assert.equal((await client.post(form("4a\\nb\\\\nc"), { headers: FORM })).text, "ok");
  assert.equal((await client.post(form("4€ 🦊 & =\x1e4second"), { headers: FORM })).text, "ok");
  assert.deepEqual(seen, ["a\nb\\nc", "€ 🦊 & =", "second"]);
});

test("takes a plus sign for a space, as forms have it [EIO-113]", async (t) => {
  const { client, session } = await pollingPair(t, { jsonp: true }, { query: "j=0" });
  const data = once(session, "data");
  await client.post("d=4a+b", { headers: FORM });
  assert.deepEqual(await data, ["a b"]);
});

for (const body of ["", "x=4a", "d=4a&d=4b"]) {
  test(`answers ok to the form ${JSON.stringify(body)}, and ignores it [EIO-114]`, async (t) => {
    const { client, session } = await pollingPair(t, { jsonp: true }, { query: "j=0" });
    const seen = messages(session);
    const response = await client.post(body, { headers: FORM });
    assert.deepEqual([response.status, response.text], [200, "ok"]);
    assert.deepEqual(seen, []);
    assert.equal(session.readyState, "open");
  });
}

test("does not check the content type of a post [EIO-115]", async (t) => {
  const { client, session } = await pollingPair(t, { jsonp: true }, { query: "j=0" });
  const data = once(session, "data");
  assert.equal((await client.post(form("4a"), { headers: { "Content-Type": "text/plain" } })).text, "ok");
  assert.deepEqual(await data, ["a"]);
});

test("survives a form of very many fields [EIO-115]", async (t) => {
  const { client, session } = await pollingPair(t, { jsonp: true }, { query: "j=0" });
  const response = await client.post(`${"x=1&".repeat(20000)}d=4a`, { headers: FORM });
  assert.equal(response.status, 200);
  assert.equal(session.readyState, "open");
});

test("wraps payloads of revision 3, in base64 [EIO-112, EIO-103]", async (t) => {
  const { client, session } = await pollingPair(t, { allowEIO3: true }, { query: "j=3&b64=1", eio: 3 });
  session.send("€");
  session.send(Buffer.from([1, 2, 3, 4]));
  const response = await client.get();
  assert.equal(unwrap(response.text, "3"), "2:4€10:b4AQIDBA==");
  assert.match(response.headers["content-type"], /^text\//);
});

test("takes form posts in revision 3 [EIO-113, EIO-103]", async (t) => {
  const { client, session } = await pollingPair(t, { allowEIO3: true }, { query: "j=3&b64=1", eio: 3 });
  const seen = messages(session);
  assert.equal((await client.post(form("6:4hello10:b4AQIDBA=="), { headers: FORM })).text, "ok");
  assert.deepEqual(seen, ["hello", Buffer.from([1, 2, 3, 4])]);
});

test("answers refusals, closes and upgrades of a JSONP session like any other [EIO-103, EIO-120]", async (t) => {
  const { engine, port } = await startEcho(t, { jsonp: true });
  const client = await PollingSession.open(port, "j=0");
  assert.equal((await http(port, { path: `${POLLING}&j=0&sid=unknown` })).text, '{"code":1,"message":"Session ID unknown"}');
  const session = engine.clients[client.sid];
  session.close();
  assert.equal(unwrap((await client.get()).text, "0").at(-1), "1");
  const other = await PollingSession.open(port, "j=0");
  const ws = await other.upgrade();
  ws.send("4a");
  await ws.expect("4a");
});
