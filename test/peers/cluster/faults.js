/** Faults of services and nodes, and what became of a stream of broadcasts meanwhile. */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { io as connectClient } from "socket.io-client";
import { within } from "../../support/wait.js";
import { waitUntil } from "./cluster.js";
import { starters } from "./backends.js";
import { startProcesses } from "./processes.js";

const { adapters } = createRequire(import.meta.url)("./adapters.cjs");

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const WHOLE_MS = 40_000;
const clientOptions = { forceNew: true, reconnection: false, transports: ["websocket"] };

/** Nodes with one adapter, a client of each, and a stream of 100 numbered broadcasts per second from the first node to all clients. */
export class Stream {
  /** @param service  as a starter of backends.js gives it */
  static async start(t, name, service, count) {
    const stream = new Stream();
    const node = { server: "roomcast", base: name.startsWith("roomcast/") ? "ours" : "own", adapter: name };
    const backend = { connection: service.connection, isReusable: false };
    stream.isOurs = node.base === "ours";
    stream.startNode = async (t) => (await startProcesses(t, backend, [node]))[0];
    stream.nodes = await startProcesses(t, backend, Array(count).fill(node));
    for (const node of stream.nodes) await stream.counts(node, count);
    stream.got = stream.nodes.map(() => []);
    stream.clients = stream.nodes.map(({ url }, index) => stream.connect(t, url, index));
    await waitUntil(() => stream.clients.every(({ connected }) => connected), "the clients to connect", 20_000);
    await stream.nodes[0].run(({ io, kept }) => {
      let number = 0;
      kept.timer = setInterval(() => io.emit("x", number++, Date.now()), 10);
    });
    await waitUntil(() => stream.got.every((list) => list.length >= 20), "the stream to flow", 20_000);
    return stream;
  }

  connect(t, url, index) {
    const client = connectClient(url, clientOptions);
    t.after(() => client.disconnect());
    client.on("x", (number, sentAt) => this.got[index].push({ number, sentAt, arrivedAt: Date.now() }));
    return client;
  }

  /** Waits until a new client of that node hears the stream. */
  async isHeardAt({ url }) {
    const client = connectClient(url, clientOptions);
    await within(new Promise((resolve) => client.once("x", resolve)), "the stream at a new client", undefined, 20_000);
    client.disconnect();
  }

  /** Waits until a node counts that many nodes. */
  counts(node, count) {
    return waitUntil(
      async () =>
        node.hasEnded ||
        (await node.run(({ io }) =>
          io
            .of("/")
            .adapter.serverCount()
            .catch(() => -1),
        )) === count,
      `a node to count ${count}`,
      30_000,
    );
  }

  /** The fault begins, or a new phase of it. */
  hurt() {
    this.hurtAt = Date.now();
  }

  /** What was broken works again. */
  heal() {
    this.healedAt = Date.now();
  }

  /** Waits until 50 messages in a row, sent after the healing, have arrived at every client. @returns the time until the first of them, in ms */
  async untilWhole() {
    const firstOfRow = (list) => {
      const fresh = list.filter(({ sentAt }) => sentAt > this.healedAt);
      return fresh.find(({ number }, index) => fresh[index + 49]?.number === number + 49);
    };
    await waitUntil(() => this.got.every(firstOfRow), "broadcasts to arrive again", WHOLE_MS);
    return Math.max(...this.got.map((list) => firstOfRow(list).arrivedAt - this.healedAt));
  }

  /** Nodes whose processes have ended by themselves, with what they wrote. */
  get crashes() {
    return this.nodes
      .filter(({ hasEnded, isMeantToEnd }) => hasEnded && !isMeantToEnd)
      .map(({ output }) => /^\S*[Ee]rror: .*$/m.exec(output)?.[0] ?? output);
  }

  get #survivors() {
    return this.got.filter((_, index) => !this.nodes[index].isMeantToEnd);
  }

  /** Waits until what is published arrives again everywhere, ends the stream, and gives figures. */
  async end() {
    const [first] = this.nodes;
    const everywhere = (isIn) => this.nodes.every(({ hasEnded }, index) => hasEnded || isIn(this.got[index]));
    const isFresh = ({ sentAt }) => sentAt > this.healedAt;
    await waitUntil(() => first.hasEnded || everywhere((list) => list.some(isFresh)), "", WHOLE_MS).catch(() => {});
    await pause(1000); // more of the stream, all of which should arrive
    if (!first.hasEnded) {
      await first.run(({ io, kept }) => {
        clearInterval(kept.timer);
        io.emit("x", -1, Date.now());
      });
      await waitUntil(() => first.hasEnded || everywhere((list) => list.some(({ number }) => number === -1)), "", 3000).catch(() => {});
    }
    return this.figures();
  }

  figures() {
    const lists = this.#survivors.map((list) => list.filter(({ number }) => number >= 0));
    const sentAt = new Map(lists.flat().map((each) => [each.number, each.sentAt]));
    const published = 1 + Math.max(...sentAt.keys());
    const [here, ...there] = lists.map((list) => {
      const numbers = new Set(list.map(({ number }) => number));
      const lost = Array.from({ length: published }, (_, number) => number).filter((number) => !numbers.has(number));
      return { lost, delivered: numbers.size, duplicate: list.length - numbers.size };
    });
    const { crashes, hurtAt, healedAt = Infinity } = this;
    const first = this.nodes
      .flatMap(({ notices }) => notices)
      .filter(({ at }) => at >= hurtAt)
      .sort((a, b) => a.at - b.at)[0];
    const [local, ...remote] = lists;
    // Whole: the first message after the healing has arrived, and no later one is lost.
    const arrivals = remote.map((list) => list.find((each) => each.sentAt > healedAt)?.arrivedAt ?? Infinity);
    const behindLost = there.map(({ lost }) => (lost.length === 0 ? 0 : (sentAt.get(lost.at(-1) + 1) ?? Infinity)));
    const wholeAt = Math.max(healedAt, ...arrivals, ...behindLost);
    return {
      published,
      delivered: there.map(({ delivered }) => delivered),
      lost: there.map(({ lost }) => lost.length),
      duplicate: [here, ...there].map(({ duplicate }) => duplicate),
      "lost here": here.lost.length,
      "longest pause here, ms": Math.max(0, ...local.slice(1).map(({ arrivedAt }, index) => arrivedAt - local[index].arrivedAt)),
      "until noticed, ms": first === undefined ? null : first.at - hurtAt,
      "noticed by": first?.notice ?? null,
      "until whole, ms": crashes.length > 0 || wholeAt === Infinity ? null : wholeAt - healedAt,
      crashes,
    };
  }

  /** What our adapters promise after every fault. */
  assertWhole(figures, repeatedMax) {
    assert.ok(!figures.requests?.unsettled, "every request ends");
    assert.deepEqual(figures.crashes, []);
    assert.equal(figures["lost here"], 0, "local clients miss nothing");
    assert.equal(figures.duplicate[0], 0, "nothing comes twice to local clients");
    assert.ok(Math.max(...figures.duplicate) <= repeatedMax, `nothing comes twice: ${figures.duplicate}`);
    assert.notEqual(figures["until whole, ms"], null, "broadcasts arrive again");
  }
}

/** Adapters that are hurt at the same time, each with a service of its own: most of the time is spent waiting. */
const AT_ONCE = 5;

/** The official adapters are recorded, not judged: `ROOMCAST_FAULTS=all` measures them beside ours, which takes twice as long. */
const WITH_OFFICIAL = process.env.ROOMCAST_FAULTS === "all";

/**
 * Declares one fault, as a test of each adapter that a kind of service carries. With the official adapters the figures are recorded; ours must be
 * whole again.
 * @param title  what happens, in the present tense
 * @param kind   of the service, a name in `starters`
 * @param run    `(service, stream, t)` hurts and heals, and calls `stream.hurt()` and `stream.heal()`; may give more figures
 * @param more   `mustSee`: whether our adapters must say `degraded` and `restored`; `repeatedMax`: how many messages may come twice;
 *               `check(figures)`: what else our adapters must do;
 *               `nodes`: how many; `atOnce`: how many adapters are hurt at the same time; `start`: starts the service in another way; `skip`: why not
 */
export function declareFault(
  title,
  ids,
  kind,
  run,
  { mustSee = true, repeatedMax = 0, check, skip, start = starters[kind], nodes = 2, atOnce = AT_ONCE } = {},
) {
  const names = Object.keys(adapters).filter((name) => adapters[name].service === kind && (name.startsWith("roomcast/") || WITH_OFFICIAL));
  if (names.length === 0) return;
  const concurrency = kind === "node:cluster" ? 1 : atOnce; // workers of one primary hear each other
  const options = { timeout: 280_000, skip: Boolean(skip), concurrency };
  test(`${title}: what is lost is recorded, and our adapters are whole again [${ids}]${skip ? ` (skipped: ${skip})` : ""}`, options, (t) =>
    Promise.all(names.map((name) => t.test(`${title}, with ${name}`, { timeout: 150_000 }, (t) => hurtAndMeasure(t, name)))),
  );

  async function hurtAndMeasure(t, name) {
    const service = await start();
    const stream = await Stream.start(t, name, service, nodes);
    t.after(() => service.kill?.()); // after the nodes
    let figures;
    try {
      figures = await run(service, stream, t);
    } catch (error) {
      if (stream.isOurs) throw error;
      figures = { failure: error.message.split("\n", 1)[0] }; // a node may have ended
    }
    figures = { ...(await stream.end()), ...figures };
    t.diagnostic(`${title}, ${name}: ${JSON.stringify(figures)}`);
    if (!stream.isOurs) return;
    stream.assertWhole(figures, repeatedMax);
    check?.(figures);
    if (!mustSee) return;
    // Broadcasts may arrive again before all connections are back: a driver waits for up to some seconds between two attempts.
    const wasSaid = (notice) => stream.nodes.some(({ notices }) => notices.some((each) => each.notice === notice));
    await waitUntil(() => wasSaid("degraded") && wasSaid("restored"), "an operator to see the outage and its end", WHOLE_MS);
  }
}
