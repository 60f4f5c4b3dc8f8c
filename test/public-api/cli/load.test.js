/** `roomcast load`: what it reports, also where clients leave, scripts are in the middle of something, and listeners throw. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { oursOnly } from "../../support/target.js";
import { roomcast } from "./command.js";
import { folder, startRaw, startServer } from "./fixtures.js";

const OURS = oursOnly("it has no such command");
/** Longer than a test may take: a run that waits for it fails. */
const NEVER = ["--timeout", "600"];

function scriptFile(t, source) {
  const file = join(folder(t), "script.mjs");
  writeFileSync(file, source);
  return file;
}

async function load(t, url, args) {
  const { code, stdout, stderr } = await roomcast(t, ["load", url, "--json", ...NEVER, ...args]).ended();
  assert.equal(stderr, "");
  return { code, ...JSON.parse(stdout) };
}

for (const transport of ["websocket", "polling", "websocket,polling"]) {
  test(`load connects clients over ${transport}, sends what is due, and reports [ROB-969]`, OURS, async (t) => {
    const { io, url } = await startServer(t);
    let joined = 0;
    io.of("/room").on("connection", (socket) => {
      socket.on("join", () => joined++);
      socket.on("ask", (value, answer) => answer(value));
    });
    const args = [
      "--clients",
      "20",
      "--ramp",
      "0.5",
      "--duration",
      "1",
      "--rate",
      "5",
      "--first",
      'join "tea"',
      "--ask",
      "ask",
      "--data",
      '{"a": 1}',
    ];
    const { code, stdout, stderr } = await roomcast(t, ["load", `${url}/room`, "--json", "--transport", transport, ...args]).ended();
    assert.equal(stderr, "");
    const report = JSON.parse(stdout);
    assert.deepEqual([report.clients, report.connected, report.unanswered, report.errors], [20, 20, 0, {}]);
    assert.ok(report.sent >= 99 && report.sent <= 100, `${report.sent} sent`);
    assert.equal(report.answered, report.sent);
    const { p50, p99, max } = report.answerMs;
    assert.ok(p50 > 0 && p50 <= p99 && p99 <= max * 1.01, JSON.stringify(report.answerMs));
    assert.equal(joined, 20);
    assert.equal(code, 0);
  });
}

test("load counts times from when events were due, without its own lateness [ROB-969]", OURS, async (t) => {
  const { io, url } = await startServer(t);
  io.on("connection", (socket) => socket.on("ask", (answer) => answer()));
  const args = ["--clients", "1", "--ramp", "0", "--duration", "3", "--rate", "2", "--ask", "ask"];
  const { sent, answerMs } = await load(t, url, args);
  assert.ok(sent >= 5, `${sent} sent`);
  assert.ok(answerMs.p50 < 250, `an answer took ${answerMs.p50} ms where the server answers at once, and events are 500 ms apart`);
});

for (const { title, warmUp, isTimed } of [
  { title: "does not time the answers of the warm-up", warmUp: "1.5", isTimed: false },
  { title: "times all answers without a warm-up", warmUp: "0", isTimed: true },
])
  test(`load ${title} [ROB-969]`, OURS, async (t) => {
    const { io, url } = await startServer(t);
    let asked = 0;
    io.on("connection", (socket) => socket.on("ask", (answer) => (asked++ === 0 ? setTimeout(answer, 600) : answer())));
    const args = ["--clients", "1", "--ramp", "0", "--duration", "2.5", "--rate", "4", "--ask", "ask", "--warm-up", warmUp];
    const { sent, answered, answerMs } = await load(t, url, args);
    assert.equal(answered, sent);
    assert.equal(answerMs.max >= 600, isTimed, `the slowest took ${answerMs.max} ms`);
  });

test("load runs a script for each client, and measures what it asks [ROB-969]", OURS, async (t) => {
  const { io, url } = await startServer(t);
  io.on("connection", (socket) => {
    socket.on("ask", (value, answer) => {
      socket.emit("heard", value);
      answer(value + 1);
    });
  });
  const file = join(folder(t), "script.mjs");
  writeFileSync(
    file,
    `export default async (client, { index, sleep, isOver }) => {
      let heard;
      client.on("heard", (value) => (heard = value));
      const [answer] = await client.ask("ask", index);
      if (answer !== index + 1 || heard !== index || isOver()) throw new Error("wrong");
      await sleep(1);
      if (index === 3) throw new Error("three is enough");
    };`,
  );
  const args = ["--clients", "4", "--ramp", "0", "--duration", "1", "--script", file, "--json"];
  const { code, stdout } = await roomcast(t, ["load", url, ...args]).ended();
  const { sent, answered, received, errors } = JSON.parse(stdout);
  assert.deepEqual([sent, answered, received, errors], [4, 4, 4, { "script: Error: three is enough": 1 }]);
  assert.equal(code, 1);
});

test("load names errors by their kind, writes its report, and ends with 1 [ROB-969]", OURS, async (t) => {
  const { io, url } = await startServer(t);
  io.use((_socket, next) => next(new Error("full")));
  const file = join(folder(t), "load.md");
  const { code, stdout } = await roomcast(t, ["load", url, "--clients", "3", "--ramp", "0", "--duration", "0.5", "--report", file]).ended();
  assert.equal(code, 1);
  assert.match(stdout, /^# Load on http:[^]*\n0 of 3 clients connected[^]*\n\| refused: full \| +3 \|\n/);
  assert.equal(readFileSync(file, "utf8"), stdout);
});

test("load goes on with the other clients when one is disconnected, at the same rate [ROB-969]", OURS, async (t) => {
  const { io, url } = await startServer(t);
  const firsts = [];
  const counts = new Map();
  let connections = 0;
  io.on("connection", (socket) => {
    const isFirst = connections++ === 0;
    if (isFirst) socket.emit("hello");
    socket.on("first", (value) => firsts.push(value));
    socket.on("ask", (answer) => {
      if (isFirst) return socket.disconnect();
      counts.set(socket.id, (counts.get(socket.id) ?? 0) + 1);
      answer();
    });
  });
  const args = ["--clients", "4", "--ramp", "1", "--duration", "2", "--rate", "20", "--ask", "ask", "--first", 'first {"a": "b  c"}'];
  const report = await load(t, url, args);
  assert.deepEqual(firsts, Array(4).fill({ a: "b  c" }));
  assert.equal(counts.size, 3);
  for (const count of counts.values()) assert.ok(count >= 39 && count <= 40, `${count} of 40 events`);
  assert.equal(
    report.answered,
    [...counts.values()].reduce((sum, count) => sum + count),
  );
  assert.equal(report.received, 0, "what arrives before all are connected is not measured");
  assert.deepEqual([report.code, report.connected, report.errors], [1, 4, { "disconnected: io server disconnect": 1 }]);
});

test("load starts scripts when all are connected, and waits for what they have asked [ROB-969]", OURS, async (t) => {
  const { io, url } = await startServer(t);
  const present = [];
  io.on("connection", (socket) => {
    socket.on("begun", () => present.push(io.sockets.sockets.size));
    socket.on("ask", (answer) => setTimeout(answer, 300));
  });
  const file = scriptFile(
    t,
    `export default async (client, { isOver }) => {
      client.emit("begun");
      while (!isOver()) await client.ask("ask");
      client.emit("begun");
    };`,
  );
  const report = await load(t, url, ["--clients", "4", "--ramp", "1", "--duration", "1", "--ask", "ask", "--rate", "5", "--script", file]);
  assert.deepEqual(present, [4, 4, 4, 4]);
  assert.deepEqual([report.code, report.unanswered, report.errors], [0, 0, {}]);
  assert.ok(report.answered >= 8);
  assert.equal(report.sent, report.answered + 4);
});

test("load rejects what a script asks of a client that is gone, and names what its listeners throw [ROB-969]", OURS, async (t) => {
  const { io, url } = await startServer(t);
  io.on("connection", (socket) => {
    socket.on("end", () => socket.disconnect());
    socket.on("ask", (answer) => {
      socket.emit("heard");
      answer("fine");
    });
  });
  const file = scriptFile(
    t,
    `export default async (client, { index }) => {
      client.on("heard", () => { throw new Error("of a listener"); });
      if (index > 0) return client.ask("ask");
      const outcome = await client.ask("end").catch((error) => error.message);
      client.emit("late");
      await client.ask("later").catch(() => {});
      throw new Error(outcome);
    };`,
  );
  const report = await load(t, url, ["--clients", "2", "--ramp", "0", "--duration", "1", "--script", file]);
  assert.deepEqual([report.code, report.sent, report.answered, report.unanswered], [1, 2, 1, 1]);
  assert.deepEqual(report.errors, {
    "disconnected: io server disconnect": 1,
    "script: Error: disconnected: io server disconnect": 1,
    "script: Error: of a listener": 1,
  });
});

test("load ends at once when no client could connect, and says so [ROB-969]", OURS, async (t) => {
  const { io, url } = await startServer(t);
  io.use((_socket, next) => next(new Error("full")));
  const args = ["load", url, "--clients", "2", "--ramp", "0", "--duration", "600", "--ask", "ask"]; // longer than the test may take
  const { code, stdout } = await roomcast(t, args).ended();
  assert.equal(code, 1);
  assert.match(stdout, /\n0 of 2 clients connected over websocket\. So nothing was measured\.\n/);
});

test("load counts a client once, and nothing that is not its own [ROB-969]", OURS, async (t) => {
  const early = ['42/room,["early"]', '40{"sid":"x"}'];
  const url = await startRaw(t, ['40/room,{"sid":"c"}', "40", "41", '44/room,{"message":"no"}', '42/other,["x"]', '42["x"]'], early);
  const { code, connected, received, errors } = await load(t, `${url}/room`, ["--clients", "3", "--ramp", "0", "--duration", "0.5"]);
  assert.deepEqual([code, connected, received, errors], [0, 3, 0, {}]);
});
