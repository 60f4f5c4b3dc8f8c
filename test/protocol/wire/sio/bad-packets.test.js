import assert from "node:assert/strict";
import { test } from "node:test";
import { startServer } from "../../../support/server.js";
import { ours, oursOnly } from "../../../support/target.js";
import { PollingSession } from "../../../support/wire-client.js";
import { join, joinedPeer, journal, nextSocket, openPeer, TRANSPORTS } from "./peer.js";

const hole = (num) => `{"_placeholder":true,"num":${num}}`;
const byte = Buffer.from([1]);
const ILLEGAL = "Illegal attachments";
const TOO_MANY = "too many attachments";
const OUT_OF_RANGE = "illegal attachments";
const UNFINISHED = "got plaintext data when reconstructing a packet";
const STRAY = "got binary data when not reconstructing a packet";

/** What is sent, the text of the error, the rule; a fourth entry says why the original differs. */
const UNDECODABLE = [
  ["47", "unknown packet type 7", "SIO-22"],
  ["49", "unknown packet type 9", "SIO-22"],
  ["4x", "unknown packet type NaN", "SIO-22"],
  ["4abc", "unknown packet type NaN", "SIO-22, SIO-98"],
  ['4 2["x"]', /^unknown packet type/, "SIO-22", "a space counts as the digit 0"],
  ["4", "Unknown type: undefined", "SIO-29", "a message without payload makes it throw a TypeError"],
  ["42", "invalid payload", "SIO-26", "it delivers an event without arguments"],
  ["421", "invalid payload", "SIO-26", "it delivers an event without arguments"],
  ["431", "invalid payload", "SIO-26", "it takes an acknowledgement without arguments"],
  ['42/admin["a"]', "invalid payload", "SIO-23, SIO-26", "it takes the event for a namespace that was not joined"],
  ["42{}", "invalid payload", "SIO-25, SIO-98"],
  ["42[]", "invalid payload", "SIO-25"],
  ["42[null]", "invalid payload", "SIO-25"],
  ["42[true]", "invalid payload", "SIO-25"],
  ['42[{"toString":"foo"}]', "invalid payload", "SIO-25"],
  ['42"x"', "invalid payload", "SIO-25"],
  ['42["x"', "invalid payload", "SIO-25"],
  ['42["connect"]', "invalid payload", "SIO-40, EVT-24"],
  ['42["connect_error"]', "invalid payload", "SIO-40, EVT-24"],
  ['42["disconnect","x"]', "invalid payload", "SIO-40, EVT-24"],
  ['42["disconnecting"]', "invalid payload", "SIO-40, EVT-24"],
  ['42["newListener"]', "invalid payload", "SIO-40, EVT-24"],
  ['42["removeListener"]', "invalid payload", "SIO-40, EVT-24"],
  ['42abc["message-with-ack",1]', "invalid payload", "SIO-24, SIO-98"],
  ['429007199254740993["x"]', "invalid payload", "SIO-24", "an id loses its precision"],
  ["40[]", "invalid payload", "SIO-25"],
  ['40"str"', "invalid payload", "SIO-25"],
  ["40null", "invalid payload", "SIO-25"],
  ["40/x,[1]", "invalid payload", "SIO-25"],
  ['41{"a":1}', "invalid payload", "SIO-25"],
  ["431{}", "invalid payload", "SIO-25"],
  ['431"x"', "invalid payload", "SIO-25"],
  ["44[]", "invalid payload", "SIO-25"],
  ["45", ILLEGAL, "SIO-27"],
  ['45["x"]', ILLEGAL, "SIO-27"],
  ['45-["x"]', ILLEGAL, "SIO-27"],
  ['451["x"]', ILLEGAL, "SIO-27"],
  ['450-["x"]', ILLEGAL, "SIO-27"],
  ['451.5-["x"]', ILLEGAL, "SIO-27"],
  ['45a-["x"]', ILLEGAL, "SIO-27"],
  ['451e0-["x"]', ILLEGAL, "SIO-27", "1e0 counts as a number"],
  ['450x1-["x"]', ILLEGAL, "SIO-27", "0x1 counts as a number"],
  ['4511-["x"]', TOO_MANY, "SIO-27"],
  ['4611-1["x"]', TOO_MANY, "SIO-27"],
  ['45999999999-["x"]', TOO_MANY, "SIO-27"],
  [['451-["x",{"_placeholder":true,"num":"splice"}]', byte], OUT_OF_RANGE, "SIO-28"],
  [['451-["x",{"_placeholder":true,"num":"__proto__"}]', byte], OUT_OF_RANGE, "SIO-28"],
  [['451-["x",{"_placeholder":true}]', byte], OUT_OF_RANGE, "SIO-28"],
  [[`451-["x",${hole(5)}]`, byte], OUT_OF_RANGE, "SIO-28"],
  [[`451-["x",${hole(1)}]`, byte], OUT_OF_RANGE, "SIO-28"],
  [[`451-["x",${hole(-1)}]`, byte], OUT_OF_RANGE, "SIO-28"],
  [[`451-["x",${hole(null)}]`, byte], OUT_OF_RANGE, "SIO-28"],
  [[`451-["x",${hole(0.5)}]`, byte], OUT_OF_RANGE, "SIO-28", "a fraction gives undefined"],
  [[`451-["x",${hole(0)}]`, '42["y"]'], UNFINISHED, "SIO-21, SIO-29"],
  [[byte], STRAY, "SIO-29"],
];

for (const transport of TRANSPORTS) {
  for (const [sent, message, rules, quirk] of UNDECODABLE) {
    const title = `tells every socket of the error of ${JSON.stringify([sent].flat()[0])}, then closes, over ${transport} [SIO-50, DIS-29, ${rules}]`;
    test(title, quirk ? oursOnly(quirk) : {}, async (t) => {
      const { io, port } = await startServer(t);
      const entries = journal(io, "/", "/custom");
      io.on("connection", (socket) => socket.onAny((...event) => assert.fail(`delivered ${event}`)));
      const peer = await joinedPeer(t, port, transport);
      await join(peer, "/custom");
      peer.send(...[sent].flat(), '42["behind"]');
      const met = [];
      for (let i = 0; i < 4; i++) met.push(await entries.next());
      await peer.closed();
      for (const name of ["/", "/custom"]) {
        const [error, end] = met.filter(([namespace]) => namespace === name);
        assert.equal(error[1], "error");
        if (message instanceof RegExp) assert.match(error[2], message);
        else assert.equal(error[2], message);
        assert.deepEqual(end, [name, "disconnect", "forced close"]);
      }
      assert.deepEqual(
        met.map(([, event]) => event),
        ["error", "error", "disconnect", "disconnect"],
      );
      assert.equal(io.engine.clientsCount, 0);
    });
  }
}

const WRONG_STATE = [
  ["an event of a namespace that was not joined", '42/nope,["x"]'],
  ["a DISCONNECT of a namespace that was not joined", "41/nope,"],
  ["an acknowledgement of a namespace that was not joined", "43/nope,1[]"],
  ["a second CONNECT", "40"],
  ["a second CONNECT with a payload", '40{"token":"x"}'],
  ["a CONNECT_ERROR", '44{"message":"m"}'],
  ["a CONNECT_ERROR with a string", '44"x"'],
];
for (const transport of TRANSPORTS) {
  for (const [what, packet] of WRONG_STATE) {
    test(`closes without an error event for ${what}, over ${transport} [SIO-51, SIO-52, DIS-27]`, async (t) => {
      const { io, port } = await startServer(t);
      const entries = journal(io, "/", "/custom");
      const peer = await joinedPeer(t, port, transport);
      await join(peer, "/custom");
      peer.send(packet);
      const met = [await entries.next(), await entries.next()];
      assert.deepEqual(met.sort(), [
        ["/", "disconnect", "forced close"],
        ["/custom", "disconnect", "forced close"],
      ]);
      await peer.closed();
      assert.deepEqual(entries.drain(), []);
    });
  }
}

/** A polling session that joined `/`, with no poll waiting. */
async function unpolledSession(port) {
  const session = await PollingSession.open(port, "", { path: "/socket.io/" });
  await session.post("40");
  assert.match((await session.poll())[0], /^40\{/);
  return session;
}

test("delays the disconnect after a decoding error until a poll picks up the close packet [SIO-50]", async (t) => {
  const { io, port } = await startServer(t);
  const entries = journal(io);
  const session = await unpolledSession(port);
  assert.equal((await session.post('4abc\x1e42["dropped"]')).text, "ok");
  assert.deepEqual(entries.drain(), [["/", "error", "unknown packet type NaN"]]);
  assert.equal((await session.poll()).at(-1), "1");
  assert.deepEqual(await entries.next(), ["/", "disconnect", "forced close"]);
});

test('gives "forced server close" at once for a state error while no poll waits [SIO-51, DIS-28]', async (t) => {
  const { io, port } = await startServer(t);
  const entries = journal(io);
  const session = await unpolledSession(port);
  assert.equal((await session.post('42/nope,["x"]')).text, "ok");
  assert.deepEqual(await entries.next(), ["/", "disconnect", "forced server close"]);
  assert.equal((await session.poll()).at(-1), "1");
});

test('gives "forced server close" at once for a state error while packets are unsent, and sends them [SIO-51, DIS-28]', async (t) => {
  const { io, port } = await startServer(t);
  const entries = journal(io);
  const joined = nextSocket(io);
  const peer = await joinedPeer(t, port);
  const socket = await joined;
  socket.conn.once("packet", () => {
    socket.emit("a");
    socket.emit("b");
  });
  peer.send('42/nope,["x"]');
  assert.deepEqual(await entries.next(), ["/", "disconnect", "forced server close"]);
  await peer.expect('42["a"]', '42["b"]');
  await peer.closed();
});

test("gives parse error, and no error event, when a polling payload is not Engine.IO [SIO-52, DIS-26]", async (t) => {
  const { io, port } = await startServer(t);
  const entries = journal(io);
  const session = await unpolledSession(port);
  assert.equal((await session.post("abc")).text, "ok");
  assert.deepEqual(await entries.next(), ["/", "disconnect", "parse error"]);
  assert.equal((await session.get()).status, 400);
});

test("drops the rest of a payload after a packet that can't be decoded [SIO-50]", async (t) => {
  const { io, port } = await startServer(t);
  const heard = [];
  io.on("connection", (socket) => socket.onAny((...event) => heard.push(event)));
  const entries = journal(io);
  const peer = await joinedPeer(t, port, "polling");
  peer.send('42["before"]', "4abc", '42["behind"]');
  assert.equal((await entries.next())[1], "error");
  assert.equal((await entries.next())[1], "disconnect");
  assert.deepEqual(
    heard.filter(([event]) => event === "behind"),
    [],
  );
});

test("closes a session that sends a packet before it joined anything [SIO-51, SIO-53]", async (t) => {
  const { port } = await startServer(t);
  for (const packet of ['42["x"]', "41", "430[]"]) {
    const peer = await openPeer(t, port);
    peer.send(packet);
    await peer.closed();
  }
});

test("takes the event named error and hands it to listeners only [SIO-40, SOC-6, EVT-25]", async (t) => {
  const { io, port } = await startServer(t);
  const heard = [];
  io.on("connection", (socket) => {
    socket.on("error", (...args) => heard.push(args));
    socket.on("done", () => socket.emit("done"));
  });
  const peer = await joinedPeer(t, port);
  peer.send('42["error","x"]', '42["toString"]', '42["__proto__",1]', '42["done"]');
  await peer.expect('42["done"]');
  assert.deepEqual(heard, [["x"]]);
});

test("accepts a number as the name of an event [SIO-25, EVT-24]", async (t) => {
  const { io, port } = await startServer(t);
  io.on("connection", (socket) => socket.on(7, (value) => socket.emit(8, value)));
  const peer = await joinedPeer(t, port);
  peer.send('42[7,"x"]');
  await peer.expect('42[8,"x"]');
});

test("tolerates an id where none is needed [SIO-24]", async (t) => {
  const { io, port } = await startServer(t);
  const entries = journal(io, "/", "/custom");
  io.of("/custom");
  const peer = await joinedPeer(t, port);
  peer.send("40/custom,5");
  assert.match(await peer.next(), /^40\/custom,\{"sid":/);
  peer.send("41/custom,5");
  assert.deepEqual(await entries.next(), ["/custom", "disconnect", "client namespace disconnect"]);
});

test("takes no whitespace for the id of an event [SIO-24]", async (t) => {
  const { io, port } = await startServer(t);
  io.on("connection", (socket) => socket.on("x", (answer) => socket.emit("y", typeof answer)));
  const peer = await joinedPeer(t, port);
  peer.send('42 ["x"]');
  const answer = await peer.next();
  ours("whitespace counts as the id 0", () => assert.equal(answer, '42["y","undefined"]'));
});

const DEPTHS = [
  [999, true],
  [1001, false],
  [5_000, false],
  [100_000, false],
];
for (const [depth, isTaken] of DEPTHS) {
  test(`${isTaken ? "takes" : "refuses"} a payload nested ${depth} deep [SIO-32]`, oursOnly("it has no limit of its own"), async (t) => {
    const { io, port } = await startServer(t);
    const entries = journal(io);
    io.on("connection", (socket) => socket.on("x", (value) => socket.emit("y", value)));
    const peer = await joinedPeer(t, port);
    const nested = "[".repeat(depth - 1) + "]".repeat(depth - 1); // the packet's own array is the first level
    peer.send(`42["x",${nested}]`);
    if (isTaken) return peer.expect(`42["y",${nested}]`);
    assert.equal((await entries.next())[1], "error");
    assert.deepEqual(await entries.next(), ["/", "disconnect", "forced close"]);
  });
}
