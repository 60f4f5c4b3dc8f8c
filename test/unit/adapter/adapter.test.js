import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Adapter } from "../../../dist/server/adapter/adapter.js";
import { PlainRooms } from "./plain-rooms.js";
import { connect, event, logRoomEvents, standIn, to } from "./stand-in.js";

/** A socket of ours, as far as the adapter can tell. */
function connectOwn(nsp, id) {
  return connect(nsp, id, {
    _writePrepared(frames, isVolatile) {
      this.written.push({ frames, isVolatile });
    },
  });
}

it("writes one prepared message to all sockets of this server [ADP-19, BRO-11]", () => {
  const nsp = standIn();
  const adapter = new Adapter(nsp);
  for (const id of ["s1", "s2"]) {
    connectOwn(nsp, id);
    adapter.addAll(id, new Set([id]));
  }
  adapter.broadcast(event("hello"), to([], [], { volatile: true, compress: false }));
  const [one] = nsp.sockets.get("s1").written;
  const [two] = nsp.sockets.get("s2").written;
  assert.equal(one.frames[0], two.frames[0]);
  assert.equal(one.frames[0].data, '{"type":2,"data":["hello"],"nsp":"/"}');
  assert.equal(one.frames[0].compress, false);
  assert.equal(one.isVolatile, true);
});

it("falls back to the client when a parser gives what cannot be prepared [ADP-30, ADP-35]", () => {
  const nsp = standIn([], { encode: () => [{ custom: 1 }] });
  const adapter = new Adapter(nsp);
  connectOwn(nsp, "s1");
  adapter.addAll("s1", new Set(["s1"]));
  adapter.broadcast(event("hello"), to());
  assert.deepEqual(nsp.sockets.get("s1").written[0].options, { preEncoded: true, volatile: undefined, compress: undefined });
});

it("serves our own sockets and others side by side [MEM-7, ADP-30]", () => {
  const nsp = standIn(["foreign"]);
  const adapter = new Adapter(nsp);
  connectOwn(nsp, "own");
  for (const id of ["own", "foreign"]) adapter.addAll(id, new Set([id]));
  adapter.broadcast(event("hello"), to());
  assert.ok(nsp.sockets.get("own").written[0].frames[0].data.includes("hello"));
  assert.ok(nsp.sockets.get("foreign").written[0].frames[0].includes("hello"));
});

it("doesn't keep a socket that is gone [ADP-31]", async () => {
  const nsp = standIn();
  const adapter = new Adapter(nsp);
  const old = connectOwn(nsp, "s1");
  adapter.addAll("s1", new Set(["s1", "a"]));
  assert.deepEqual(await adapter.fetchSockets(to(["a"])), [old]);
  nsp.sockets.delete("s1");
  adapter._release("s1"); // as the namespace does
  assert.deepEqual(await adapter.fetchSockets(to(["a"])), []);
  const next = connectOwn(nsp, "s1");
  assert.deepEqual(await adapter.fetchSockets(to(["a"])), [next]);
});

it("notices a replaced emit [MEM-9]", () => {
  const adapter = new Adapter(standIn());
  const seen = [];
  adapter.emit = (...args) => seen.push(args);
  adapter.addAll("s1", new Set(["s1"]));
  assert.deepEqual(seen, [
    ["create-room", "s1"],
    ["join-room", "s1", "s1"],
  ]);
});

it("agrees with plain Maps and Sets after random operations, with and without access to rooms and sids [ADP-11, ADP-12, ADP-31, ADP-40]", () => {
  const ids = ["s1", "s2", "s3", "s4"];
  const many = Array.from({ length: 140 }, (_, i) => `many${i}`);
  const names = [...ids, "a", "b", "c", 1, "many0", "many77", "many139"];
  const id = fc.constantFrom(...ids);
  const room = fc.constantFrom(...names);
  const rooms = fc.uniqueArray(room, { maxLength: 4 });
  const step = fc.oneof(
    fc.tuple(fc.constant("addAll"), id, rooms),
    fc.tuple(fc.constant("del"), id, room),
    fc.tuple(fc.constant("delAll"), id),
    fc.tuple(fc.constant("addAll"), id, fc.constant(many)),
    fc.tuple(fc.constant("select"), rooms, rooms),
    fc.tuple(fc.constantFrom("viewRooms", "viewSids", "viewOne"), id),
    fc.tuple(fc.constant("listen")),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const [plain, memory] = [PlainRooms, Adapter].map((AdapterClass) => new AdapterClass(standIn(ids)));
      const logs = [];
      for (const [verb, first, second] of steps) {
        if (verb === "listen") logs.push([logRoomEvents(plain), logRoomEvents(memory)]);
        else if (verb === "viewRooms") sameRooms(plain.rooms, memory.rooms);
        else if (verb === "viewSids") assert.deepStrictEqual(memory.sids, plain.sids);
        else if (verb === "viewOne") {
          assert.deepStrictEqual([...(memory.socketRooms(first) ?? "-")], [...(plain.socketRooms(first) ?? "-")]);
        } else if (verb === "select") {
          const chosen = [plain, memory].map((adapter) => adapter._select(to(first, second)).map((socket) => socket.id));
          assert.deepEqual(chosen[1], chosen[0]);
        } else for (const adapter of [plain, memory]) adapter[verb](first, verb === "addAll" ? new Set(second) : second);
      }
      sameRooms(plain.rooms, memory.rooms);
      for (const [expected, actual] of logs) assert.deepEqual(actual, expected);
    }),
    { numRuns: 2000 },
  );

  function sameRooms(expected, actual) {
    assert.deepStrictEqual(actual, expected);
    for (const [name, members] of expected) assert.deepEqual([...actual.get(name)], [...members]);
  }
});

it("agrees with plain Maps and Sets when many sockets join and leave [ADP-11, ADP-12, ADP-31]", () => {
  const ids = Array.from({ length: 60 }, (_, i) => `s${i}`);
  const names = Array.from({ length: 130 }, (_, i) => `room${i}`);
  const crowd = fc.subarray(ids);
  const few = fc.subarray(names.slice(0, 5), { minLength: 1 });
  const step = fc.oneof(
    fc.tuple(fc.constant("addAll"), crowd, few),
    fc.tuple(fc.constant("addAll"), fc.subarray(ids, { maxLength: 3 }), fc.constant(names)),
    fc.tuple(fc.constant("del"), crowd, few),
    fc.tuple(fc.constant("delAll"), crowd, fc.constant([])),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const adapters = [PlainRooms, Adapter].map((AdapterClass) => new AdapterClass(standIn(ids)));
      for (const [verb, crowd, rooms] of steps) {
        for (const adapter of adapters) {
          for (const id of crowd) {
            if (verb === "del") for (const room of rooms) adapter.del(id, room);
            else adapter[verb](id, new Set(rooms));
          }
        }
        for (const room of [...names.slice(0, 5), names.at(-1)]) {
          const [expected, actual] = adapters.map((adapter) => adapter._select(to([room])).map(({ id }) => id));
          assert.deepEqual(actual, expected);
        }
        for (const id of ids) {
          const [expected, actual] = adapters.map((adapter) => [...(adapter.socketRooms(id) ?? "-")]);
          assert.deepEqual(actual, expected);
        }
      }
      assert.deepStrictEqual(adapters[1].rooms, adapters[0].rooms);
    }),
    { numRuns: 300 },
  );
});

it("agrees with plain Maps and Sets when thousands of rooms go and come again [ADP-11, ADP-31, ADP-40]", () => {
  const names = Array.from({ length: 5000 }, (_, i) => `room${i}`);
  const adapters = [PlainRooms, Adapter].map((AdapterClass) => new AdapterClass(standIn(["s1", "s2"])));
  const [plain, memory] = adapters;
  const each = (work) => adapters.forEach(work);
  const check = () => {
    for (const name of ["room0", "room7", "room10", "room4999"]) {
      const found = adapters.map((adapter) => adapter._select(to([name, "s1"], ["room3"])).map(({ id }) => id));
      assert.deepEqual(found[1], found[0]);
    }
  };
  each((adapter) => adapter.addAll("s1", new Set(["s1", ...names])));
  each((adapter) => adapter.addAll("s2", new Set(["s2", ...names.filter((_, i) => i % 10 === 0)])));
  for (let round = 0; round < 3; round++) {
    each((adapter) => names.forEach((name, i) => i !== 7 && adapter.del("s1", name)));
    check();
    each((adapter) => adapter.addAll("s1", new Set(names.slice(0, 3000 - round * 1000))));
    check();
    each((adapter) => adapter.delAll("s1"));
    check();
    each((adapter) => adapter.addAll("s1", new Set(["s1", "room7", "room4999"])));
    check();
  }
  const logs = adapters.map((adapter) => logRoomEvents(adapter));
  each((adapter) => adapter.addAll("s1", new Set(["room8", "room10"])));
  each((adapter) => adapter.delAll("s1"));
  assert.deepEqual(logs[1], logs[0]);
  assert.deepStrictEqual(memory.rooms, plain.rooms);
  assert.deepStrictEqual(memory.sids, plain.sids);
});

it("agrees with plain Maps and Sets when listeners of its events join and leave [ADP-11, ADP-40]", () => {
  const logs = [PlainRooms, Adapter].map((AdapterClass) => {
    const adapter = new AdapterClass(standIn(["s1", "s2"]));
    const log = logRoomEvents(adapter);
    adapter.on("create-room", (room) => adapter.addAll("s1", new Set([room])));
    adapter.on("leave-room", (room, id) => {
      if (room === "a") adapter.addAll(id, new Set(["late"]));
      if (room === "b") adapter.del(id, "c");
    });
    adapter.addAll("s1", new Set(["s1", "a", "b", "c"]));
    adapter.addAll("s2", new Set(["s2", "b", "c"]));
    adapter.del("s2", "b");
    adapter.delAll("s1");
    log.push(
      [...adapter.rooms].map(([room, ids]) => [room, [...ids]]),
      [...adapter.sids].map(([id, rooms]) => [id, [...rooms]]),
    );
    return log;
  });
  assert.deepEqual(logs[1], logs[0]);
});

it("forgets a socket though a listener makes it join again what it leaves [ADP-11]", () => {
  const adapter = new Adapter(standIn(["s1", "s2"]));
  const left = [];
  adapter.on("leave-room", (room, id) => {
    left.push(room);
    adapter.addAll(id, new Set([room]));
  });
  adapter.addAll("s1", new Set(["s1", "a", "b"]));
  adapter.addAll("s2", new Set(["s2", "b"]));
  adapter.delAll("s1");
  assert.deepEqual(left, ["s1", "a", "b"]);
  assert.deepEqual([...adapter.sids.keys()], ["s2"]);
  assert.deepStrictEqual(
    adapter.rooms,
    new Map([
      ["b", new Set(["s2"])],
      ["s2", new Set(["s2"])],
    ]),
  );
});

describe("listeners of room events", () => {
  const all = (adapter) => [...adapter.rooms].map(([room, ids]) => [room, ...ids]);

  it(`keeps nothing of a socket when a listener lets it leave the room that it is joining [ADP-40]`, () => {
    const adapter = new Adapter(standIn(["s1"]));
    const log = logRoomEvents(adapter);
    adapter.on("create-room", (room) => room === "a" && adapter.del("s1", "a"));
    adapter.addAll("s1", new Set(["s1", "a", "b"]));
    assert.deepEqual(log.slice(2, 5), ["create-room a", "delete-room a", "create-room b"]);
    assert.deepEqual(all(adapter), [
      ["s1", "s1"],
      ["b", "s1"],
    ]);
    assert.deepEqual([...adapter.socketRooms("s1")], ["s1", "b"]);
    adapter.delAll("s1");
    assert.deepEqual(all(adapter), []);
  });

  for (const name of ["create-room", "join-room"]) {
    it(`keeps nothing of a socket that disconnects while it joins, ${name} [ADP-31, ADP-40]`, () => {
      const adapter = new Adapter(standIn(["s1"]));
      const log = logRoomEvents(adapter);
      adapter.on(name, (room) => room === "a" && adapter.delAll("s1"));
      adapter.addAll("s1", new Set(["s1", "a", "b"]));
      assert.deepEqual(all(adapter), []);
      assert.deepEqual([...adapter.sids], []);
      assert.ok(!log.includes("create-room b"));
      const count = (event) => log.filter((line) => line.startsWith(event)).length;
      assert.equal(count("create-room"), count("delete-room"));
    });
  }
});

it("keeps a room that a listener empties while another socket is about to join [ADP-40]", () => {
  const adapter = new Adapter(standIn(["s1", "s2"]));
  const log = logRoomEvents(adapter);
  adapter.on("create-room", (room) => {
    adapter.addAll("s2", new Set([room]));
    adapter.del("s2", room);
  });
  adapter.addAll("s1", new Set(["a"]));
  assert.deepEqual(log, ["create-room a", "join-room a s2", "leave-room a s2", "join-room a s1"]);
  assert.deepEqual(adapter.rooms, new Map([["a", new Set(["s1"])]]));
});

it("drops a room when a listener throws while its first member joins, and lets the member join later [ADP-40]", () => {
  const adapter = new Adapter(standIn(["s1"]));
  adapter.once("create-room", () => {
    throw new Error("mine");
  });
  assert.throws(() => adapter.addAll("s1", new Set(["a"])), /mine/);
  assert.deepEqual(adapter.rooms, new Map());
  assert.deepEqual([...adapter.socketRooms("s1")], []);
  for (const again of [1, 2]) adapter.addAll("s1", new Set(["a", `b${again}`]));
  assert.deepEqual(
    adapter._select(to(["a"])).map(({ id }) => id),
    ["s1"],
  );
  adapter.delAll("s1");
  assert.deepEqual(adapter.rooms, new Map());
});
