/** Values that cannot be encoded, across servers: a coded error where the call is, and nobody left waiting. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { once } from "../../support/client.js";
import { busAdapter, knowEachOther } from "../../support/bus-adapter.js";
import { catchProcess, catchWarnings, fence, joinServer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";

const OURS = oursOnly("it rejects unhandled, or waits for the time-out");

const circular = { a: {} };
circular.a.b = circular;
const ENCODING = { code: "RC_ERR_ENCODING" };

/** Two servers over a bus that carries JSON, as most do. */
async function jsonServers(t) {
  const bus = new EventEmitter().setMaxListeners(0);
  const Bus = busAdapter(bus);
  class JsonAdapter extends Bus {
    transmit(channel, message) {
      JSON.stringify(message);
      return super.transmit(channel, message);
    }
  }
  const servers = [await startServer(t, { adapter: JsonAdapter }), await startServer(t, { adapter: JsonAdapter })];
  await knowEachOther(servers.map(({ io }) => io.of("/")));
  return servers;
}

for (const [what, value] of [
  ["a BigInt", 1n],
  ["a circle", circular],
]) {
  test(`throws at the caller when a broadcast to other servers holds ${what} [ROB-422]`, OURS, async (t) => {
    const rejections = catchProcess(t, "unhandledRejection");
    const [here, there] = await jsonServers(t);
    const { client, socket } = await joinServer(t, there);
    const [remote] = await here.io.fetchSockets();
    for (const target of [here.io, here.io.of("/"), here.io.to("nobody"), remote]) {
      assert.throws(() => target.emit("e", value), ENCODING);
      assert.throws(() => target.timeout(60_000).emit("e", value, () => assert.fail("called back")), ENCODING);
    }
    assert.equal(here.io.of("/").adapter.ackRequests.size, 0);
    remote.emit("fence");
    await once(client, "fence");
    await fence(client, socket);
    assert.deepEqual(rejections.caught, []);
  });

  test(`serverSideEmit rejects or warns at once when the event contains ${what} [ROB-422]`, OURS, async (t) => {
    const { next } = catchWarnings(t);
    const [here] = await jsonServers(t);
    await assert.rejects(here.io.serverSideEmitWithAck("e", value), { ...ENCODING, message: /^cannot encode event "e": / });
    assert.equal(here.io.of("/").adapter.requests.size, 0);
    here.io.serverSideEmit("e", value);
    const warning = await next(({ code }) => code === "ROOMCAST_CLUSTER_ENCODING");
    assert.match(warning.message, /namespace "\/": an event was not sent to the other servers: cannot encode event "e": .* at data/);
  });

  test(`keeps the answer to another server open when the first holds ${what} [ROB-422, ROB-310]`, OURS, async (t) => {
    const { next } = catchWarnings(t);
    const [here, there] = await jsonServers(t);
    there.io.on("question", async (answer) => {
      answer(value);
      await next(({ code }) => code === "ROOMCAST_CLUSTER_ENCODING");
      answer("better");
    });
    assert.deepEqual(await here.io.serverSideEmitWithAck("question"), ["better"]);
  });

  test(`finds sockets of other servers although the data of one holds ${what} [ROB-422]`, OURS, async (t) => {
    const { next } = catchWarnings(t);
    const [here, there] = await jsonServers(t);
    const good = await joinServer(t, there);
    const bad = await joinServer(t, there);
    good.socket.data.name = "good";
    bad.socket.data.value = value;
    const found = await here.io.fetchSockets();
    const dataById = new Map(found.map(({ id, data }) => [id, data]));
    assert.deepEqual([dataById.get(good.socket.id), dataById.get(bad.socket.id)], [{ name: "good" }, {}]);
    const { message } = await next(({ code }) => code === "ROOMCAST_CLUSTER_ENCODING");
    assert.match(message, new RegExp(`socket\\.data of "${bad.socket.id}".* at data`));
    assert.deepEqual(bad.socket.data, { value });
  });
}
