// The slot of a Redis Cluster that a sharded channel belongs to.
import assert from "node:assert/strict";
import { test } from "node:test";
import { slotOf } from "../../../dist/cluster/redis/slot.js";

test("the slot of a channel is the one that Redis computes (CLUSTER KEYSLOT), by what stands in its first braces [ROB-895]", () => {
  const slots = {
    "": 0,
    123456789: 12739,
    foo: 12182,
    "{user1000}.following": 3443,
    user1000: 3443,
    "foo{}{bar}": 8363,
    "foo{{bar}}zap": 4015,
    "foo{bar}{zap}": 5061,
    "open{": 10514,
    "socket.io#/é#": 6411,
  };
  for (const [channel, slot] of Object.entries(slots)) assert.equal(slotOf(channel), slot, channel);
});
