import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MessageType } from "../../../dist/cluster/messages.js";
import { Bus, CountingAdapter, HeartbeatAdapter, received, settle, startNodes } from "./link.js";
import { event, to } from "./stand-in.js";

for (const AdapterClass of [CountingAdapter, HeartbeatAdapter]) {
  const isHeartbeat = AdapterClass === HeartbeatAdapter;
  const missing = (count, expected) =>
    isHeartbeat
      ? `timeout reached: missing ${count} responses`
      : `timeout reached: only ${expected - count} responses received out of ${expected}`;

  describe(isHeartbeat ? "with heartbeats" : "with a count of servers", () => {
    it("has an id of 16 hexadecimal digits, and signs what it sends [CLU-1, CLU-3]", async (t) => {
      const {
        bus,
        nodes: [{ adapter }],
      } = startNodes(t, AdapterClass, 1);
      assert.match(adapter.uid, /^[0-9a-f]{16}$/);
      await adapter.broadcast(event("x"), to());
      const [message] = bus.published(MessageType.BROADCAST);
      assert.deepEqual(message, {
        uid: adapter.uid,
        nsp: "/",
        type: 3,
        data: { opts: { rooms: [], except: [], flags: {} }, packet: { type: 2, data: ["x"] } },
      });
    });

    it("reaches the sockets of all nodes, each once [CLU-2, CLU-4, CLU-5, CLU-10, EX-170, MIX-1, MIX-2]", async (t) => {
      const { nodes } = startNodes(t, AdapterClass, 3);
      await settle();
      await nodes[0].adapter.broadcast(event("everybody"), to());
      await nodes[1].adapter.broadcast(event("ones"), to(["ones", "2.1"], ["0.1"], { compress: false }));
      await nodes[2].adapter.broadcast(event("here"), to([], ["2.2"], { local: true }));
      await settle();
      assert.deepEqual(received(nodes), {
        0.1: [["everybody"]],
        0.2: [["everybody"]],
        1.1: [["everybody"], ["ones"]],
        1.2: [["everybody"]],
        2.1: [["everybody"], ["ones"], ["here"]],
        2.2: [["everybody"]],
      });
    });

    it("delivers here though the transport fails, after it has [CLU-10, CLU-14]", async (t) => {
      const { bus, nodes } = startNodes(t, AdapterClass, 1);
      bus.failure = new Error("broker is gone");
      await nodes[0].adapter.broadcast(event("x"), to(["0.1"]));
      await nodes[0].adapter.addSockets(to(["0.1"]), ["new"]);
      assert.deepEqual(received(nodes), { 0.1: [["x"]] });
      assert.ok(nodes[0].adapter.rooms.get("new").has("0.1"));
      bus.failure = null;
    });

    it("publishes before it delivers here [CLU-10]", async (t) => {
      const { bus, nodes } = startNodes(t, AdapterClass, 1);
      let release;
      bus.delay = () => new Promise((resolve) => (release = resolve));
      const done = nodes[0].adapter.broadcast(event("x"), to(["0.1"]));
      await settle();
      assert.deepEqual(received(nodes), {});
      release();
      await done;
      assert.deepEqual(received(nodes), { 0.1: [["x"]] });
      bus.delay = () => Promise.resolve();
    });

    it("appends offsets where recovery is on, at the last moment, and no empty ones [CLU-11, CLU-12]", async (t) => {
      const { bus, nodes } = startNodes(t, AdapterClass, 2, { opts: { connectionStateRecovery: {} } });
      await settle();
      const shown = [];
      nodes[0].nsp.sockets.get("0.1").notifyOutgoingListeners = (packet) => shown.push([...packet.data]);
      bus.offset = "17-0";
      await nodes[0].adapter.broadcast(event("kept"), to(["ones"]));
      await nodes[0].adapter.broadcast(event("lossy"), to(["ones"], [], { volatile: true }));
      bus.offset = "";
      await nodes[0].adapter.broadcast(event("plain"), to(["ones"]));
      assert.deepEqual(received(nodes), {
        0.1: [["kept", "17-0"], ["lossy"], ["plain"]],
        1.1: [["kept", "17-0"], ["lossy"], ["plain"]],
      });
      assert.deepEqual(shown, [["kept"], ["lossy"], ["plain"]]);
      assert.deepEqual(bus.published(MessageType.BROADCAST)[0].data.packet.data, ["kept"]);
    });

    it("appends no offset where recovery is off [CLU-11, EX-163]", async (t) => {
      const { bus, nodes } = startNodes(t, AdapterClass, 2);
      bus.offset = "17-0";
      await nodes[0].adapter.broadcast(event("x"), to(["ones"]));
      assert.deepEqual(received(nodes), { 0.1: [["x"]], 1.1: [["x"]] });
    });

    it("makes sockets join, leave and go, everywhere [CLU-14, MIX-5]", async (t) => {
      const { nodes } = startNodes(t, AdapterClass, 2);
      const { adapter } = nodes[0];
      await adapter.addSockets(to(["ones"]), ["a", "b"]);
      await adapter.delSockets(to(["1.1"]), ["a"]);
      await adapter.broadcast(event("a"), to(["a"]));
      await adapter.broadcast(event("b"), to(["b"]));
      await adapter.disconnectSockets(to(["b"]), true);
      await settle();
      assert.deepEqual(received(nodes), { 0.1: [["a"], ["b"]], 1.1: [["b"]] });
      for (const { nsp } of nodes) {
        const [one, two] = [...nsp.sockets.values()];
        assert.deepEqual(one.calls, [["disconnect", true]]);
        assert.deepEqual(two.calls, []);
      }
    });

    it("acts here only when told so [CLU-14, CLU-15, BRO-7]", async (t) => {
      const { bus, nodes } = startNodes(t, AdapterClass, 2);
      await settle();
      bus.log.length = 0;
      const { adapter, nsp } = nodes[0];
      const here = to([], [], { local: true });
      await adapter.addSockets(here, ["a"]);
      await adapter.delSockets(here, ["all"]);
      await adapter.disconnectSockets(here, false);
      assert.deepEqual(await adapter.fetchSockets(here), [...nsp.sockets.values()]);
      adapter.broadcastWithAck(
        event("ask"),
        here,
        () => {},
        () => {},
      );
      assert.deepEqual(bus.log, []);
    });

    it("finds the sockets of all nodes; its own as they are, others described [CLU-15, MIX-4]", async (t) => {
      const { nodes } = startNodes(t, AdapterClass, 3);
      await settle();
      const circular = { auth: {}, sessionStore: {} };
      circular.sessionStore.self = circular;
      nodes[1].nsp.sockets.get("1.1").handshake = circular;
      const found = await nodes[0].adapter.fetchSockets(to(["ones"]));
      assert.equal(found[0], nodes[0].nsp.sockets.get("0.1"));
      assert.deepEqual(found.slice(1), [
        { id: "1.1", handshake: { auth: {} }, rooms: ["1.1", "all", "ones"], data: { n: 1 } },
        { id: "2.1", handshake: { auth: { id: "2.1" } }, rooms: ["2.1", "all", "ones"], data: { n: 1 } },
      ]);
    });

    it("finds only its own when it is alone [CLU-15, CLU-18]", async (t) => {
      const { bus, nodes } = startNodes(t, AdapterClass, 1);
      assert.equal((await nodes[0].adapter.fetchSockets(to())).length, 2);
      assert.deepEqual(bus.published(MessageType.FETCH_SOCKETS), []);
    });

    it("gives up on a silent node after the time-out, by default 5 s [CLU-15, CLU-17, MIX-7]", async (t) => {
      const { nodes } = startNodes(t, AdapterClass, 3);
      await settle();
      nodes[2].adapter.receive = () => {};
      t.mock.timers.enable({ apis: ["setTimeout"] });
      const checks = [
        [to([], [], { timeout: 200 }), 200],
        [to(), 5000],
      ].map(async ([opts, ms]) => {
        const outcome = assert.rejects(nodes[0].adapter.fetchSockets(opts), { message: missing(1, 2) });
        await settle();
        t.mock.timers.tick(ms);
        await outcome;
      });
      await Promise.all(checks);
    });

    it("carries server-side events to the other nodes, never back [CLU-16, SSE-1, SSE-5]", async (t) => {
      const { nodes } = startNodes(t, AdapterClass, 3);
      await nodes[0].adapter.serverSideEmit(["hello", 1, { a: "b" }]);
      await settle();
      assert.deepEqual(
        nodes.map(({ nsp }) => nsp.serverSideEvents),
        [[], [["hello", 1, { a: "b" }]], [["hello", 1, { a: "b" }]]],
      );
    });

    it("collects one answer of each other node, the first value of its first call [CLU-16, SSE-3, SSE-5, EX-171, MIX-6]", async (t) => {
      const { nodes } = startNodes(t, AdapterClass, 3);
      await settle();
      nodes.forEach(({ nsp }, i) => {
        nsp._onServerSideEmit = ([name, answer]) => {
          answer(`${name} ${i}`, "second value");
          answer("second call");
        };
      });
      const outcome = await new Promise((resolve) => nodes[0].adapter.serverSideEmit(["ping", (...args) => resolve(args)]));
      assert.deepEqual(outcome, [null, ["ping 1", "ping 2"]]);
    });

    it("answers itself with nothing when it is alone [CLU-16, SSE-3]", async (t) => {
      const { nodes } = startNodes(t, AdapterClass, 1);
      const outcome = await new Promise((resolve) => nodes[0].adapter.serverSideEmit(["ping", (...args) => resolve(args)]));
      assert.deepEqual(outcome, [null, []]);
    });

    it("gives what it has when a node stays silent for 5 s [CLU-16, CLU-17, SSE-3, EX-172]", async (t) => {
      const { nodes } = startNodes(t, AdapterClass, 3);
      await settle();
      nodes[1].nsp._onServerSideEmit = ([, answer]) => answer("here");
      t.mock.timers.enable({ apis: ["setTimeout"] });
      const outcomes = [];
      nodes[0].adapter.serverSideEmit(["ping", (...args) => outcomes.push(args)]);
      await settle();
      t.mock.timers.tick(4999);
      assert.deepEqual(outcomes, []);
      t.mock.timers.tick(1);
      assert.equal(outcomes.length, 1);
      const [error, responses] = outcomes[0];
      assert.equal(error.message, missing(1, 2));
      assert.equal(error.code, "RC_ERR_TIMEOUT");
      assert.deepEqual(responses, ["here"]);
    });

    it("collects the answers of clients everywhere, and each node's count [CLU-13, ACK-26, MIX-3]", async (t) => {
      const { bus, nodes } = startNodes(t, AdapterClass, 3);
      const counts = [];
      const answers = [];
      nodes[2].adapter.delAll("2.1");
      nodes[0].adapter.broadcastWithAck(
        event("ask"),
        to(["ones"], [], { timeout: 1000 }),
        (count) => counts.push(count),
        (value) => answers.push(value),
      );
      await settle();
      assert.deepEqual(counts.sort(), [0, 1, 1]);
      for (const { nsp } of nodes) {
        for (const { id, acks } of nsp.sockets.values()) for (const answer of acks.values()) answer(`from ${id}`, "second value");
      }
      await settle();
      assert.deepEqual(answers.sort(), ["from 0.1", "from 1.1"]);
      assert.deepEqual(
        bus.published(MessageType.BROADCAST_CLIENT_COUNT).map(({ data }) => data.clientCount),
        [1, 0],
      );
      assert.match(bus.published(MessageType.BROADCAST)[0].data.requestId, /^[0-9a-f]{16}$/);
    });

    it("forgets a question to clients after its time-out, on both sides [CLU-13, MEM-5]", async (t) => {
      const { nodes } = startNodes(t, AdapterClass, 2);
      await settle();
      t.mock.timers.enable({ apis: ["setTimeout"] });
      const answers = [];
      nodes[0].adapter.broadcastWithAck(
        event("ask"),
        to(["1.1"], [], { timeout: 1000 }),
        () => {},
        (value) => answers.push(value),
      );
      await settle();
      const { acks } = nodes[1].nsp.sockets.get("1.1");
      const [late] = acks.values();
      t.mock.timers.tick(1000);
      assert.equal(acks.size, 0);
      late("too late");
      await settle();
      assert.deepEqual(answers, []);
    });

    it("hears only its own namespace, and not itself [CLU-4]", async (t) => {
      const bus = new Bus();
      const main = startNodes(t, AdapterClass, 2, { bus });
      const other = startNodes(t, AdapterClass, 1, { bus, name: "/other" });
      await main.nodes[0].adapter.broadcast(event("x"), to(["ones"]));
      await settle();
      assert.deepEqual(received(main.nodes), { 0.1: [["x"]], 1.1: [["x"]] });
      assert.deepEqual(received(other.nodes), {});
    });
  });
}

describe("peers that lie", () => {
  const uid = "00000000deadbeef";
  const opts = { rooms: [], except: [], flags: {} };
  const nothing = async (t, messages) => {
    const { bus, nodes } = startNodes(t, CountingAdapter, 1);
    const peer = bus.addPeer();
    for (const message of messages) await peer.send(message);
    await settle();
    assert.deepEqual(received(nodes), {});
    assert.deepEqual(nodes[0].nsp.serverSideEvents, []);
    assert.deepEqual(
      [...nodes[0].nsp.sockets.values()].flatMap(({ calls }) => calls),
      [],
    );
  };

  it("get nowhere with messages that are none [CLU-4, threat 31]", (t) => {
    const bodies = [
      null,
      1,
      "x",
      [],
      {},
      { type: 3 },
      { type: 3, data: null },
      { type: 3, data: [] },
      { type: 99, data: {} },
      { type: "3", data: { opts, packet: event("x") } },
    ];
    return nothing(t, [
      ...bodies,
      ...bodies.map((body) => ({ uid, nsp: "/", ...body })),
      { uid: 1, nsp: "/", type: 3, data: { opts, packet: event("x") } },
      { uid: "x".repeat(300), nsp: "/", type: 3, data: { opts, packet: event("x") } },
    ]);
  });

  it("get nowhere with options, packets and rooms of the wrong shape [threat 31]", (t) => {
    const broadcast = (data) => ({ uid, nsp: "/", type: 3, data: { opts, packet: event("x"), ...data } });
    return nothing(t, [
      ...[undefined, null, "all", [], {}, { rooms: "all" }, { rooms: [], except: "x" }].map((bad) => broadcast({ opts: bad })),
      ...[
        undefined,
        null,
        "x",
        [],
        { type: 2 },
        { type: 2, data: "x" },
        { type: 2, data: [] },
        { type: 2, data: [{}] },
        { type: 0, data: ["x"] },
        { type: 1, data: ["x"] },
      ].map((bad) => broadcast({ packet: bad })),
      broadcast({ requestId: {} }),
      broadcast({ opts: { ...opts, rooms: [null] } }), // to(undefined) matches nobody, also from afar
      ...[4, 5].flatMap((type) => [null, "a", [{}], {}].map((rooms) => ({ uid, nsp: "/", type, data: { opts, rooms } }))),
      { uid, nsp: "/", type: 6, data: { opts: {} } },
    ]);
  });

  it("cannot raise the server's own events [SSE-2, threat 31]", (t) =>
    nothing(
      t,
      ["connection", "connect", "new_namespace", "newListener", "removeListener", null, true, {}].map((name) => ({
        uid,
        nsp: "/",
        type: 9,
        data: { packet: [name, {}] },
      })),
    ));

  it("cannot throw by an event error without a listener [threat 31]", async (t) => {
    const {
      bus,
      nodes: [{ nsp }],
    } = startNodes(t, CountingAdapter, 1);
    const peer = bus.addPeer();
    nsp.listenerCount = () => 0;
    await peer.send({ uid, nsp: "/", type: 9, data: { packet: ["error", "x"] } });
    assert.deepEqual(nsp.serverSideEvents, []);
    nsp.listenerCount = () => 1;
    await peer.send({ uid, nsp: "/", type: 9, data: { packet: ["error", "x"] } });
    assert.deepEqual(nsp.serverSideEvents, [["error", "x"]]);
  });

  it("cannot plant prototypes or unknown flags [threat 31]", async (t) => {
    const {
      bus,
      nodes: [{ nsp }],
    } = startNodes(t, CountingAdapter, 1);
    const peer = bus.addPeer();
    const flags = JSON.parse('{"__proto__":{"volatile":true},"constructor":1,"volatile":"yes","compress":false,"timeout":-1}');
    await peer.send({ uid, nsp: "/", type: 3, data: { opts: { rooms: ["0.1"], except: [], flags }, packet: event("x") } });
    assert.deepEqual(nsp.sockets.get("0.1").written[0].options, { preEncoded: true, volatile: undefined, compress: false });
  });

  it("answer once, and as described [CLU-15, MEM-6]", async (t) => {
    const { bus, nodes } = startNodes(t, CountingAdapter, 2);
    const answer = (requestId, sockets) => ({ uid, nsp: "/", type: 8, data: { requestId, sockets } });
    const peer = bus.addPeer(({ type, data }) => {
      if (type !== MessageType.FETCH_SOCKETS) return;
      peer.send(answer("unknown", [{ id: "x" }]));
      peer.send(answer(data.requestId, "none"));
      peer.send(answer(data.requestId, [null, 1, {}, { id: 1 }, { id: "p", server: {}, rooms: "all", handshake: 1, join: 1 }]));
      peer.send(answer(data.requestId, [{ id: "again" }]));
    });
    const found = await nodes[0].adapter.fetchSockets(to(["ones"]));
    assert.deepEqual(
      found.slice(1).sort((a, b) => (a.id < b.id ? -1 : 1)),
      [
        { id: "1.1", handshake: { auth: { id: "1.1" } }, rooms: ["1.1", "all", "ones"], data: { n: 1 } },
        { id: "p", handshake: {}, rooms: [], data: undefined },
      ],
    );
  });

  it("count their clients once, and give no more answers than that [CLU-13, ACK-26]", async (t) => {
    const {
      bus,
      nodes: [{ adapter }],
    } = startNodes(t, CountingAdapter, 1);
    const peer = bus.addPeer(({ type, data }) => {
      if (type !== MessageType.BROADCAST) return;
      const { requestId } = data;
      for (const clientCount of [-1, 1.5, "3", null, 2, 7]) peer.send({ uid, nsp: "/", type: 11, data: { requestId, clientCount } });
      for (let i = 0; i < 5; i++) peer.send({ uid, nsp: "/", type: 12, data: { requestId, packet: i } });
    });
    const counts = [];
    const answers = [];
    adapter.broadcastWithAck(
      event("ask"),
      to(["nowhere"]),
      (count) => counts.push(count),
      (value) => answers.push(value),
    );
    await settle();
    assert.deepEqual(counts, [0, 2]);
    assert.deepEqual(answers, [0, 1]);
  });

  it("whose answers overtake their count are taken at their word [CLU-13]", async (t) => {
    const {
      bus,
      nodes: [{ adapter }],
    } = startNodes(t, CountingAdapter, 1);
    const peer = bus.addPeer(({ type, data: { requestId } = {} }) => {
      if (type !== MessageType.BROADCAST) return;
      peer.send({ uid, nsp: "/", type: 12, data: { requestId, packet: "early" } });
      peer.send({ uid, nsp: "/", type: 11, data: { requestId, clientCount: 1 } });
    });
    const heard = [];
    adapter.broadcastWithAck(
      event("ask"),
      to(["nowhere"]),
      (count) => heard.push(count),
      (value) => heard.push(value),
    );
    await settle();
    assert.deepEqual(heard, [0, "early", 1]);
  });
});

it("gives names and numbers of message types [CLU-2]", () => {
  assert.equal(MessageType.INITIAL_HEARTBEAT, 1);
  assert.equal(MessageType.ADAPTER_CLOSE, 13);
  assert.equal(MessageType[3], "BROADCAST");
  assert.equal(Object.keys(MessageType).length, 26);
});
