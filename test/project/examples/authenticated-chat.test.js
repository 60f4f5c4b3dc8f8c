/** The example of the authenticated chat: who may connect, enter, hear, and for how long. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { client, connect, once, record } from "../../support/client.js";
import { oursOnly } from "../../support/target.js";
import { pass } from "../../support/wait.js";
import { startExample } from "./example-process.js";

const ours = oursOnly("the example has options of roomcast");

async function post(url, path, body = {}, token = undefined) {
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  const response = await fetch(url + path, { method: "POST", headers, body: JSON.stringify(body) });
  return { status: response.status, ...(await response.json()) };
}

/** Signs in, and connects. */
async function signIn(t, url, name) {
  const { token } = await post(url, "/login", { name, password: "demo" });
  return { token, socket: await connect(t, url, "/", { auth: { token } }) };
}

async function refusal(t, url, auth) {
  const [error] = await once(client(t, url, "/", { auth }), "connect_error");
  return error.data?.code;
}

test("lets nobody in without a token of an open session [ROB-983]", ours, async (t) => {
  const { url } = await startExample(t, "authenticated-chat");
  const { token } = await signIn(t, url, "ada");
  const [head, body, signature] = token.split(".");
  const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString("base64url");
  const forged = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(body, "base64url")), sub: "bob" })).toString("base64url");
  const wrong = [undefined, null, 5, "", "a.b.c", {}, `${none}.${body}.`, `${none}.${body}.${signature}`, `${head}.${forged}.${signature}`];
  for (const each of wrong) assert.equal(await refusal(t, url, { token: each }), "TOKEN", String(each));
  assert.equal((await post(url, "/login", { name: "ada", password: "wrong" })).status, 401);
  assert.equal((await post(url, "/login", { name: "__proto__", password: "demo" })).status, 401);
  for (const odd of [[], "text", { name: { toString: 1 }, password: 1 }]) assert.equal((await post(url, "/login", odd)).status, 400);
});

test("slows down who guesses passwords [ROB-983]", ours, async (t) => {
  const { url } = await startExample(t, "authenticated-chat");
  const statuses = [];
  for (let i = 0; i < 7; i += 1) statuses.push((await post(url, "/login", { name: "eve", password: `guess ${i}` })).status);
  assert.deepEqual(statuses, [401, 401, 401, 401, 401, 429, 429]);
  assert.equal((await post(url, "/login", { name: "bob", password: "demo" })).status, 200, "others are not slowed down");
});

// Recovery of sessions adds an argument, the offset: only the first one is of the example.
test("opens rooms by right, and whispers to all devices of a user [ROB-983]", ours, async (t) => {
  const { url } = await startExample(t, "authenticated-chat");
  const [{ socket: ada }, { socket: bob }, { socket: phone }] = [
    await signIn(t, url, "ada"),
    await signIn(t, url, "bob"),
    await signIn(t, url, "bob"),
  ];
  assert.deepEqual(await ada.emitWithAck("enter", "staff"), { room: "staff" });
  assert.ok((await bob.emitWithAck("enter", "staff")).error);
  assert.ok((await bob.emitWithAck("enter", "user:ada")).error);
  assert.ok((await bob.emitWithAck("say", "staff", "let me in")).error);
  for (const each of [ada, bob]) await each.emitWithAck("enter", "lobby");

  const elsewhere = record(ada, "whispered");
  const said = once(bob, "said");
  assert.deepEqual(await ada.emitWithAck("say", "lobby", "hello"), { sent: true });
  assert.deepEqual((await said)[0], { room: "lobby", from: "ada", text: "hello" });

  const own = once(phone, "whispered");
  assert.ok((await bob.emitWithAck("whisper", "eve", "are you there?")).error);
  assert.deepEqual(await bob.emitWithAck("whisper", "bob", "a note"), { sent: true });
  assert.deepEqual((await own)[0], { from: "bob", to: "bob", text: "a note" });
  const both = [once(bob, "whispered"), once(phone, "whispered")];
  await ada.emitWithAck("whisper", "bob", "psst");
  for (const each of both) assert.deepEqual((await each)[0], { from: "ada", to: "bob", text: "psst" });
  assert.deepEqual(elsewhere.events, []);
});

test("ends a connection when its token expires, unless it was renewed [ROB-983]", ours, async (t) => {
  const { url } = await startExample(t, "authenticated-chat", 0, { TOKEN_SECONDS: "3" });
  const { socket: forgetful } = await signIn(t, url, "eve");
  const { socket: careful, token } = await signIn(t, url, "bob");
  const ends = record(forgetful, "disconnect_reason");
  const carefulEnds = once(careful, "disconnect_reason", 10_000);
  await pass(1100); // tokens count whole seconds
  const renewed = await post(url, "/renew", {}, token);
  assert.ok((await careful.emitWithAck("renew", "nonsense")).error);
  const { expiresAt } = await careful.emitWithAck("renew", renewed.token);
  assert.ok(expiresAt > Date.now());
  assert.deepEqual(await ends.until((events) => events.length > 0), [["disconnect_reason", "token expired"]]);
  assert.deepEqual(await careful.emitWithAck("enter", "lobby"), { room: "lobby" }, "the renewed one stays");
  assert.equal((await post(url, "/renew", {}, token)).status, 401);
  assert.equal((await carefulEnds)[0], "token expired");
  assert.equal(await refusal(t, url, { token: renewed.token }), "TOKEN");
});

test("signing out ends the connections of that session alone, and its token [ROB-983]", ours, async (t) => {
  const { url } = await startExample(t, "authenticated-chat");
  const { socket: laptop, token } = await signIn(t, url, "ada");
  const { socket: phone } = await signIn(t, url, "ada");
  const reason = once(laptop, "disconnect_reason");
  assert.equal((await post(url, "/logout", {}, token)).status, 200);
  assert.equal((await reason)[0], "signed out");
  assert.equal(await refusal(t, url, { token }), "TOKEN");
  assert.deepEqual(await phone.emitWithAck("enter", "lobby"), { room: "lobby" });
});

test("goes on after values that make no sense [ROB-983]", ours, async (t) => {
  const { url } = await startExample(t, "authenticated-chat");
  const { socket } = await signIn(t, url, "bob");
  const odd = [null, { toString: 1 }, [], 5, "x".repeat(5000), Buffer.alloc(3)];
  for (const event of ["enter", "say", "whisper"]) {
    socket.emit(event);
    for (const value of odd.slice(0, 3)) {
      const answers = [await socket.emitWithAck(event, value), await socket.emitWithAck(event, value, value)];
      for (const answer of answers) assert.ok(answer.error, event);
    }
  }
  for (const value of odd) assert.ok((await socket.emitWithAck("renew", value)).error);
  assert.deepEqual(await socket.emitWithAck("enter", "lobby"), { room: "lobby" });
});
