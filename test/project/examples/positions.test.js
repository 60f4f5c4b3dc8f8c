/** The example of positions: readers of different speeds, behind proxies that forward slowly. */
import assert from "node:assert/strict";
import { connect as connectTcp, createServer } from "node:net";
import { test } from "node:test";
import { connect, waitFor } from "../../support/client.js";
import { startExample } from "./example-process.js";

const MIB = 1024 * 1024;

/** A proxy in front of the server that forwards all, until `slow(step)`: then `step(forward)` is called each 100 ms. */
async function startProxy(t, port) {
  const state = { step: null, down: null, up: null };
  const server = createServer((down) => {
    const up = connectTcp(port, "127.0.0.1");
    Object.assign(state, { down, up });
    down.pipe(up);
    up.pipe(down);
    for (const socket of [down, up]) socket.on("error", () => {}).unref();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  let timer;
  t.after(() => {
    clearInterval(timer);
    state.down?.destroy();
    state.up?.destroy();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** Forwards `bytesPerStep` each 100 ms, where `isOpen(step)`. */
    slow(bytesPerStep, isOpen = () => true) {
      const { up, down } = state;
      up.unpipe(down);
      let step = 0;
      timer = setInterval(() => {
        step += 1;
        if (!isOpen(step)) return;
        const chunk = up.read(Math.min(bytesPerStep, up.readableLength)) ?? up.read();
        if (chunk !== null) down.write(chunk);
      }, 100);
    },
    /** Forwards all again. */
    release() {
      clearInterval(timer);
      state.up.pipe(state.down);
    },
  };
}

/** A reader: the positions that it got, and whether it was cut. */
async function openReader(t, url) {
  const client = await connect(t, url, "/", { transports: ["websocket"] });
  const reader = { client, sequences: [], ends: [] };
  client.on("position", ({ sequence }) => reader.sequences.push(sequence));
  client.on("disconnect", (reason) => reader.ends.push(reason));
  return reader;
}

const isRising = (numbers) => numbers.every((number, i) => i === 0 || number > numbers[i - 1]);

test("gives each reader the newest positions in order, at its own speed, and cuts nobody [ROB-750]", { timeout: 120_000 }, async (t) => {
  const { url, port } = await startExample(t, "positions");
  const status = async () => (await fetch(`${url}/readers`)).json();
  const proxies = [await startProxy(t, port), await startProxy(t, port)];
  const fast = await openReader(t, url);
  const [paused, slow] = [await openReader(t, proxies[0].url), await openReader(t, proxies[1].url)];
  const dropsOf = ({ readers }, { client }) => readers.find(({ id }) => id === client.id).droppedEvents;
  const before = await status();
  proxies[0].slow(MIB, (step) => step % 20 < 10);
  proxies[1].slow(102); // 1 KB per second

  let now;
  do {
    await waitFor(fast.client, "position", ({ sequence }) => sequence % 500 === 0, 20_000);
    now = await status();
  } while (dropsOf(now, slow) <= 3000);
  assert.equal(now.readers.length, 3);
  assert.equal(dropsOf(now, fast), 0);
  for (const { bufferedBytes } of now.readers) assert.ok(bufferedBytes < MIB, `${bufferedBytes} bytes wait`);
  assert.ok(now.rss - before.rss < 64 * MIB, `the memory grew by ${now.rss - before.rss} bytes`);

  for (const proxy of proxies) proxy.release();
  const { sequence: newest } = await status();
  await Promise.all([fast, paused, slow].map(({ client }) => waitFor(client, "position", ({ sequence }) => sequence >= newest, 30_000)));
  for (const { sequences, ends } of [fast, paused, slow]) {
    assert.ok(isRising(sequences));
    assert.deepEqual(ends, []);
  }
  const { sequences } = fast;
  assert.equal(sequences.at(-1) - sequences[0], sequences.length - 1, "the fast reader got all");
  assert.ok(slow.sequences.length < sequences.length - 3000, "the slow reader got fewer");
});
