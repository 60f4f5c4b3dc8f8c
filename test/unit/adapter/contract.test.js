/** What every adapter of one process owes a namespace; run over both adapters of one process. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { describe, it } from "node:test";
import { Adapter } from "../../../dist/server/adapter/adapter.js";
import { SessionAwareAdapter } from "../../../dist/server/adapter/session-aware-adapter.js";
import { connect, event, logRoomEvents, reached, standIn, to } from "./stand-in.js";

for (const AdapterClass of [Adapter, SessionAwareAdapter]) {
  const create = (ids, options) => {
    const nsp = standIn(ids, options);
    return { nsp, adapter: new AdapterClass(nsp) };
  };

  describe(AdapterClass.name, () => {
    it("is an emitter built on a bare stand-in [ADP-4, ADP-6, ADP-10, ADP-13, MEM-7]", () => {
      const { nsp, adapter } = create();
      assert.ok(adapter instanceof EventEmitter);
      assert.ok(adapter instanceof Adapter);
      assert.equal(adapter.nsp, nsp);
      assert.equal(adapter.encoder, nsp.server.encoder);
    });

    it("has a life cycle without effect, and counts one server [ADP-2, ADP-14, ADP-15]", async () => {
      const { adapter } = create();
      adapter.init();
      adapter.init();
      assert.equal(await adapter.serverCount(), 1);
      assert.equal(await adapter.close(), undefined);
    });

    it("keeps rooms and ids in real Maps and Sets [ADP-11, ADP-12]", () => {
      const { adapter } = create();
      adapter.addAll("s1", new Set(["s1", "r1"]));
      adapter.addAll("s2", new Set(["s2", "r1", "r2"]));
      assert.deepStrictEqual(
        adapter.rooms,
        new Map([
          ["s1", new Set(["s1"])],
          ["r1", new Set(["s1", "s2"])],
          ["s2", new Set(["s2"])],
          ["r2", new Set(["s2"])],
        ]),
      );
      assert.deepStrictEqual(
        adapter.sids,
        new Map([
          ["s1", new Set(["s1", "r1"])],
          ["s2", new Set(["s2", "r1", "r2"])],
        ]),
      );
    });

    it("keeps what it has given out up to date [ADP-11, ADP-12, ADP-22]", () => {
      const { adapter } = create();
      adapter.addAll("s1", new Set(["s1"]));
      const { rooms, sids } = adapter;
      const joined = adapter.socketRooms("s1");
      adapter.addAll("s1", new Set(["r1"]));
      adapter.addAll("s2", new Set(["s2", "r1"]));
      assert.deepStrictEqual(joined, new Set(["s1", "r1"]));
      const members = rooms.get("r1");
      assert.deepStrictEqual(members, new Set(["s1", "s2"]));
      adapter.del("s1", "r1");
      assert.deepStrictEqual(joined, new Set(["s1"]));
      assert.deepStrictEqual(members, new Set(["s2"]));
      adapter.delAll("s2");
      assert.deepStrictEqual([...rooms.keys()], ["s1"]);
      assert.deepStrictEqual([...sids.keys()], ["s1"]);
      assert.equal(adapter.rooms, rooms);
      assert.equal(adapter.sids, sids);
      assert.equal(adapter.socketRooms("s1"), joined);
    });

    it("adds at once and returns undefined; twice is once [ADP-16, ADP-43, ROOM-1, ROOM-3]", () => {
      const { adapter } = create();
      assert.equal(adapter.addAll("s1", new Set(["r1"])), undefined);
      adapter.addAll("s1", new Set(["r1"]));
      assert.deepStrictEqual(adapter.socketRooms("s1"), new Set(["r1"]));
      assert.deepStrictEqual(adapter.rooms.get("r1"), new Set(["s1"]));
    });

    it("knows an id that joined nothing [ADP-16]", () => {
      const { adapter } = create();
      adapter.addAll("s1", new Set());
      assert.deepStrictEqual(adapter.socketRooms("s1"), new Set());
      assert.equal(adapter.socketRooms("s2"), undefined);
    });

    it("ignores leaving what was never joined [ADP-17, ADP-18, ROOM-3]", () => {
      const { adapter } = create();
      adapter.addAll("s1", new Set(["s1", "r1"]));
      adapter.del("s1", "r2");
      adapter.del("s2", "r1");
      adapter.delAll("s2");
      assert.deepStrictEqual(adapter.socketRooms("s1"), new Set(["s1", "r1"]));
    });

    it("keeps the order of joining, own room included [MID-7, ROOM-3]", () => {
      const { adapter } = create();
      adapter.addAll("s1", new Set(["early", "s1", "late"]));
      adapter.addAll("s2", new Set(["s2"]));
      adapter.addAll("s2", new Set(["a"]));
      adapter.del("s2", "s2");
      adapter.addAll("s2", new Set(["b", "s2"]));
      assert.deepEqual([...adapter.socketRooms("s1")], ["early", "s1", "late"]);
      assert.deepEqual([...adapter.socketRooms("s2")], ["a", "b", "s2"]);
    });

    it("doesn't take a number for a text [ROOM-2]", () => {
      const { nsp, adapter } = create(["s1"]);
      adapter.addAll("s1", new Set([1]));
      adapter.broadcast(event("x"), to(["1"]));
      assert.deepEqual(reached(nsp), []);
      adapter.broadcast(event("x"), to([1]));
      assert.deepEqual(reached(nsp), ["s1"]);
    });

    it("emits room events as they happen, own room included [ADP-40, ADP-42, ADP-43, ADP-44]", () => {
      const { adapter } = create();
      const log = logRoomEvents(adapter);
      adapter.addAll("s1", new Set(["s1"]));
      adapter.addAll("s1", new Set(["a"]));
      adapter.addAll("s1", new Set(["a", "b"]));
      adapter.del("s1", "b");
      adapter.del("s1", "b");
      adapter.delAll("s1");
      assert.deepEqual(log, [
        "create-room s1",
        "join-room s1 s1",
        "create-room a",
        "join-room a s1",
        "create-room b",
        "join-room b s1",
        "leave-room b s1",
        "delete-room b",
        "leave-room s1 s1",
        "delete-room s1",
        "leave-room a s1",
        "delete-room a",
      ]);
    });

    it("has rooms that were joined before a listener was added [ADP-40, ADP-42]", () => {
      const { adapter } = create();
      adapter.addAll("s1", new Set(["s1", "a"]));
      adapter.addAll("s2", new Set(["s2"]));
      const log = logRoomEvents(adapter);
      adapter.delAll("s1");
      adapter.del("s2", "s2");
      assert.deepEqual(log, [
        "leave-room s1 s1",
        "delete-room s1",
        "leave-room a s1",
        "delete-room a",
        "leave-room s2 s2",
        "delete-room s2",
      ]);
    });

    it("shows the state that belongs to each event [ADP-41, ADP-42]", () => {
      const { adapter } = create();
      const seen = [];
      adapter.on("create-room", (room) => {
        seen.push(["create", adapter.rooms.has(room), adapter.rooms.get(room).size, adapter.sids.get("s1").has(room)]);
      });
      adapter.on("leave-room", (room, id) => seen.push(["leave", adapter.rooms.get(room).has(id)]));
      adapter.on("delete-room", (room) => seen.push(["delete", adapter.rooms.has(room)]));
      adapter.addAll("s1", new Set(["s1", "a"]));
      adapter.delAll("s1");
      assert.deepEqual(seen, [
        ["create", true, 0, true],
        ["create", true, 0, true],
        ["leave", false],
        ["delete", false],
        ["leave", false],
        ["delete", false],
      ]);
    });

    it("writes to all sockets without rooms, except those that are not connected [ADP-19, ADP-31, ADP-34]", () => {
      const { nsp, adapter } = create(["s1", "s2"]);
      for (const id of ["s1", "s2", "s3"]) adapter.addAll(id, new Set([id]));
      const packet = event("hello");
      assert.equal(adapter.broadcast(packet, to()), undefined);
      assert.deepEqual(reached(nsp), ["s1", "s2"]);
      assert.equal(packet.nsp, "/");
    });

    it("encodes once, and not at all without receivers [ADP-19, BRO-11]", () => {
      const { nsp, adapter } = create(["s1", "s2", "s3"]);
      for (const id of nsp.sockets.keys()) adapter.addAll(id, new Set([id, "all"]));
      adapter.broadcast(event("hello"), to(["all"]));
      assert.equal(nsp.encoded, 1);
      if (AdapterClass === SessionAwareAdapter) return; // it encodes what it keeps
      adapter.broadcast(event("hello"), to(["nowhere"]));
      assert.equal(nsp.encoded, 1);
    });

    it("passes the encoded frames with their options [ADP-30, ADP-35, MEM-7]", () => {
      const { nsp, adapter } = create(["s1"], { encode: () => ["text", Buffer.from([1])] });
      adapter.addAll("s1", new Set(["s1"]));
      adapter.broadcast({ type: 2, data: ["a"], id: 1 }, to([], [], { volatile: true, compress: false }));
      const [{ frames, options }] = nsp.sockets.get("s1").written;
      assert.deepEqual(frames, ["text", Buffer.from([1])]);
      assert.deepEqual(options, { preEncoded: true, volatile: true, compress: false });
    });

    it("calls outgoing listeners before it writes [ADP-30]", () => {
      const { nsp, adapter } = create();
      const order = [];
      connect(nsp, "s1", {
        notifyOutgoingListeners: (packet) => order.push(packet.data),
        client: { writeToEngine: () => order.push("write") },
      });
      adapter.addAll("s1", new Set(["s1"]));
      adapter.broadcast(event("hello", 1), to());
      assert.deepEqual(order, [["hello", 1], "write"]); // without the offset that recovery adds [ANY-5]
    });

    for (const [title, rooms, except, expected] of [
      ["one room", ["a"], undefined, ["s1", "s2"]],
      ["the union of rooms, each once", ["a", "b"], [], ["s1", "s2", "s3"]],
      ["rooms without those in excluded ones", ["a", "b"], ["b"], ["s1"]],
      ["everybody but one's own room", [], ["s1"], ["s2", "s3"]],
      ["own rooms", ["s1", "s3"], [], ["s1", "s3"]],
      ["nobody in an unknown room", ["x"], [], []],
      ["nobody for undefined", [undefined], [], []],
      ["everybody if excluded rooms are unknown", [], ["x", undefined], ["s1", "s2", "s3"]],
    ]) {
      it(`reaches ${title} [ADP-23, ADP-31, BRO-3, BRO-4]`, async () => {
        const { nsp, adapter } = create(["s1", "s2", "s3"]);
        adapter.addAll("s1", new Set(["s1", "a"]));
        adapter.addAll("s2", new Set(["s2", "a", "b"]));
        adapter.addAll("s3", new Set(["s3", "b"]));
        const before = new Map([...nsp.sockets].map(([id]) => [id, 0]));
        adapter.broadcast(event("hello"), to(rooms, except));
        for (const [id, socket] of nsp.sockets) before.set(id, socket.written.length);
        assert.deepEqual(
          [...before].filter(([, count]) => count === 1).map(([id]) => id),
          expected,
        );
        assert.ok([...before.values()].every((count) => count <= 1));
        const fetched = await adapter.fetchSockets(to(rooms, except));
        assert.deepEqual(fetched.map((socket) => socket.id).sort(), expected);
        assert.ok(fetched.every((socket) => socket === nsp.sockets.get(socket.id)));
      });
    }

    it("goes by the order of rooms, then of joining [ADP-31]", async () => {
      const { adapter } = create(["s1", "s2", "s3"]);
      adapter.addAll("s3", new Set(["b"]));
      adapter.addAll("s1", new Set(["b", "a"]));
      adapter.addAll("s2", new Set(["a"]));
      const order = async (rooms) => (await adapter.fetchSockets(to(rooms))).map((socket) => socket.id);
      assert.deepEqual(await order(["a", "b"]), ["s1", "s2", "s3"]);
      assert.deepEqual(await order(["b", "a"]), ["s3", "s1", "s2"]);
      assert.deepEqual(await order([]), ["s3", "s1", "s2"]);
    });

    it("survives sockets that leave, join and broadcast while it delivers [ADP-32]", () => {
      const { nsp, adapter } = create();
      for (const id of ["s1", "s2", "s3"]) {
        connect(nsp, id, {
          notifyOutgoingListeners: (packet) => {
            if (packet.data[0] !== "outer") return;
            adapter.delAll(id);
            adapter.addAll(`new-${id}`, new Set(["a"]));
            connect(nsp, `new-${id}`);
            adapter.broadcast(event("inner"), to(["a", "b"]));
          },
        });
        adapter.addAll(id, new Set([id, "a", "b"]));
      }
      adapter.broadcast(event("outer"), to(["a", "b"]));
      for (const id of ["s1", "s2", "s3"]) {
        const outer = nsp.sockets.get(id).written.filter(({ frames }) => frames[0].includes("outer"));
        assert.equal(outer.length, 1, id);
      }
      const late = nsp.sockets.get("new-s3").written.map(({ frames }) => JSON.parse(frames[0]).data[0]);
      assert.deepEqual(late, ["inner"]);
    });

    it("reaches a room named like the id of another socket, and that socket first [ADP-31]", () => {
      const { nsp, adapter } = create(["s1", "s2"]);
      adapter.addAll("s1", new Set(["s1"]));
      adapter.addAll("s2", new Set(["s2", "s1"]));
      adapter.broadcast(event("x"), to(["s1"]));
      assert.deepEqual(reached(nsp), ["s1", "s2"]);
      assert.deepStrictEqual(adapter.rooms.get("s1"), new Set(["s1", "s2"]));
      assert.deepStrictEqual(adapter.socketRooms("s1"), new Set(["s1"]));
      adapter.delAll("s1");
      assert.deepStrictEqual(adapter.rooms.get("s1"), new Set(["s2"]));
    });

    it("collects answers under the next id, and counts the receivers [ADP-20, MEM-3, MEM-4, ACK-27]", () => {
      const { nsp, adapter } = create(["s1", "s2"]);
      nsp._ids = 7;
      for (const id of ["s1", "s2", "s3"]) adapter.addAll(id, new Set([id]));
      const counts = [];
      const answers = [];
      const packet = event("ask");
      adapter.broadcastWithAck(
        packet,
        to(),
        (count) => counts.push(count),
        (...values) => answers.push(values),
      );
      assert.deepEqual(counts, [2]);
      assert.equal(packet.id, 7);
      assert.equal(nsp._ids, 8);
      nsp.sockets.get("s1").acks.get(7)("a", "b");
      nsp.sockets.get("s2").acks.get(7)("c");
      assert.deepEqual(answers, [["a", "b"], ["c"]]);
      adapter.broadcastWithAck(
        event("ask"),
        to(["nowhere"]),
        (count) => counts.push(count),
        () => {},
      );
      assert.deepEqual(counts, [2, 0]);
    });

    it("gives the ids of connected sockets in rooms [ADP-21]", async () => {
      const { adapter } = create(["s1", "s2"]);
      for (const id of ["s1", "s2", "s3"]) adapter.addAll(id, new Set([id, "all"]));
      assert.deepStrictEqual(await adapter.sockets(new Set(["s1"])), new Set(["s1"]));
      assert.deepStrictEqual(await adapter.sockets(new Set(["all"])), new Set(["s1", "s2"]));
      assert.deepStrictEqual(await adapter.sockets(new Set()), new Set(["s1", "s2"]));
    });

    it("makes sockets join, leave and go [ADP-24, ADP-25]", () => {
      const { nsp, adapter } = create(["s1", "s2"]);
      for (const id of nsp.sockets.keys()) adapter.addAll(id, new Set([id]));
      adapter.addSockets(to([], ["s2"]), ["a", "b"]);
      adapter.delSockets(to(["s1"]), ["a", "b"]);
      adapter.disconnectSockets(to(["s1"]), true);
      assert.deepEqual(nsp.sockets.get("s1").calls, [
        ["join", ["a", "b"]],
        ["leave", "a"],
        ["leave", "b"],
        ["disconnect", true],
      ]);
      assert.deepEqual(nsp.sockets.get("s2").calls, []);
    });

    it("has no peers: warns once, and answers with nothing [ADP-26, SSE-6, EX-175]", async (t) => {
      const warn = t.mock.method(console, "warn", () => {});
      const { adapter } = create();
      adapter.serverSideEmit(["hello"]);
      const answer = await new Promise((resolve) => adapter.serverSideEmit(["hello", (...args) => resolve(args)]));
      assert.deepEqual(answer, [null, []]);
      assert.deepEqual(
        warn.mock.calls.map((call) => call.arguments),
        [["this adapter does not support the serverSideEmit() functionality"]],
      );
    });

    it("restores nothing it never kept [ADP-27, ADP-28]", async () => {
      const { adapter } = create();
      assert.equal(await adapter.restoreSession("pid", "offset"), null);
    });
  });
}

it("lets subclasses replace what they like and call the rest [ADP-1, EX-180]", () => {
  const nsp = standIn(["s1"]);
  const log = [];
  class Logging extends Adapter {
    broadcast(packet, opts) {
      log.push(packet.data);
      super.broadcast(packet, opts);
    }
  }
  const adapter = new Logging(nsp);
  adapter.addAll("s1", new Set(["s1"]));
  adapter.broadcast(event("hello"), to());
  assert.deepEqual(log, [["hello"]]);
  assert.deepEqual(reached(nsp), ["s1"]);
});

it("keeps nothing of a session in the base class [ADP-27]", () => {
  const adapter = new Adapter(standIn());
  assert.equal(adapter.persistSession({ sid: "s", pid: "p", rooms: [], data: {} }), undefined);
  assert.equal(adapter.restoreSession("p", "o"), null);
});
