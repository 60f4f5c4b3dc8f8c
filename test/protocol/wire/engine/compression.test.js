import { test } from "node:test";
import assert from "node:assert/strict";
import { gunzipSync, inflateSync } from "node:zlib";
import { once } from "../../../support/client.js";
import { HttpConnection, http } from "../../../support/wire-client.js";
import { POLLING, pollingPair } from "../../../support/engine.js";
import { startEngine } from "../../../support/server.js";
import { oursOnly } from "../../../support/target.js";

const LONG = "x".repeat(3000);
const GZIP = { "Accept-Encoding": "gzip" };

function decoded({ headers, body }) {
  if (headers["content-encoding"] === "gzip") return gunzipSync(body).toString();
  if (headers["content-encoding"] === "deflate") return inflateSync(body).toString();
  return body.toString();
}

for (const [accepted, encoding] of [
  ["gzip", "gzip"],
  ["deflate", "deflate"],
  ["gzip, deflate", "gzip"],
  ["deflate, gzip", "deflate"],
  ["deflate, gzip;q=0.5", "deflate"],
  ["*", "gzip"],
  ["br", undefined],
  ["identity", undefined],
  ["gzip;q=0", undefined],
  [undefined, undefined],
]) {
  test(`answers with ${encoding ?? "no compression"} when ${accepted} is accepted [ENG-10, ENG-100, ENG-102]`, async (t) => {
    const { client, session } = await pollingPair(t);
    session.send(LONG);
    const response = await client.get({ headers: { "Accept-Encoding": accepted } });
    assert.equal(response.status, 200);
    assert.equal(response.headers["content-encoding"], encoding);
    assert.equal(response.headers["content-type"], "text/plain; charset=UTF-8");
    assert.equal(response.headers["cache-control"], "no-store");
    assert.equal(decoded(response), `4${LONG}`);
  });
}

for (const [length, encoding] of [
  [1023, "gzip"],
  [1022, undefined],
]) {
  test(`compares the length in bytes with the threshold: a payload of ${length + 1} [ENG-100]`, async (t) => {
    const { client, session } = await pollingPair(t);
    session.send("y".repeat(length));
    assert.equal((await client.get({ headers: GZIP })).headers["content-encoding"], encoding);
  });
}

test("counts bytes, not characters [ENG-100]", async (t) => {
  const { client, session } = await pollingPair(t);
  session.send("€".repeat(400));
  const response = await client.get({ headers: GZIP });
  assert.equal(response.headers["content-encoding"], "gzip");
  assert.equal(decoded(response), `4${"€".repeat(400)}`);
});

test("compresses when at least one packet of the payload may be [ENG-100, ENG-101]", async (t) => {
  const { client, session } = await pollingPair(t);
  session.send(LONG, { compress: false });
  assert.equal((await client.get({ headers: GZIP })).headers["content-encoding"], undefined);
  session.send(LONG, { compress: false });
  session.send("b", { compress: true });
  assert.equal((await client.get({ headers: GZIP })).headers["content-encoding"], "gzip");
  session.send(LONG, { compress: false });
  session.send("b");
  assert.equal((await client.get({ headers: GZIP })).headers["content-encoding"], "gzip");
});

test("compresses a handshake that is long enough [ENG-101]", async (t) => {
  const { port } = await startEngine(t, { httpCompression: { threshold: 10 } });
  const response = await http(port, { path: POLLING, headers: GZIP });
  assert.equal(response.headers["content-encoding"], "gzip");
  assert.match(decoded(response), /^0\{"sid"/);
});

test("compresses a long initial packet with the handshake [ENG-101, EIO-44]", async (t) => {
  const { port } = await startEngine(t, { initialPacket: LONG });
  const response = await http(port, { path: POLLING, headers: GZIP });
  assert.ok(decoded(response).endsWith(`\x1e4${LONG}`));
  assert.equal(response.headers["content-encoding"], "gzip");
});

test("compresses nothing when httpCompression is false [ENG-10, ENG-15]", async (t) => {
  const { client, session } = await pollingPair(t, { httpCompression: false });
  session.send(LONG);
  const response = await client.get({ headers: GZIP });
  assert.equal(response.headers["content-encoding"], undefined);
  assert.equal(response.headers["content-length"], "3001");
});

for (const httpCompression of [true, {}, { level: 1 }]) {
  test(`keeps the default threshold for ${JSON.stringify(httpCompression)} [ENG-15]`, oursOnly("it compresses everything"), async (t) => {
    const { client, session } = await pollingPair(t, { httpCompression });
    session.send("short");
    assert.equal((await client.get({ headers: GZIP })).headers["content-encoding"], undefined);
    session.send(LONG);
    assert.equal((await client.get({ headers: GZIP })).headers["content-encoding"], "gzip");
  });
}

test("hands its settings to zlib [ENG-103]", async (t) => {
  const sizes = [];
  for (const level of [0, 9]) {
    const { client, session } = await pollingPair(t, { httpCompression: { threshold: 10, level } });
    session.send(LONG);
    const response = await client.get({ headers: GZIP });
    assert.equal(decoded(response), `4${LONG}`);
    sizes.push(response.body.length);
  }
  assert.ok(sizes[0] > 3000 && sizes[1] < 300, String(sizes));
});

test("frees the poll slot when the compressed response is out [ENG-87, ENG-102]", async (t) => {
  const { port, client, session } = await pollingPair(t);
  const agent = await HttpConnection.open(port);
  for (let round = 0; round < 3; round++) {
    session.send(`${round}${LONG}`);
    assert.equal(decoded(await client.get({ agent, headers: GZIP })), `4${round}${LONG}`);
  }
  assert.equal(session.readyState, "open");
});

test("keeps the order of what is sent while a response is being compressed [ENG-87]", async (t) => {
  const { client, session } = await pollingPair(t);
  const ready = once(session.transport, "ready");
  const get = client.get({ headers: GZIP });
  await ready;
  session.send(LONG);
  session.send("second");
  session.send("third");
  const packets = decoded(await get).split("\x1e");
  if (packets.length < 3) packets.push(...decoded(await client.get({ headers: GZIP })).split("\x1e"));
  assert.deepEqual(
    packets.map((packet) => packet.slice(0, 7)),
    ["4xxxxxx", "4second", "4third"],
  );
});

test("survives a client that leaves while its response is being compressed [ENG-87, ENG-104]", async (t) => {
  const { port, client, session } = await pollingPair(t);
  const ready = once(session.transport, "ready");
  const get = client.get({ headers: GZIP });
  get.catch(() => {});
  await ready;
  session.send("z".repeat(500000));
  get.abort();
  await get.connection.closed;
  assert.equal((await http(port, { path: POLLING })).status, 200);
});

test(
  "refuses settings that zlib refuses when they are given, not at a client's request [ENG-103, ENG-104]",
  oursOnly("zlib throws out of its flush"),
  async (t) => {
    await assert.rejects(startEngine(t, { httpCompression: { level: 99 } }), RangeError);
  },
);
