import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SessionAwareAdapter } from "../../../dist/server/adapter/session-aware-adapter.js";
import { connect, event, standIn, to } from "./stand-in.js";

const MINUTE = 60_000;
const WINDOW = 2 * MINUTE;
const GRACE = 25_000 + 2 * 20_000; // from the default heartbeat: one interval, two time-outs

/** An adapter under a fake clock, with a socket `s1` in rooms `s1` and `a`, and one `s2`. */
function create(t, recovery = {}) {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
  const nsp = standIn([], { opts: { connectionStateRecovery: { maxDisconnectionDuration: WINDOW, ...recovery } } });
  const adapter = new SessionAwareAdapter(nsp);
  t.after(() => adapter.close());
  const expired = [];
  adapter.on("session-expired", (session) => expired.push(session));
  const join = (id, ...rooms) => {
    connect(nsp, id);
    adapter.addAll(id, new Set([id, ...rooms]));
  };
  join("s1", "a");
  join("s2");
  return { nsp, adapter, expired, join, clock: t.mock.timers };
}

/** What `s1` does when its connection is lost, in the order in which a socket does it. */
function lose(nsp, adapter, id = "s1", pid = `p-${id}`) {
  adapter.persistSession({ sid: id, pid, rooms: [...adapter.socketRooms(id)], data: { name: id } });
  adapter.delAll(id);
  nsp.sockets.delete(id);
}

function emit(adapter, options, ...data) {
  const packet = event(...data);
  adapter.broadcast(packet, options);
  return packet.data[data.length];
}

describe("offsets", () => {
  it("are appended to events that can be replayed, and only to those [SES-1, CSR-3, EX-154]", (t) => {
    const { adapter } = create(t);
    const stored = event("hello", 1);
    adapter.broadcast(stored, to());
    assert.equal(stored.data.length, 3);
    assert.equal(typeof stored.data[2], "string");
    for (const [packet, flags] of [
      [{ type: 2, data: ["asked"], id: 3 }, {}],
      [{ type: 2, data: ["lossy"] }, { volatile: true }],
      [{ type: 4, data: ["other"] }, {}],
    ]) {
      adapter.broadcast(packet, to([], [], flags));
      assert.equal(packet.data.length, 1);
    }
  });

  it("are unique, safe in URLs and JSON, and increase as texts [SES-2, CSR-5]", (t) => {
    const { adapter } = create(t);
    const offsets = Array.from({ length: 2000 }, () => emit(adapter, to(), "x"));
    assert.deepEqual(offsets, [...new Set(offsets)].sort());
    assert.ok(offsets.every((offset) => /^[\w-]{1,20}$/.test(offset)));
  });

  it("go out with the event but stay hidden from outgoing listeners [SES-1, ANY-5, EX-162]", (t) => {
    const { nsp, adapter } = create(t);
    const shown = [];
    connect(nsp, "s3", { notifyOutgoingListeners: (packet) => shown.push(packet.data) });
    adapter.addAll("s3", new Set(["s3"]));
    const offset = emit(adapter, to(), "hello");
    assert.deepEqual(shown, [["hello"]]);
    assert.deepEqual(JSON.parse(nsp.sockets.get("s3").written[0].frames[0]).data, ["hello", offset]);
  });
});

describe("a session", () => {
  it("comes back with what it missed, in order, with offsets [SES-4, CSR-8, CSR-11, EX-150, EX-151]", async (t) => {
    const { nsp, adapter } = create(t);
    const seen = emit(adapter, to(), "seen");
    lose(nsp, adapter);
    const offsets = [
      emit(adapter, to(), "all"),
      emit(adapter, to(["a"]), "room"),
      emit(adapter, to(["s1"]), "private"),
      emit(adapter, to(["b", "a"]), "one of two"),
    ];
    emit(adapter, to(["b"]), "other room");
    emit(adapter, to([], ["a"]), "not room a");
    emit(adapter, to(["a"], ["s1"]), "not s1");
    const session = await adapter.restoreSession("p-s1", seen);
    assert.deepEqual(session, {
      sid: "s1",
      pid: "p-s1",
      rooms: ["s1", "a"],
      data: { name: "s1" },
      missedPackets: [
        ["all", offsets[0]],
        ["room", offsets[1]],
        ["private", offsets[2]],
        ["one of two", offsets[3]],
      ],
    });
  });

  it("is given back once [CSR-14, SES-7, EX-160]", async (t) => {
    const { nsp, adapter } = create(t);
    const seen = emit(adapter, to(), "seen");
    lose(nsp, adapter);
    assert.ok(await adapter.restoreSession("p-s1", seen));
    assert.equal(await adapter.restoreSession("p-s1", seen), null);
  });

  it("is not restored while a socket with its id is connected [CSR-14]", async (t) => {
    const { nsp, adapter, join } = create(t);
    const seen = emit(adapter, to(), "seen");
    lose(nsp, adapter);
    join("s1");
    assert.equal(await adapter.restoreSession("p-s1", seen), null);
  });

  it("is refused for an unknown pid or an offset never issued [SES-4, SES-5, CSR-12, CSR-19, EX-159]", async (t) => {
    const { nsp, adapter } = create(t);
    const seen = emit(adapter, to(), "seen");
    lose(nsp, adapter);
    assert.equal(await adapter.restoreSession("x", seen), null);
    const prefix = seen.slice(0, -2);
    for (const offset of [
      "",
      "y",
      "abc",
      prefix,
      `${prefix}12`,
      `${prefix}01`,
      `${prefix}1A`,
      `${prefix}9zzzzzzzzz`,
      `x${seen}`,
      `${seen}0`,
      1,
      null,
      {},
    ]) {
      assert.equal(await adapter.restoreSession("p-s1", offset), null, String(offset));
    }
    assert.ok(await adapter.restoreSession("p-s1", seen));
  });

  it("is refused by another adapter, such as that of a restarted server [CSR-12]", async (t) => {
    const { nsp, adapter } = create(t);
    const foreign = emit(new SessionAwareAdapter(nsp), to(), "x");
    emit(adapter, to(), "x");
    lose(nsp, adapter);
    assert.equal(await adapter.restoreSession("p-s1", foreign), null);
  });

  it("comes back though it never received an event [CSR-12]", async (t) => {
    const { nsp, adapter, join } = create(t);
    emit(adapter, to(), "before s3");
    join("s3");
    lose(nsp, adapter, "s3");
    const offset = emit(adapter, to(), "missed");
    const session = await adapter.restoreSession("p-s3", undefined);
    assert.deepEqual(session.missedPackets, [["missed", offset]]);
  });

  it("isn't sent what was emitted before it began, whatever offset it names [CSR-11]", async (t) => {
    const { nsp, adapter, join } = create(t);
    const early = emit(adapter, to(), "one");
    emit(adapter, to(), "two");
    join("s3");
    lose(nsp, adapter, "s3");
    const offset = emit(adapter, to(), "three");
    const session = await adapter.restoreSession("p-s3", early);
    assert.deepEqual(session.missedPackets, [["three", offset]]);
  });

  it("comes back long after the packet of its offset was dropped [CSR-12, SES-4]", async (t) => {
    const { nsp, adapter, clock } = create(t);
    const seen = emit(adapter, to(["s1"]), "seen");
    clock.tick(60 * MINUTE);
    emit(adapter, to(["elsewhere"]), "noise");
    clock.tick(60 * MINUTE);
    lose(nsp, adapter);
    const offset = emit(adapter, to(["s1"]), "missed");
    const session = await adapter.restoreSession("p-s1", seen);
    assert.deepEqual(session.missedPackets, [["missed", offset]]);
  });

  it("gets what was written into a dead connection before the heartbeat noticed [CSR-8, CSR-13]", async (t) => {
    const { nsp, adapter, clock } = create(t);
    const seen = emit(adapter, to(), "seen");
    const offset = emit(adapter, to(), "lost on the way");
    clock.tick(GRACE);
    lose(nsp, adapter);
    clock.tick(WINDOW);
    const session = await adapter.restoreSession("p-s1", seen);
    assert.deepEqual(session.missedPackets, [["lost on the way", offset]]);
  });

  it("gets what was emitted between its return and its admission, once [CSR-8, EX-150]", async (t) => {
    const { nsp, adapter, join } = create(t);
    const seen = emit(adapter, to(), "seen");
    lose(nsp, adapter);
    const session = await adapter.restoreSession("p-s1", seen);
    const offset = emit(adapter, to(), "meanwhile");
    const { missedPackets } = session;
    join("s1", "a");
    emit(adapter, to(), "live");
    assert.deepEqual(missedPackets, [["meanwhile", offset]]);
    assert.equal(session.missedPackets, missedPackets);
  });

  it("comes back again if the connection that brought it back is lost at once [CSR-6, CSR-8]", async (t) => {
    const { nsp, adapter, clock, join } = create(t);
    const seen = emit(adapter, to(), "seen");
    lose(nsp, adapter);
    const offset = emit(adapter, to(), "missed");
    for (let round = 0; round < 3; round++) {
      clock.tick(1000);
      const session = await adapter.restoreSession("p-s1", seen);
      assert.deepEqual(session.missedPackets, [["missed", offset]]);
      join("s1", "a");
      lose(nsp, adapter);
    }
  });

  it("is refused when what it was sent again at its last return is gone [CSR-12]", async (t) => {
    const { nsp, adapter, clock, join } = create(t);
    const seen = emit(adapter, to(), "seen");
    lose(nsp, adapter);
    emit(adapter, to(), "missed");
    clock.tick(WINDOW - 1);
    assert.ok(await adapter.restoreSession("p-s1", seen));
    join("s1", "a");
    clock.tick(GRACE); // nobody knows whether the replay arrived
    lose(nsp, adapter);
    clock.tick(2000);
    emit(adapter, to(["elsewhere"]), "noise"); // looks at the bounds, and drops what is too old
    assert.equal(await adapter.restoreSession("p-s1", seen), null);
  });

  it("keeps a copy of its rooms and of the options of what it missed [SES-3, SES-7]", async (t) => {
    const { nsp, adapter } = create(t);
    const seen = emit(adapter, to(), "seen");
    const rooms = ["s1", "a"];
    adapter.persistSession({ sid: "s1", pid: "p", rooms, data: {} });
    adapter.delAll("s1");
    nsp.sockets.delete("s1");
    const options = to(["a"], ["b"]);
    const offset = emit(adapter, options, "missed");
    rooms.length = 0;
    options.rooms.clear();
    options.rooms.add("elsewhere");
    options.except.add("a");
    assert.deepEqual((await adapter.restoreSession("p", seen)).missedPackets, [["missed", offset]]);
  });
});

describe("bounds", () => {
  it("end a session after the allowed time, to the millisecond [CSR-13, SES-4, SES-6, EX-156]", async (t) => {
    const { nsp, adapter, clock } = create(t, { maxDisconnectionDuration: 100 });
    const seen = emit(adapter, to(), "seen");
    lose(nsp, adapter);
    lose(nsp, adapter, "s2");
    clock.tick(100);
    assert.ok(await adapter.restoreSession("p-s1", seen));
    clock.tick(1);
    assert.equal(await adapter.restoreSession("p-s2", seen), null);
  });

  it("emit session-expired once for a session that was not recovered, without its secret [SES-6]", (t) => {
    const { nsp, adapter, expired, clock } = create(t);
    emit(adapter, to(), "the clean-up timer runs already");
    lose(nsp, adapter);
    clock.tick(WINDOW);
    assert.deepEqual(expired, []);
    clock.tick(1);
    clock.tick(WINDOW);
    assert.deepEqual(expired, [{ sid: "s1", rooms: ["s1", "a"], data: { name: "s1" } }]);
  });

  it("default to two minutes [CSR-13]", async (t) => {
    const { nsp, adapter, clock } = create(t, { maxDisconnectionDuration: undefined });
    const seen = emit(adapter, to(), "seen");
    lose(nsp, adapter);
    lose(nsp, adapter, "s2");
    clock.tick(120_000);
    assert.ok(await adapter.restoreSession("p-s1", seen));
    clock.tick(1);
    assert.equal(await adapter.restoreSession("p-s2", seen), null);
  });

  it("drop packets when their time is over, without new ones coming [CSR-13, SES-6]", (t) => {
    const { adapter, clock } = create(t);
    emit(adapter, to(), "x");
    assert.ok(adapter._packets.bytes > 0);
    clock.tick(WINDOW + GRACE + MINUTE);
    assert.equal(adapter._packets.bytes, 0);
  });

  it("stay within maxBytes by dropping the oldest, and refuse clients that have lost a packet by that [SES-7]", async (t) => {
    const { nsp, adapter, clock } = create(t, { maxBytes: 10_000 });
    const seen = emit(adapter, to(), "seen");
    lose(nsp, adapter);
    const text = "x".repeat(1000);
    let late;
    for (let i = 0; i < 20; i++) {
      clock.tick(1);
      if (i === 10) {
        late = emit(adapter, to(), "late");
        lose(nsp, adapter, "s2");
      }
      emit(adapter, to(), text);
      assert.ok(adapter._packets.bytes + adapter._sessionBytes <= 10_000);
    }
    assert.equal(await adapter.restoreSession("p-s1", seen), null);
    assert.equal(await adapter.restoreSession("p-s2", late), null);
  });

  it("drop the oldest sessions when there are too many [SES-7]", (t) => {
    const { nsp, adapter, expired, clock, join } = create(t, { maxBytes: 1800 });
    for (let i = 0; i < 10; i++) {
      clock.tick(1);
      join(`c${i}`);
      lose(nsp, adapter, `c${i}`);
    }
    assert.deepEqual(
      expired.map(({ sid }) => sid),
      ["c0", "c1", "c2", "c3", "c4", "c5", "c6"],
    );
  });

  it("count socket.data, however it is nested [ROB-208]", (t) => {
    const { nsp, adapter, expired, clock, join } = create(t, { maxBytes: 100_000 });
    const datas = {
      text: () => "x".repeat(40_000),
      bytes: () => ({ deep: [{ buffer: Buffer.alloc(40_000) }] }),
      map: () => new Map([["key", new Set(["x".repeat(40_000)])]]),
      many: () => Array.from({ length: 1000 }, () => ({})),
      circular: () => {
        const data = { text: "x".repeat(40_000) };
        return Object.assign(data, { self: data });
      },
    };
    for (const [name, make] of Object.entries(datas)) {
      for (let i = 0; i < 3; i++) {
        clock.tick(1);
        join(name + i);
        adapter.persistSession({ sid: name + i, pid: `p-${name}${i}`, rooms: [name + i], data: make() });
        adapter.delAll(name + i);
      }
      assert.ok(adapter._sessions.size <= 2, `${name}: ${adapter._sessions.size} sessions`);
      assert.ok(adapter._sessions.has(`p-${name}2`), name);
    }
    assert.ok(expired.length > 0 && nsp !== null);
  });

  it("leave no timer after close, and keep existing sessions [SES-7, SRV-65, SRV-66]", async (t) => {
    const { nsp, adapter, expired, clock } = create(t);
    const seen = emit(adapter, to(), "seen");
    lose(nsp, adapter);
    lose(nsp, adapter, "s2");
    adapter.close();
    clock.tick(WINDOW);
    assert.ok(await adapter.restoreSession("p-s1", seen));
    clock.tick(1);
    assert.deepEqual(expired, []);
  });

  it("don't keep what cannot be encoded", async (t) => {
    const { nsp, adapter } = create(t);
    const seen = emit(adapter, to(), "seen");
    lose(nsp, adapter);
    assert.throws(() => emit(adapter, to(), 1n), TypeError);
    assert.deepEqual((await adapter.restoreSession("p-s1", seen)).missedPackets, []);
  });
});
