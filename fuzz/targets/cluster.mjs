// Messages of the bus at an adapter with sockets: whatever arrives, nothing throws and nothing grows.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { connect, standIn } from "../../test/unit/adapter/stand-in.js";

const require = createRequire(import.meta.url);
const { ClusterAdapterWithHeartbeat } = require("../../dist/cluster/heartbeat-cluster-adapter.js");

class SilentAdapter extends ClusterAdapterWithHeartbeat {
  doPublish() {
    return Promise.resolve("");
  }

  doPublishResponse() {
    return Promise.resolve();
  }
}

const message = (type, data) => JSON.stringify({ uid: "other", nsp: "/", type, data });
const opts = { rooms: ["a"], except: [], flags: { volatile: true, timeout: 100 } };
const seeds = [
  message(1),
  message(2),
  message(12),
  message(3, { opts, packet: { type: 2, data: ["event", 1, { b: "c" }] } }),
  message(3, { opts: { rooms: [], except: ["b"] }, packet: { type: 2, data: ["event"] }, requestId: "r1" }),
  message(4, { opts, rooms: ["x", 1] }),
  message(5, { opts, rooms: ["a"] }),
  message(6, { opts, close: true }),
  message(7, { opts, requestId: "r2" }),
  message(8, { requestId: "pending", sockets: [{ id: "s9", handshake: {}, rooms: ["a"], data: {} }] }),
  message(9, { packet: ["hello", 1] }),
  message(9, { packet: ["hello", 1], requestId: "r3" }),
  message(10, { requestId: "pending", packet: "answer" }),
  message(10, { requestId: "acks", clientCount: 2 }),
  message(11, { requestId: "acks", packet: ["yes"] }),
];

export const targets = {
  "cluster-messages"() {
    const nsp = standIn([]);
    for (const id of ["s1", "s2", "s3"]) connect(nsp, id, { handshake: { sessionStore: {} }, rooms: new Set([id, "a"]), data: {} });
    nsp.listenerCount = () => 0;
    const adapter = new SilentAdapter(nsp);
    for (const id of nsp.sockets.keys()) adapter.addAll(id, new Set([id, "a"]));
    return {
      seeds,
      dictionary: [
        ...'[]{}",:0123456789-'.split(""),
        ...[
          '"uid":',
          '"nsp":"/"',
          '"type":',
          '"data":',
          '"opts":',
          '"rooms":[]',
          '"except":',
          '"flags":',
          '"requestId":"pending"',
          '"packet":',
        ],
        ...['"__proto__":', '"constructor":', "null", "true", "1e999", '"toString"', '"connect"', '"error"', '"timeout":'],
      ],
      run(input) {
        let value;
        try {
          value = JSON.parse(input.toString("utf8"));
        } catch {
          value = input.toString("utf8");
        }
        adapter.requests.set("pending", { onAnswer() {}, onNodeRemoved() {} });
        adapter.ackRequests.set("acks", { onClientCount() {}, onAck() {}, onLeave() {}, onNodeRemoved() {} });
        adapter.onMessage(value, "1-1");
        adapter.onResponse(value);
        const { nodes, requests, ackRequests, members } = adapter.tableSizes();
        assert.ok(nodes <= 4096 && requests === 1 && ackRequests === 1 && members <= 3, JSON.stringify(adapter.tableSizes()));
        for (const socket of nsp.sockets.values()) {
          socket.acks.clear();
          socket.written.length = socket.calls.length = 0;
          adapter.delAll(socket.id);
          adapter.addAll(socket.id, new Set([socket.id, "a"]));
        }
        assert.equal(Object.keys(Object.prototype).length, 0, "Object.prototype has been changed");
      },
      end: () => adapter.close(),
    };
  },
};
