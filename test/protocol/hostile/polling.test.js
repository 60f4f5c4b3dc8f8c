/** Bodies and polls that no honest client sends; row 10 of the list of known attacks and its neighbours. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertBounded, openBystander, shareChild, startChild } from "../../support/hostile/child.js";
import { HttpConnection, PollingSession } from "../../support/wire-client.js";

const MIB = 1024 * 1024;
const PATH = "/socket.io/";

let child;
shareChild({ app: "relay" }, (started) => (child = started));

/** A joined polling session. */
async function openPolling(of = child) {
  const session = await PollingSession.open(of.port, "", { path: PATH });
  await session.post("40");
  const [answer] = await session.poll();
  session.socketId = JSON.parse(answer.slice(2)).sid;
  return session;
}

/** Starts a POST whose body is still to come. */
async function openPost(t, session, headers) {
  const connection = await HttpConnection.open(child.port);
  t.after(() => connection.abort());
  const lines = Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("");
  connection.write(`POST ${session.url()} HTTP/1.1\r\nHost: x\r\n${lines}\r\n`);
  return connection;
}

/** Writes as fast as the connection takes it, until all is written or the server ended the connection. */
async function pour(connection, chunk, count) {
  const { socket } = connection;
  for (let i = 0; i < count && !connection.isClosed; i++) {
    if (!socket.write(chunk)) await Promise.race([connection.closed, new Promise((resolve) => socket.once("drain", resolve))]);
  }
}

test("answers 413 to a chunked body without end, and holds no more than the limit [ENG-97, ENG-98, THREAT-10]", async (t) => {
  const bystander = await openBystander(t, child);
  const session = await openPolling();
  const before = await child.heldBytes();
  const connection = await openPost(t, session, { "Transfer-Encoding": "chunked" });
  const response = connection.response("POST");
  const piece = `400\r\n${"4".repeat(1024)}\r\n`;
  await pour(connection, piece.repeat(64), 160); // 10 MiB
  assertBounded(before, await child.heldBytes(), 4 * MIB, "while the body comes in");
  connection.write("0\r\n\r\n");
  assert.equal((await response).status, 413);
  assert.equal((await response).text, "");
  assertBounded(before, await child.heldBytes(), 2 * MIB, "after the body");
  await bystander.check();
  await child.assertUnharmed();
});

test("answers 413 to a declared length above the limit, and delivers nothing of it [ENG-97, ENG-98]", async (t) => {
  const bystander = await openBystander(t, child);
  const session = await openPolling();
  const body = `42["m","${"x".repeat(1_000_000)}"]`;
  const response = await session.post(body);
  assert.equal(response.status, 413);
  assert.equal(response.text, "");
  await bystander.check();
  await child.assertUnharmed();
});

test("takes a body of the limit in 8,000 small chunks, in a moment [ENG-91, ENG-97, THREAT-10]", async (t) => {
  const bystander = await openBystander(t, child);
  const session = await openPolling();
  const body = `42["none","${"x".repeat(999_987)}"]`;
  assert.equal(body.length, 1_000_000);
  const connection = await openPost(t, session, { "Transfer-Encoding": "chunked" });
  const response = connection.response("POST");
  const step = 125;
  for (let at = 0; at < body.length; at += step) connection.write(`${step.toString(16)}\r\n${body.slice(at, at + step)}\r\n`);
  connection.write("0\r\n\r\n");
  const { status, text } = await response;
  assert.deepEqual([status, text], [200, "ok"]);
  await bystander.check();
  await child.assertUnharmed();
});

test("ends the session of a POST that stops in the middle, and frees what came [ENG-94, EIO-125]", async (t) => {
  const bystander = await openBystander(t, child);
  const before = await child.heldBytes();
  for (let i = 0; i < 10; i++) {
    const session = await openPolling();
    const connection = await openPost(t, session, { "Content-Length": "900000" });
    connection.write("4".repeat(800_000));
    await bystander.check();
    connection.abort();
    const [, reason, description] = await child.report("disconnect", session.socketId);
    assert.equal(reason, "transport error");
    assert.match(`${description.message} ${description.cause}`, /data request connection closed prematurely|transport/);
  }
  assertBounded(before, await child.heldBytes(), 4 * MIB, "after the bodies");
  await bystander.check();
  await child.assertUnharmed();
});

test("releases the body and the connection of a POST that outlives its session [ROB-150]", async (t) => {
  const own = await startChild(t, { app: "relay", options: { pingInterval: 1500, pingTimeout: 1500 } });
  const bystander = await openBystander(t, own);
  const before = await own.heldBytes();
  const connections = await Promise.all(
    Array.from({ length: 30 }, async () => {
      const session = await PollingSession.open(own.port, "", { path: PATH });
      const connection = await HttpConnection.open(own.port);
      connection.write(`POST ${session.url()} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n${"4".repeat(900_000)}`);
      return connection;
    }),
  );
  await Promise.all(connections.map((connection) => connection.closed));
  await own.untilClients(1);
  assertBounded(before, await own.heldBytes(), 4 * MIB, "after the sessions");
  await bystander.check();
  await own.assertUnharmed();
});

test("ends the session of two POSTs at a time, and answers the second 400 [ENG-95, EIO-52]", async (t) => {
  const bystander = await openBystander(t, child);
  const session = await openPolling();
  const first = await openPost(t, session, { "Content-Length": "100" });
  first.write('42["m"');
  await bystander.check();
  assert.equal((await session.post('42["m"]')).status, 400);
  assert.equal((await child.report("disconnect", session.socketId))[1], "transport error");
  await first.closed;
  await bystander.check();
  await child.assertUnharmed();
});

test("takes a payload of a hundred thousand packets, in a moment [EIO-32, EIO-60]", async (t) => {
  const bystander = await openBystander(t, child);
  const session = await openPolling();
  const ignored = Array(100_000).fill("6").join("\x1e");
  assert.equal((await session.post(ignored)).text, "ok");
  assert.equal((await session.post('427["echo",1]')).text, "ok");
  assert.deepEqual(await session.poll(), ["437[1]"]);
  await bystander.check();
  await child.assertUnharmed();
});

const BODIES = [
  ["an empty body", "", 200],
  ["separators only", "\x1e".repeat(10_000), 200],
  ["bytes that are not UTF-8", Buffer.from([0x34, 0xff, 0xc0, 0x1e]), 200],
  ["base64 that is none", "b!!!", 200],
  ["a NUL", "\0", 200],
];
for (const [what, body] of BODIES) {
  test(`ends only the session that posts ${what} [EIO-13, EIO-32, EIO-63]`, async (t) => {
    const bystander = await openBystander(t, child);
    const session = await openPolling();
    const { status } = await session.post(body);
    assert.ok(status === 200 || status === 400, `status ${status}`);
    const poll = await session.get();
    assert.ok(poll.status === 400 || poll.text.endsWith("1"), `${poll.status} ${poll.text}`);
    await bystander.check();
    await child.assertUnharmed();
  });
}

test("tolerates clients that cut their polls and posts at any point [EIO-125, ENG-85, ENG-94]", async (t) => {
  const own = await startChild(t);
  const bystander = await openBystander(t, own);
  const request = (session, method, body) =>
    `${method} ${session.url()} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  for (let i = 0; i < 40; i++) {
    const session = await openPolling(own);
    const bytes = i % 2 ? request(session, "POST", '42["m","xxxxxxxxxxxxxxxxxxxx"]') : request(session, "GET", "");
    const connection = await HttpConnection.open(own.port);
    connection.write(bytes.slice(0, Math.ceil((bytes.length * (i + 1)) / 40)));
    await bystander.check();
    connection.socket.resetAndDestroy();
    await connection.closed;
    await session.post("1").catch(() => {}); // those whose request was cut in its head live on
  }
  await own.untilClients(1);
  await bystander.check();
  await own.assertUnharmed();
});
