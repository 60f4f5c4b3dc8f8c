/** roomcast/nats with a connection that answers when the test says so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { requireFromTarget } from "../../support/packages.js";
import { eventually } from "../../support/pairs.js";
import { oursOnly } from "../../support/target.js";

const OURS = oursOnly("it has no such entry");

/** A connection of `nats`: what is asked of JetStream is kept, as functions that answer. */
function natsConnection() {
  const handlers = [];
  const asked = [];
  const answer = (subject, value) => {
    const data = Buffer.from(JSON.stringify(value));
    for (const [pattern, callback] of handlers) if (subject.startsWith(pattern.replace("*", ""))) callback(null, { subject, data });
  };
  return {
    asked,
    publish(subject, _, { reply } = {}) {
      if (subject.startsWith("$JS.API.STREAM.CREATE.")) asked.push((value) => answer(reply, value));
    },
    subscribe(pattern, { callback }) {
      handlers.push([pattern, callback]);
      return { unsubscribe() {} }; // what is on its way arrives
    },
    flush: async () => {},
    async *status() {},
    closed: () => new Promise(() => {}),
    isClosed: () => false,
  };
}

test("asks JetStream for nothing more when the answer comes after the server was closed [ROB-908]", OURS, async (t) => {
  const { Server } = requireFromTarget("roomcast");
  const { createAdapter } = requireFromTarget("roomcast/nats");
  for (const closesFirst of [false, true]) {
    const connection = natsConnection();
    const io = new Server({ adapter: createAdapter(connection, { jetstream: true }), connectionStateRecovery: {} });
    io.of("/");
    await eventually(() => connection.asked.length === 1, "the stream to be asked for");
    t.mock.timers.enable({ apis: ["setTimeout"] });
    if (closesFirst) await io.close();
    connection.asked[0]({ error: { err_code: 1, description: "not now" } });
    await new Promise((resolve) => setImmediate(resolve));
    t.mock.timers.tick(1000);
    assert.equal(connection.asked.length, closesFirst ? 1 : 2);
    t.mock.timers.reset();
    if (!closesFirst) await io.close();
  }
});
