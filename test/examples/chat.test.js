import { test } from "node:test";
import assert from "node:assert/strict";
import { client, connect, once, waitFor } from "../support/client.js";
import { startExample } from "./example-process.js";

let lastKey = 0;
const guest = (nickname, room = "lobby", key = `key-${++lastKey}`) => ({ auth: { nickname, key, room } });
const enter = (socket, room) => socket.timeout(5000).emitWithAck("enter", room);
const say = (socket, text) => socket.timeout(5000).emitWithAck("message", text);

test("serves the page and the client, and nothing else [HTTP-1]", async (t) => {
  const { url } = await startExample(t, "chat");
  for (const [path, type, start] of [
    ["/", "text/html", "<!doctype html>"],
    ["/chat.css?v=1", "text/css", ":root"],
    ["/chat.js", "text/javascript", "/**"],
    ["/socket.io/socket.io.js", "application/javascript", "/*!"],
  ]) {
    const response = await fetch(url + path);
    assert.equal(response.status, 200, path);
    assert.equal(response.headers.get("content-type"), `${type}; charset=utf-8`);
    assert.ok((await response.text()).startsWith(start), path);
  }
  for (const path of ["/server.js", "/../server.js", "/public/chat.js", "/%2e%2e/server.js"]) {
    assert.equal((await fetch(url + path)).status, 404, path);
  }
});

test("carries messages and typing hints within a room, and lists who is there", async (t) => {
  const { url } = await startExample(t, "chat");
  const byWebSocket = { transports: ["websocket"] }; // a hint for a client that is between two polls is dropped, as it should be
  const ada = await connect(t, url, "/", { ...guest("Ada"), ...byWebSocket });
  const bobIsHere = waitFor(ada, "people", (room, names) => names.includes("Bob"));
  const bob = await connect(t, url, "/", { ...guest(" Bob "), ...byWebSocket });
  assert.deepEqual(await bobIsHere, ["lobby", ["Ada", "Bob"]]);

  const typing = once(bob, "typing");
  ada.emit("typing", true);
  assert.deepEqual(await typing, ["Ada", true]);

  const heard = once(bob, "message");
  const { message } = await say(ada, "héllo ");
  assert.deepEqual(await heard, ["lobby", message]);
  assert.deepEqual([message.from, message.text], ["Ada", "héllo"]);

  const entered = once(bob, "entered");
  const bobIsGone = waitFor(ada, "people", (room, names) => !names.includes("Bob"));
  const rooms = waitFor(ada, "rooms", (all) => all.some(({ name }) => name === "tea"));
  assert.deepEqual(await enter(bob, "tea"), { room: "tea" });
  assert.deepEqual(await entered, ["tea", []]);
  assert.deepEqual(
    (await rooms)[0].map(({ name, people }) => `${name} ${people}`),
    ["lobby 1", "music 0", "help 0", "tea 1"],
  );

  bob.on("message", () => assert.fail("Bob left the lobby"));
  assert.deepEqual(await bobIsGone, ["lobby", ["Ada"]]);
  assert.ok((await say(ada, "still there?")).message);
  const back = once(bob, "entered");
  bob.off("message");
  await enter(bob, "lobby");
  assert.deepEqual(
    (await back)[1].map(({ text }) => text),
    ["héllo", "still there?"],
  );
});

test("refuses a nickname that is taken, unless the same page comes back", async (t) => {
  const { url } = await startExample(t, "chat");
  const first = await connect(t, url, "/", guest("Ada", "lobby", "one"));
  const [error] = await once(client(t, url, "/", guest("Ada", "lobby", "two")), "connect_error");
  assert.equal(error.message, "Somebody here already has this nickname.");

  const gone = once(first, "disconnect");
  const second = await connect(t, url, "/", guest("Ada", "music", "one"));
  assert.equal((await gone)[0], "io server disconnect");
  assert.ok((await say(second, "here again")).message);
});

test("answers what it does not accept", async (t) => {
  const { url } = await startExample(t, "chat");
  for (const auth of [
    {},
    { nickname: "", key: "a", room: "lobby" },
    { nickname: "x".repeat(21), key: "a", room: "lobby" },
    { nickname: 1, key: "a" },
  ]) {
    const [error] = await once(client(t, url, "/", { auth }), "connect_error");
    assert.equal(error.message, "Choose a nickname of 1 to 20 characters.");
  }
  const ada = await connect(t, url, "/", guest("Ada"));
  for (const text of ["", "   ", 1, null, { a: 1 }, "x".repeat(2001)])
    assert.deepEqual(await say(ada, text), { error: "Messages have 1 to 2000 characters." });
  for (const room of ["", "No", "a b", 1, "x".repeat(21)]) assert.ok((await enter(ada, room)).error);
  ada.emit("message", "no acknowledgement").emit("enter", "music").emit("typing", { odd: true });
  assert.ok((await say(ada, "still alive")).message);
});
