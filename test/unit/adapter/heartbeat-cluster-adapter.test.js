import assert from "node:assert/strict";
import { it } from "node:test";
import { MessageType } from "../../../dist/cluster/messages.js";
import { Bus, HeartbeatAdapter, settle, startNodes } from "./link.js";
import { event, to } from "./stand-in.js";

const uid = "00000000deadbeef";

function start(t, count, options) {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  return startNodes(t, HeartbeatAdapter, count, options);
}

it("announces itself, hears from the others, and counts them [CLU-21, CLU-23, CLU-29]", async (t) => {
  const { bus, nodes } = start(t, 3);
  await settle();
  for (const { adapter } of nodes) assert.equal(await adapter.serverCount(), 3);
  assert.equal(bus.published(MessageType.INITIAL_HEARTBEAT).length, 3);
  assert.ok(bus.published(MessageType.HEARTBEAT).length >= 3);
});

it("may be announced again [ADP-2, NSP-2]", async (t) => {
  const { nodes } = start(t, 2);
  nodes[0].adapter.init();
  await settle();
  for (const { adapter } of nodes) assert.equal(await adapter.serverCount(), 2);
});

for (const [title, adapterOptions, interval] of [
  ["5 s by default", undefined, 5000],
  ["as told", { heartbeatInterval: 40 }, 40],
]) {
  it(`sends a heartbeat after silence, ${title}, and after nothing else [CLU-20, CLU-22]`, async (t) => {
    const {
      bus,
      nodes: [{ adapter }],
    } = start(t, 1, { adapterOptions });
    const beats = () => bus.published(MessageType.HEARTBEAT).length;
    t.mock.timers.tick(interval - 1);
    assert.equal(beats(), 0);
    await adapter.broadcast(event("x"), to());
    t.mock.timers.tick(interval - 1);
    assert.equal(beats(), 0);
    t.mock.timers.tick(1);
    assert.equal(beats(), 1);
    t.mock.timers.tick(interval);
    assert.equal(beats(), 2);
  });
}

it("forgets a node that is silent for too long, looking every second [CLU-20, CLU-24]", async (t) => {
  const { nodes } = start(t, 2, { adapterOptions: { heartbeatInterval: 60_000 } });
  await settle();
  nodes[1].adapter.die();
  t.mock.timers.tick(10_000);
  assert.equal(await nodes[0].adapter.serverCount(), 2);
  t.mock.timers.tick(1000);
  assert.equal(await nodes[0].adapter.serverCount(), 1);
});

it("takes any message for a sign of life, of its own namespace [CLU-23, CLU-27]", async (t) => {
  const {
    bus,
    nodes: [{ adapter }],
  } = start(t, 1);
  const peer = bus.addPeer();
  const body = { type: 3, data: { opts: { rooms: ["x"], except: [], flags: {} }, packet: event("x") } };
  await peer.send({ uid, nsp: "/other", ...body });
  assert.equal(await adapter.serverCount(), 1);
  await peer.send({ uid: "emitter", nsp: "/", ...body });
  assert.equal(await adapter.serverCount(), 1);
  await peer.send({ uid, nsp: "/", ...body });
  assert.equal(await adapter.serverCount(), 2);
  for (let i = 0; i < 5; i++) {
    t.mock.timers.tick(8000);
    await peer.send({ uid, nsp: "/", ...body });
  }
  assert.equal(await adapter.serverCount(), 2);
});

it("delivers what an emitter sends, that is no node [ENC-6, CLU-23]", async (t) => {
  const {
    bus,
    nodes: [{ nsp }],
  } = start(t, 1);
  await bus
    .addPeer()
    .send({ uid: "emitter", nsp: "/", type: 3, data: { opts: { rooms: ["0.1"], except: [], flags: {} }, packet: event("x") } });
  assert.equal(nsp.sockets.get("0.1").written.length, 1);
});

it("says good-bye, and is forgotten at once [CLU-24]", async (t) => {
  const { bus, nodes } = start(t, 2);
  await settle();
  nodes[1].adapter.close();
  await settle();
  assert.equal(await nodes[0].adapter.serverCount(), 1);
  assert.equal(bus.published(MessageType.ADAPTER_CLOSE).length, 1);
  const beats = () => bus.log.filter((message) => message.uid === nodes[1].adapter.uid).length;
  const before = beats();
  t.mock.timers.tick(60_000);
  assert.equal(beats(), before);
});

it("expects nothing more of a node that says good-bye [CLU-25, EX-173]", async (t) => {
  const { nodes } = start(t, 3);
  await settle();
  nodes[1].nsp._onServerSideEmit = ([, answer]) => answer("here");
  const outcomes = [];
  nodes[0].adapter.serverSideEmit(["ping", (...args) => outcomes.push(args)]);
  await settle();
  assert.deepEqual(outcomes, []);
  nodes[2].adapter.close();
  await settle();
  assert.deepEqual(outcomes, [[null, ["here"]]]);
});

it("expects nothing more of a node that has died, once that is known [CLU-25, MIX-7]", async (t) => {
  const { nodes } = start(t, 2, { adapterOptions: { heartbeatInterval: 1000, heartbeatTimeout: 2000 } });
  await settle();
  nodes[1].adapter.die();
  const found = nodes[0].adapter.fetchSockets(to());
  await settle();
  t.mock.timers.tick(4000);
  assert.deepEqual(
    (await found).map(({ id }) => id),
    ["0.1", "0.2"],
  );
});

it("asks before it tells, where a program does so in one tick [CLU-16]", async (t) => {
  const { nodes } = start(t, 2);
  await settle();
  const { adapter } = nodes[0];
  adapter.serverSideEmit(["question", () => {}]);
  adapter.serverSideEmit(["news"]);
  adapter.serverSideEmit(["another question", () => {}]);
  await settle();
  assert.deepEqual(
    nodes[1].nsp.serverSideEvents.map(([name]) => name),
    ["question", "news", "another question"],
  );
});

it("takes answers of nodes it hadn't known, too [CLU-26]", async (t) => {
  const { bus, nodes } = start(t, 2);
  await settle();
  const peer = bus.addPeer(({ type, data, uid: from }) => {
    if (type !== MessageType.SERVER_SIDE_EMIT || from !== nodes[0].adapter.uid) return;
    peer.send({ uid, nsp: "/", type: 10, data: { requestId: data.requestId, packet: "stranger" } });
  });
  let answer;
  nodes[1].nsp._onServerSideEmit = ([, callback]) => (answer = callback);
  const outcomes = [];
  nodes[0].adapter.serverSideEmit(["ping", (...args) => outcomes.push(args)]);
  await settle();
  answer("known");
  await settle();
  assert.deepEqual(outcomes, [[null, ["stranger", "known"]]]);
});

it("isn't filled by invented nodes [threat 31]", async (t) => {
  const {
    bus,
    nodes: [{ adapter }],
  } = start(t, 1);
  const peer = bus.addPeer();
  for (let i = 0; i < 5000; i++) peer.send({ uid: `node ${i}`, nsp: "/", type: 2 });
  await settle();
  assert.equal(await adapter.serverCount(), 1 + 4096);
});

it("does not keep the process alive [CLU-28]", async (t) => {
  const { nodes } = startNodes(t, HeartbeatAdapter, 2, { bus: new Bus() });
  await settle();
  const [{ adapter }] = nodes;
  assert.equal(adapter._heartbeats.cleanupTimer.hasRef(), false);
  assert.equal(adapter._heartbeats.heartbeatTimer.hasRef(), false);
});
