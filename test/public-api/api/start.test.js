/** `start()` and the command `roomcast`: workers that are forked, replaced, reloaded and stopped. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once as onceEvent } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { connect, once } from "../../support/client.js";
import { requireFromTarget } from "../../support/packages.js";
import { isReference, oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { freePort } from "../../support/free-port.js";

const OURS = oursOnly("it has no such command");
const { start } = isReference ? {} : requireFromTarget("roomcast/cluster");
const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const command = path("../../../bin/roomcast.js");
const app = path("../../support/fixtures/cli-app.cjs");
const example = path("../../../examples/cluster/server.js");
const patience = 60_000;

/** Runs a program. @returns `{ child, output(), until(pattern), ended }`; `until` gives the next match behind the last one */
function run(t, args, env = {}) {
  const child = spawn(process.execPath, args, { env: { ...process.env, NODE_OPTIONS: "", ...env }, stdio: ["ignore", "pipe", "pipe"] });
  t.after(() => child.kill("SIGTERM"));
  let output = "";
  let read = 0;
  const listeners = new Set();
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text) => {
      output += text;
      for (const listener of listeners) listener();
    });
  const until = (pattern) => {
    const found = new Promise((resolve) => {
      const look = () => {
        const match = pattern.exec(output.slice(read));
        if (match === null) return;
        read += match.index + match[0].length;
        listeners.delete(look);
        resolve(match);
      };
      listeners.add(look);
      look();
    });
    return within(found, `the line ${pattern}`, () => output, patience);
  };
  const ended = onceEvent(child, "close").then(([code, signal]) => code ?? signal);
  return { child, output: () => output, until, ended: () => within(ended, "the program to end", () => output, patience) };
}

function programFile(t, type, source) {
  const directory = mkdtempSync(join(tmpdir(), "roomcast-start-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, `program.${type}`);
  writeFileSync(file, source);
  return file;
}

async function startCommand(t, workers, env = {}) {
  const port = await freePort();
  const program = run(t, [command, "start", app, "--workers", String(workers), "--port", String(port), "--host", "127.0.0.1"], env);
  for (let i = 0; i < workers; i++) await program.until(/worker \d+ \(pid \d+\): ready on 127\.0\.0\.1:\d+ after \d+ ms\n/);
  return { ...program, url: `http://127.0.0.1:${port}` };
}

const who = (client) => client.timeout(patience).emitWithAck("who");

test("serves polling and WebSocket over all workers, with rooms, and drains at SIGTERM [ROB-870, ROB-873, ROB-874]", OURS, async (t) => {
  const { url, child, until, ended } = await startCommand(t, 2);
  const clients = []; // from the first moment on: a POST may reach another worker than its handshake
  for (let i = 0; i < 6; i++)
    clients.push(await connect(t, url, "/", { transports: i % 2 === 0 ? ["polling"] : ["websocket"], forceNew: true }));
  const pids = new Set(await Promise.all(clients.map(who)));
  const heard = Promise.all(clients.map((client) => once(client, "said")));
  clients[0].emit("say", "hello");
  assert.deepEqual(await heard, Array(6).fill(["hello"]));
  const gone = Promise.all(clients.map((client) => once(client, "disconnect")));
  child.kill("SIGTERM");
  // All workers end at once, also one that carries the poll of a session to another.
  for (const [reason] of await gone) assert.equal(reason, "transport close");
  assert.equal(await ended(), 0);
  for (const pid of pids) assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
  await until(/drains[^]*ended with exit code 0/);
});

test("replaces a worker that dies, later each time [ROB-871]", OURS, async (t) => {
  const { child, until, ended } = await startCommand(t, 2);
  let [, pid] = await startedAgain(child, until);
  for (const delay of [200, 400]) {
    process.kill(pid, "SIGKILL");
    await until(new RegExp(`worker \\d+ \\(pid ${pid}\\): ended by SIGKILL, the next one starts in ${delay} ms\n`));
    [, pid] = await until(/worker \d+ \(pid (\d+)\): ready/);
  }
  child.kill("SIGINT");
  assert.equal(await ended(), 0);

  async function startedAgain() {
    const client = await connect(t, (await clientUrl()).url, "/", { transports: ["websocket"] });
    process.kill(await who(client), "SIGKILL");
    await until(/ended by SIGKILL, the next one starts in 100 ms\n/);
    return until(/worker \d+ \(pid (\d+)\): ready/);
  }
  async function clientUrl() {
    return { url: `http://127.0.0.1:${child.spawnargs[child.spawnargs.indexOf("--port") + 1]}` };
  }
});

test("replaces all workers at SIGHUP and moves their clients, and ends at once at a second signal [ROB-872, ROB-873]", OURS, async (t) => {
  const { url, child, until, ended } = await startCommand(t, 2);
  const client = await connect(t, url, "/", { transports: ["polling"], reconnection: true, reconnectionDelay: 10 });
  const before = await who(client);
  const back = once(client, "disconnect").then(() => once(client, "connect"));
  child.kill("SIGHUP");
  for (let i = 1; i <= 2; i++) {
    await until(new RegExp(`worker ${i} \\(pid \\d+\\): ready`));
    await until(new RegExp(`worker ${i} \\(pid \\d+\\): drains`));
    await until(new RegExp(`worker ${i} \\(pid \\d+\\): ended with exit code 0`));
  }
  await back;
  assert.notEqual(await who(client), before);
  child.kill("SIGTERM");
  await until(/drains/);
  child.kill("SIGTERM");
  assert.ok([0, 143].includes(await ended()));
});

for (const signal of ["SIGHUP", "SIGTERM", "SIGKILL"])
  test(
    `goes on when nobody reads its output any more, and ${
      { SIGHUP: "reloads", SIGTERM: "drains", SIGKILL: "replaces a worker" }[signal]
    } [ROB-871, ROB-872, ROB-873]`,
    OURS,
    async (t) => {
      const { url, child, ended } = await startCommand(t, 2);
      const client = await connect(t, url, "/", { transports: ["websocket"], reconnection: true, reconnectionDelay: 10 });
      const before = await who(client);
      for (const stream of [child.stdout, child.stderr]) stream.destroy();
      const gone = once(client, "disconnect");
      if (signal === "SIGTERM") {
        child.kill(signal);
        await gone;
        return assert.equal(await ended(), 0);
      }
      const back = gone.then(() => once(client, "connect"));
      if (signal === "SIGHUP") child.kill(signal);
      else process.kill(before, signal);
      await back;
      assert.notEqual(await who(client), before);
      assert.equal(child.exitCode, null);
      client.close();
      child.kill("SIGTERM");
      assert.equal(await ended(), 0);
    },
  );

for (const [title, source, text] of [
  ["a number", "export default 5;", /expected the default export of \S+ to be a Server of roomcast or a function, or none, met 5\n/],
  ["null", "export default null;", /or none, met null\n/],
  ["an object", "export default { port: 1 };", /or none, met \{ port: 1 \}\n/],
])
  test(`refuses a program that exports ${title} [ROB-874]`, OURS, async (t) => {
    const { output, ended } = run(t, [command, "start", programFile(t, "mjs", source), "-w", "1"]);
    assert.equal(await ended(), 1, output());
    assert.match(output(), text);
  });

for (const [title, type, source] of [
  ["an ES module", "mjs", ""],
  ["CommonJS", "cjs", ""],
  ["CommonJS with exports for its tests", "cjs", "exports.port = 1;"],
])
  test(`takes a program without a default export, and tells so: ${title} [ROB-874]`, OURS, async (t) => {
    const keepsOn = `${source} setInterval(() => {}, 1_000);`;
    const { child, until, ended } = run(t, [command, "start", programFile(t, type, keepsOn), "-w", "1"]);
    await until(/the program gives no server: it listens and ends by itself/);
    await until(/\): ready after/);
    child.kill("SIGTERM");
    assert.equal(await ended(), 0);
  });

test("takes a program that listens by itself [ROB-874]", OURS, async (t) => {
  const port = await freePort();
  const { child, until, ended } = run(t, [command, "start", app, "-w", "2"], { APP: "alone", APP_PORT: String(port) });
  for (let i = 0; i < 2; i++) await until(/\): ready after/);
  const client = await connect(t, `http://127.0.0.1:${port}`, "/", { transports: ["websocket"] });
  await who(client);
  client.close();
  child.kill("SIGTERM");
  assert.equal(await ended(), 0);
});

test("tells what is wrong, by text and exit code [ROB-874]", OURS, async (t) => {
  const cases = [
    [["--help"], 0, /Usage: roomcast COMMAND[^]*start FILE/],
    [["start", "--help"], 0, /Usage: roomcast start FILE/],
    [["--version"], 0, /^\d+\.\d+\.\d+\n$/],
    [[], 2, /expected a command/],
    [["run"], 2, /unknown command "run"/],
    [["start"], 2, /expected a file/],
    [["start", "a", "b"], 2, /expected one file, met 2/],
    [["start", "no-such-file.js"], 2, /there is no file "no-such-file\.js"/],
    [["start", app, "--workers", "0"], 2, /--workers: expected a number from 1 to 1024, met "0"/],
    [["start", app, "--port", "x"], 2, /--port: expected a number from 0 to 65535, met "x"/],
    [["start", app, "--what"], 2, /Unknown option '--what'/],
    [["start", app, "-w", "2"], 1, /the program fails[^]*a worker ended before it listened \(exit code 1\)/, { APP: "fails" }],
    [["start", app, "-w", "1"], 1, /expected server\(\) to give a Server of roomcast or nothing, met/, { APP: "nonsense" }],
    [["start", app, "-w", "1"], 1, /expected PORT to be a number from 0 to 65535, met 'x'/, { PORT: "x" }],
  ];
  for (const [args, code, text, env] of cases) {
    const { output, ended } = run(t, [command, ...args], env);
    assert.equal(await ended(), code, output());
    assert.match(output(), text);
  }
});

test("refuses options that make no sense [ROB-870]", OURS, async () => {
  const server = () => {};
  const cases = [
    undefined,
    {},
    { server: "app.js" },
    { server, workers: 0 },
    { server, port: -1 },
    { server, host: 1 },
    { server, log: 1 },
    { server, drain: 1 },
    { server, cores: 2 },
  ];
  for (const options of cases) await assert.rejects(start(options), { code: "RC_ERR_ARGUMENT" });
});

test("the example serves one room over all workers, and tells what they know [ROB-870]", OURS, async (t) => {
  const port = await freePort();
  const { child, until, ended } = run(t, [example], { PORT: String(port), WORKERS: "2" });
  for (let i = 0; i < 2; i++) await until(/\): ready on/);
  const url = `http://127.0.0.1:${port}`;
  const clients = [];
  for (let i = 0; i < 4; i++) clients.push(await connect(t, url, "/", { forceNew: true }));
  for (const client of clients) await client.timeout(patience).emitWithAck("join", "room");
  const heard = Promise.all(clients.map((client) => once(client, "said")));
  clients[0].emit("say", "room", "hello");
  for (const [text] of await heard) assert.equal(text, "hello");
  const state = await (await fetch(url)).json();
  assert.equal(state.clients, 4);
  assert.equal(state.workers.length, 2);
  for (const client of clients) client.close();
  child.kill("SIGTERM");
  assert.equal(await ended(), 0);
});
