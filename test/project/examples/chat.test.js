import { test } from "node:test";
import assert from "node:assert/strict";
import { client, connect, once, record, waitFor } from "../../support/client.js";
import { startExample } from "./example-process.js";

let lastKey = 0;
const guest = (nickname, room = "lobby", key = `key-${++lastKey}`) => ({ auth: { nickname, key, room } });
const enter = (socket, room) => socket.timeout(5000).emitWithAck("enter", room);
let lastTag = 0;
const say = (socket, text, tag = `tag-${++lastTag}`) => socket.timeout(5000).emitWithAck("message", text, tag);
const rename = (socket, name) => socket.timeout(5000).emitWithAck("rename", name);

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

test("sends messages and typing indicators within a room, and lists its people", async (t) => {
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
  assert.deepEqual((await entered).slice(0, 2), ["tea", []]);
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

test("shows a repeated message once, and shows a new name to all pages [ROB-804, ROB-805]", async (t) => {
  const { url } = await startExample(t, "chat");
  const ada = await connect(t, url, "/", guest("Ada"));
  const bob = await connect(t, url, "/", guest("Bob"));
  const heard = record(bob, "message");
  const first = await say(ada, "once", "same");
  assert.deepEqual(await say(ada, "once", "same"), first);
  assert.equal((await say(bob, "mine", "same")).message.from, "Bob"); // tags of others don't count
  const isThere = waitFor(bob, "people", (room, names) => names.includes("Countess"));
  assert.deepEqual(await rename(ada, "Countess"), { nickname: "Countess" });
  await isThere;
  assert.deepEqual(await rename(bob, " COUNTESS "), { error: "Somebody here already has this nickname." });
  assert.deepEqual(await rename(ada, "countess"), { nickname: "countess" });
  assert.equal((await say(ada, "renamed")).message.from, "countess");
  assert.equal((await heard.until((all) => all.length === 2)).length, 2);
  await connect(t, url, "/", guest("Ada")); // the old name is free
});

test("answers what it does not accept", async (t) => {
  const { url } = await startExample(t, "chat");
  for (const auth of [
    {},
    { nickname: "", key: "a", room: "lobby" },
    { nickname: "x".repeat(21), key: "a", room: "lobby" },
    { nickname: 1, key: "a" },
    { nickname: "two\nlines", key: "a", room: "lobby" },
    { nickname: "\u202eevil", key: "a", room: "lobby" },
  ]) {
    const [error] = await once(client(t, url, "/", { auth }), "connect_error");
    assert.equal(error.message, "Choose a nickname of 1 to 20 characters.");
  }
  const ada = await connect(t, url, "/", guest("Ada"));
  for (const text of ["", "   ", 1, null, { a: 1 }, "x".repeat(2001)])
    assert.deepEqual(await say(ada, text), { error: "Messages have 1 to 2000 characters." });
  for (const room of ["", "No", "a b", 1, "x".repeat(21)]) assert.ok((await enter(ada, room)).error);
  for (const name of ["", 1, null, "x".repeat(21)]) assert.ok((await rename(ada, name)).error);
  ada.emit("message", "no acknowledgement").emit("enter", "music").emit("rename", "Eve").emit("typing", { odd: true });
  for (const event of ["message", "enter", "rename", "typing"]) {
    ada.emit(event).emit(event, null).emit(event, { toString: 1 }, [], "x".repeat(5000)).emit(event, Buffer.alloc(9));
    ada.emit(event, () => {});
  }
  assert.ok((await say(ada, "still alive")).message);
});

test("bounds what clients can make: events in a second, rooms, the longest message [ROB-808]", async (t) => {
  const { url } = await startExample(t, "chat");
  const ada = await connect(t, url, "/", { ...guest("Ada"), reconnection: false });
  const bob = await connect(t, url, "/", guest("Bob"));
  const lists = record(bob, "rooms");
  const started = Date.now();
  const answers = await Promise.all(Array.from({ length: 500 }, (_, i) => enter(ada, `room-${i}`)));
  const refused = answers.filter(({ error }) => error?.includes("too fast"));
  assert.ok(refused.length >= 300, `${refused.length} of 500 refused`);
  assert.ok((await say(bob, "others are not slowed down")).message);
  await lists.until((all) => all.length > 0);
  assert.ok(
    lists.events.every(([, rooms]) => rooms.length <= 4),
    "rooms that were left are gone",
  );
  const most = (Date.now() - started) / 200 + 3;
  assert.ok(lists.events.length <= most, `${lists.events.length} lists for 500 events, at most ${most}`);

  for (let i = 0; i < 100; i += 1) await connect(t, url, "/", { ...guest(`guest ${i}`, `own-${i}`), transports: ["websocket"] });
  const everybody = ([, rooms]) => rooms.reduce((sum, { people }) => sum + people, 0) === 102;
  const [, rooms] = (await lists.until((all) => all.some(everybody))).find(everybody);
  assert.equal(rooms.length, 100);
  assert.deepEqual(await enter(bob, "one-more"), { error: "There are too many rooms. Enter one of those." });

  const gone = once(ada, "disconnect");
  ada.emit("message", "x".repeat(100_000), "tag", () => {});
  assert.match((await gone)[0], /^transport (close|error)$/);
  assert.ok((await say(bob, "still here")).message);
});
