// `node --test examples/testing`: the chat of app.js, tested in memory.
const assert = require("node:assert/strict");
const { test } = require("node:test");
const { createTestServer, expectEvent, expectNoEvent } = require("roomcast/testing");
const { createApp } = require("./app.js");

function serve(t) {
  const server = createTestServer(createApp());
  t.after(() => server.close());
  return { ...server, enter: (name) => server.connect("/", { auth: { name } }) };
}

test("refuses who has no name", async (t) => {
  const { connect } = serve(t);
  await assert.rejects(connect(), { message: "a name is missing" });
});

test("tells those in a room what is said there, and nobody else", async (t) => {
  const { enter, network } = serve(t);
  const [ann, bob, eve] = [await enter("ann"), await enter("bob"), await enter("eve")];
  for (const client of [ann, bob]) await client.emitWithAck("enter", "tea");
  const heard = expectEvent(bob, "said");
  ann.emit("say", "tea", "hello");
  await expectNoEvent(eve, "said", network.settled());
  assert.deepEqual((await heard).slice(0, 2), ["ann", "hello"]);
});

test("lets in who waits for no answer", async (t) => {
  const { enter } = serve(t);
  const [ann, bob] = [await enter("ann"), await enter("bob")];
  await ann.emitWithAck("enter", "tea");
  const entered = expectEvent(ann, "entered");
  bob.emit("enter", "tea");
  assert.equal((await entered)[0], "bob");
});

test("does not let in from outside", async (t) => {
  const { enter, network } = serve(t);
  const [ann, eve] = [await enter("ann"), await enter("eve")];
  await ann.emitWithAck("enter", "tea");
  eve.emit("say", "tea", "hello");
  await expectNoEvent(ann, "said", network.settled());
});

test("brings what was said while the network was away", async (t) => {
  const { enter, network } = serve(t);
  const [ann, bob] = [await enter("ann"), await enter("bob")];
  for (const client of [ann, bob]) await client.emitWithAck("enter", "tea");
  const first = expectEvent(bob, "said");
  ann.emit("say", "tea", "one");
  await first;
  const gone = expectEvent(bob, "disconnect");
  network.cut(bob);
  await gone;
  ann.emit("say", "tea", "two");
  const second = expectEvent(bob, "said");
  network.restore(bob);
  assert.deepEqual((await second).slice(0, 2), ["ann", "two"]);
  assert.equal(bob.recovered, true);
});
