/** Adapters on a namespace that is only `{ server: { encoder, opts } }`, as other projects construct them in their tests. */
import assert from "node:assert/strict";
import { describe, it, test } from "node:test";
import { ClusterAdapter } from "../../../dist/cluster/cluster-adapter.js";
import { SessionAwareAdapter } from "../../../dist/server/adapter/session-aware-adapter.js";
import { CountingAdapter, HeartbeatAdapter, settle, startNodes } from "./link.js";
import { event, to } from "./stand-in.js";

const bare = () => ({
  server: {
    encoder: { encode: (packet) => [JSON.stringify(packet)] },
    opts: { connectionStateRecovery: { maxDisconnectionDuration: 5000 } },
  },
});

test("keeps and restores sessions on a namespace that is only a server with encoder and options [ROB-560]", async () => {
  const adapter = new SessionAwareAdapter(bare());
  adapter.persistSession({ sid: "abc", pid: "def", data: "ghi", rooms: ["r1"] });
  const packet = event("hello");
  adapter.broadcast(packet, to());
  adapter.broadcast(event("missed"), to(["r1"]));
  const session = await adapter.restoreSession("def", packet.data[1]);
  assert.deepEqual([session.sid, session.rooms, session.data], ["abc", ["r1"], "ghi"]);
  assert.equal(session.missedPackets[0][0], "missed");
  adapter.close();
});

test("publishes on a namespace that is only a server with encoder and options [ROB-560]", async () => {
  const published = [];
  class Adapter extends ClusterAdapter {
    constructor(namespace) {
      super(namespace);
    }
    async doPublish({ type }) {
      published.push(type);
      return "";
    }
    async doPublishResponse() {}
  }
  const adapter = new Adapter(bare());
  assert.ok(adapter.requests instanceof Map && adapter.ackRequests instanceof Map);
  await adapter.broadcast(event("x"), to());
  await adapter.addSockets(to(), ["r"]);
  await adapter.delSockets(to(), ["r"]);
  await adapter.disconnectSockets(to(), true);
  assert.deepEqual(await adapter.fetchSockets(to()), []);
  adapter.broadcastWithAck(
    event("x"),
    to([], [], { timeout: 1 }),
    () => {},
    () => {},
  );
  assert.equal(adapter.ackRequests.size, 1);
  assert.deepEqual(published, [3, 4, 5, 6, 3]);
});

for (const [name, AdapterClass] of Object.entries({ ClusterAdapter: CountingAdapter, ClusterAdapterWithHeartbeat: HeartbeatAdapter })) {
  describe(name, () => {
    it("acts on its own sockets at once, on others as soon as the bus delivers [ROB-561, CLU-14]", async (t) => {
      const { bus, nodes } = startNodes(t, AdapterClass, 2);
      await settle();
      let deliver;
      bus.delay = () => ({ then: (resolve) => (deliver = resolve) }); // the bus delivers when the test says so
      const [here, there] = nodes.map(({ adapter }) => adapter);
      const roomsOf = (adapter) => ["0.1", "0.2", "1.1", "1.2"].flatMap((id) => [...(adapter.socketRooms(id) ?? [])]);
      here.addSockets(to(), ["late"]);
      assert.equal(roomsOf(here).filter((room) => room === "late").length, 2);
      assert.equal(roomsOf(there).filter((room) => room === "late").length, 0);
      await settle();
      deliver();
      await null;
      assert.equal(roomsOf(there).filter((room) => room === "late").length, 2);
      here.delSockets(to(), ["late"]);
      assert.equal(roomsOf(here).includes("late"), false);
      here.disconnectSockets(to(), true);
      assert.deepEqual(nodes[0].nsp.sockets.get("0.1").calls.at(-1), ["disconnect", true]);
    });

    it("does what was called first first: a broadcast reaches its sockets before they leave [ROB-561, CLU-14]", async (t) => {
      const { nodes } = startNodes(t, AdapterClass, 2);
      await settle();
      const { adapter, nsp } = nodes[0];
      const log = [];
      const socket = nsp.sockets.get("0.1");
      socket.client.writeToEngine = () => log.push("written");
      socket.disconnect = () => log.push("disconnected");
      adapter.broadcast(event("bye"), to());
      adapter.disconnectSockets(to(), false);
      await settle();
      assert.deepEqual(log, ["written", "disconnected"]);
    });
  });
}
