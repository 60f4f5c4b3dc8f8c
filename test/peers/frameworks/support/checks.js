/** What every program of the guide must show. */
import assert from "node:assert/strict";
import { connect, once } from "../../../support/client.js";

/** Clients over polling, WebSocket and the upgrade send an event, get the answer, and the others in the room hear of it. */
export async function speak(t, url) {
  const listener = await connect(t, url, "/", { transports: ["websocket"] });
  for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
    const socket = await connect(t, url, "/", { transports });
    const { engine } = socket.io;
    if (transports.length === 2 && engine.transport.name !== "websocket") await once(engine, "upgrade");
    const said = once(listener, "said");
    assert.deepEqual(await socket.emitWithAck("say", "hello"), { sent: true });
    assert.deepEqual(await said, ["hello"]);
    socket.disconnect();
  }
  return listener;
}

/** The route of the framework answers with the health of roomcast's server, and its own 404 is there for the rest. */
export async function routesAnswer(url) {
  const ready = await fetch(`${url}/ready`);
  assert.equal(ready.status, 200);
  assert.equal((await ready.json()).ready, true);
  assert.equal((await fetch(`${url}/no-such-route`)).status, 404);
}

/** SIGTERM, which the program passes to the framework or to roomcast, closes the sockets, and the process ends. */
export async function stops(program, socket, expected = [0, null]) {
  const disconnected = once(socket, "disconnect", 15_000);
  const ended = program.stop();
  assert.match((await disconnected)[0], /^(transport close|io server disconnect)$/);
  assert.deepEqual(await ended, expected);
}
