// What tests of connection state recovery over a log share, whatever the backend.
import assert from "node:assert/strict";
import { eventually } from "../../support/pairs.js";

const EVENTS = 300;

/**
 * All nodes broadcast `x` while members (`{ client, got }`, with an offset each) leave and come back: each member gets each event once.
 * @param payloadOf  the second argument of the events of a round
 * @param isBefore   compares two offsets; the same one may come twice, since on a busy machine the backend may be silent for a second
 */
export async function expectEachOnce(nodes, members, payloadOf, isBefore) {
  const recovered = [];
  for (const { client } of members) client.on("connect", () => recovered.push(client.recovered));
  let count = 0;
  for (let round = 0; round < EVENTS / nodes.length; round++) {
    for (const { io } of nodes) io.emit("x", count++, payloadOf(round));
    const { client } = members[round % members.length];
    if (round % 5 === 0 && client.connected) client.io.engine.close(); // one that is being restored would lose the session on its way
    await new Promise((resolve) => setImmediate(resolve));
  }
  await eventually(() => members.every(({ got }) => got.length >= EVENTS), "all events");
  await eventually(() => members.every(({ client }) => client.connected), "all clients to be back");
  nodes[0].io.emit("x", "end");
  await eventually(() => members.every(({ got }) => got.at(-1)[0] === "end"), "the last event");
  assert.ok(recovered.length > 0);
  assert.ok(recovered.every(Boolean));
  for (const { got } of members) {
    assert.equal(got.length, EVENTS + 1);
    assert.equal(new Set(got.map(([value]) => value)).size, EVENTS + 1);
    const back = got.findIndex((args, index) => index > 0 && isBefore(args.at(-1), got[index - 1].at(-1)));
    const around = got.slice(Math.max(0, back - 4), back + 4).map((args) => `${args[0]} ${args.at(-1)}`);
    assert.equal(back, -1, `offsets grow, met ${around.join(", ")}`);
  }
}
