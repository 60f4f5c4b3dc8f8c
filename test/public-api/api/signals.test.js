/** The option `handleSignals`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, once } from "../../support/client.js";
import { startServer } from "../../support/server.js";
import { startSignalled } from "../../support/signalled.js";
import { oursOnly, Server } from "../../support/target.js";

const OURS = oursOnly("it handles no signals");
const SOON = { perSecond: 1e6, jitterMs: 0 };

for (const signal of ["SIGTERM", "SIGINT"]) {
  test(`${signal} drains the server, then the process ends with exit code 0 [ROB-737]`, OURS, async (t) => {
    const { child, urls, output, ended } = await startSignalled(t, { handleSignals: { drain: SOON } });
    const socket = await connect(t, urls[0], "/", { transports: ["websocket"] });
    const gone = once(socket, "disconnect");
    child.kill(signal);
    assert.equal((await gone)[1].context.code, 1012);
    assert.deepEqual(await ended, { code: 0, signal: null });
    assert.equal(output(), "");
  });
}

test("a second signal ends the process at once [ROB-737]", OURS, async (t) => {
  const { child, urls, ended } = await startSignalled(t, { handleSignals: { drain: { ...SOON, timeoutMs: 60_000 } } });
  const socket = await connect(t, urls[0]);
  socket.emit("hold", () => {}); // never answered
  await socket.emitWithAck("next");
  child.kill("SIGTERM");
  while ((await fetch(`${urls[0]}/socket.io/?EIO=4&transport=polling`)).status !== 503); // until the first one has arrived
  assert.equal(socket.connected, true);
  child.kill("SIGTERM");
  assert.deepEqual(await ended, { code: 143, signal: null });
});

test("the last of several servers ends the process; with `exit: false` it goes on [ROB-737]", OURS, async (t) => {
  const several = await startSignalled(t, { handleSignals: { drain: SOON }, servers: 3 });
  assert.equal(several.listeners, 3);
  const sockets = await Promise.all(several.urls.map((url) => connect(t, url, "/", { transports: ["websocket"] })));
  const gone = sockets.map((socket) => once(socket, "disconnect"));
  several.child.kill("SIGTERM");
  for (const [, { context }] of await Promise.all(gone)) assert.equal(context.code, 1012);
  assert.deepEqual(await several.ended, { code: 0, signal: null });

  const staying = await startSignalled(t, { handleSignals: { drain: SOON, exit: false } });
  const socket = await connect(t, staying.urls[0]);
  const left = once(socket, "disconnect");
  staying.child.kill("SIGTERM");
  await left;
  staying.child.send("end");
  assert.deepEqual(await staying.ended, { code: 0, signal: null });
});

test("it listens from the first attach to the end of close, and by default not at all [ROB-737]", OURS, async (t) => {
  const before = process.listenerCount("SIGTERM");
  const beforeUser = process.listenerCount("SIGUSR2"); // Node.js 26 has one of its own
  const io = new Server({ handleSignals: { signals: ["SIGTERM", "SIGUSR2"] } });
  assert.equal(process.listenerCount("SIGTERM"), before);
  for (const close of ["close", "detach"]) {
    await startServer(t, {}, { attach: (httpServer) => io.attach(httpServer) });
    assert.equal(process.listenerCount("SIGTERM"), before + 1);
    assert.equal(process.listenerCount("SIGUSR2"), beforeUser + 1);
    await io[close]();
    assert.equal(process.listenerCount("SIGTERM"), before);
  }
  await startServer(t, {}, {});
  assert.equal(process.listenerCount("SIGTERM"), before);
});

test("values that cannot work are refused at start-up [ROB-737]", OURS, () => {
  for (const [handleSignals, text] of [
    ["SIGTERM", "option handleSignals: expected true or an object, met 'SIGTERM'"],
    [{ signals: ["SIGTRM"] }, "option handleSignals.signals: expected an array of names of signals, met [ 'SIGTRM' ]"],
    [{ signals: ["SIGKILL"] }, "option handleSignals.signals: expected an array of names of signals, met [ 'SIGKILL' ]"],
    [{ exit: 0 }, "option handleSignals.exit: expected a boolean, met 0"],
    [{ exits: true }, "option handleSignals: expected one of signals, drain, exit, met 'exits'"],
  ]) {
    assert.throws(() => new Server({ handleSignals }), { code: "RC_ERR_OPTION", message: text });
  }
  assert.throws(() => new Server({ handleSignals: { drain: { timeoutMs: -1 } } }), { code: "RC_ERR_ARGUMENT" });
});
