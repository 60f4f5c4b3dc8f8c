/** Blobs in events: read before they are sent, in order with all else. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { openAsBlob } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { adapters, requireFromTarget } from "../../support/packages.js";
import { once } from "../../support/client.js";
import { catchWarnings, pair } from "../../support/pairs.js";
import { isReference, oursOnly } from "../../support/target.js";

const OURS = oursOnly("its clients get [object Blob] and disconnect");

/** Collects what a client gets, bytes as text, until the event `end`. */
function collect(client) {
  const got = [];
  const plain = (value) =>
    Buffer.isBuffer(value)
      ? `<${value}>`
      : value !== null && typeof value === "object"
        ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]))
        : value;
  client.onAny((...args) => got.push(args.map(plain)));
  return { got, done: once(client, "end") };
}

for (const transport of ["websocket", "polling"]) {
  test(`sends Blobs at their place among other packets, over ${transport} [ROB-540, SIO-20]`, OURS, async (t) => {
    const { io, client, socket } = await pair(t, {}, { client: { transports: [transport] } });
    const { got, done } = collect(client);
    socket.emit("before");
    socket.emit("one", new Blob(["abc"]), 1);
    socket.emit("between");
    io.emit("all", { file: new Blob(["x".repeat(70_000)]), bytes: Buffer.from("own") });
    socket.emit("empty", new Blob([]));
    socket.emit("end");
    await done;
    assert.deepEqual(got, [
      ["before"],
      ["one", "<abc>", 1],
      ["between"],
      ["all", { file: `<${"x".repeat(70_000)}>`, bytes: "<own>" }],
      ["empty", "<>"],
      ["end"],
    ]);
  });

  test(`answers with a Blob, and closes after it, over ${transport} [ROB-540]`, OURS, async (t) => {
    const { client, socket } = await pair(t, {}, { client: { transports: [transport] } });
    socket.on("ask", (answer) => {
      answer(new Blob(["yes"]));
      socket.disconnect(true);
    });
    const ended = once(client, "disconnect");
    assert.equal(String(await client.emitWithAck("ask")), "yes");
    await ended;
  });

  test(`drops a packet when its Blob cannot be read, and warns, over ${transport} [ROB-541]`, OURS, async (t) => {
    const directory = await mkdtemp(join(tmpdir(), "roomcast-blob-"));
    t.after(() => rm(directory, { recursive: true }));
    const file = join(directory, "file");
    await writeFile(file, "before");
    const blob = await openAsBlob(file);
    await writeFile(file, "changed since");
    const warning = catchWarnings(t).next(({ code }) => code === "ROOMCAST_BLOB");
    const { client, socket } = await pair(t, {}, { client: { transports: [transport] } });
    const { got, done } = collect(client);
    socket.emit("lost", blob, Buffer.from("x"));
    socket.emit("end", new Blob(["read"]));
    await done;
    assert.deepEqual(got, [["end", "<read>"]]);
    await warning;
  });
}

test("refuses a Blob where it cannot be sent: other parsers, other servers [ROB-542, SIO-20]", OURS, async (t) => {
  const blob = new Blob(["x"]);
  const parser = isReference ? undefined : requireFromTarget("roomcast/msgpack");
  const { socket } = await pair(t, { parser }, { client: { parser } });
  assert.throws(() => socket.emit("x", blob), { code: "RC_ERR_ENCODING", message: /Blob/ });

  class Bus extends adapters.ClusterAdapter {
    async doPublish() {}
    async doPublishResponse() {}
  }
  const clustered = await pair(t, { adapter: Bus });
  assert.throws(() => clustered.io.emit("x", { a: blob }), { code: "RC_ERR_ENCODING", message: /event "x" .*Blob/ });
});
