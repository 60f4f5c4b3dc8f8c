/** Requests of polling on streams of HTTP/2: what ends one leaves the connection, with its other streams, as it is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ending } from "../../support/engine.js";
import { startEngine } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { openConnection, request } from "./http2-client.js";

const POLLING = "/engine.io/?EIO=4&transport=polling";

/** A polling session whose POST has begun: `{ connection, session, post, status }`. */
async function beginPost(t, options, headers = {}) {
  const { engine, url } = await startEngine(t, options, { http2: true });
  const connection = await openConnection(t, url);
  const { text } = await request(connection, "GET", POLLING);
  const { sid } = JSON.parse(text.slice(1));
  const session = engine.clients[sid];
  const end = ending(session);
  const post = connection.request({ ":method": "POST", ":path": `${POLLING}&sid=${sid}`, ...headers }, { endStream: false });
  post.on("error", () => {});
  const closed = within(new Promise((resolve) => post.once("close", resolve)), "the stream to close");
  const status = new Promise((resolve) => post.once("response", (head) => resolve(head[":status"])));
  post.resume();
  post.write("4incomplete");
  return { connection, post, end, closed, status };
}

async function assertConnectionLives(connection) {
  assert.equal((await request(connection, "GET", POLLING)).status, 200);
}

test("answers 408 to a slow body and closes its stream [ROB-151, ROB-154]", oursOnly("it ends the whole connection"), async (t) => {
  const { connection, end, closed, status } = await beginPost(t, { httpRequestBodyTimeout: 100 });
  assert.equal(await status, 408);
  assert.equal((await end).description.message, "http request timeout");
  await closed;
  await assertConnectionLives(connection);
});

test("answers 413 to a declared length over the limit and closes its stream [ROB-153, ROB-154]", async (t) => {
  const { connection, end, closed, status } = await beginPost(t, { maxHttpBufferSize: 1000 }, { "content-length": "5000" });
  assert.equal(await status, 413);
  assert.equal((await end).description.code, "RC_ERR_BODY_BYTES");
  await closed;
  await assertConnectionLives(connection);
});

test("closes the stream of a POST that outlives its session [ROB-150]", async (t) => {
  const { connection, end, closed } = await beginPost(t, { pingInterval: 100, pingTimeout: 100 });
  assert.equal((await end).reason, "ping timeout");
  await closed;
  await assertConnectionLives(connection);
});

test("opens no session for a stream that was reset while allowRequest was asked [ROB-156]", async (t) => {
  let onAsked;
  const asked = new Promise((resolve) => (onAsked = resolve));
  const allowRequest = (request, answer) => (request.url.includes("leaves") ? onAsked({ request, answer }) : answer(null, true));
  const { engine, url } = await startEngine(t, { allowRequest }, { http2: true });
  const connection = await openConnection(t, url);
  const stream = connection.request({ ":path": `${POLLING}&leaves` });
  stream.on("error", () => {});
  const { request: pending, answer } = await within(asked, "allowRequest to be asked");
  const gone = within(new Promise((resolve) => pending.once("close", resolve)), "the stream to close");
  stream.close(8);
  await gone;
  answer(null, true);
  assert.equal(engine.clientsCount, 0);
  await assertConnectionLives(connection);
});

test(
  "closes the stream of a body that is held while the total is above its limit [ROB-814]",
  oursOnly("it has no limit on all connections together"),
  async (t) => {
    const { connection, post, end, closed } = await beginPost(t, { limits: { totalHeldBytes: 50_000 } });
    post.write("x".repeat(60_000));
    const { reason, description } = await end;
    assert.deepEqual([reason, description.code], ["transport error", "RC_ERR_TOTAL_HELD_BYTES"]);
    await closed;
    await assertConnectionLives(connection);
  },
);
