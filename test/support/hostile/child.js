/** A server in a process of its own, for tests that try to bring it down. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { Inbox, within } from "../wait.js";
import { WireSocket } from "../wire-client.js";

const FIXTURE = fileURLToPath(new URL("../../protocol/hostile/fixtures/server.mjs", import.meta.url));
export const WEBSOCKET_PATH = "/socket.io/?EIO=4&transport=websocket";

/**
 * Starts the process and waits until it listens.
 * @param t       test context, takes the clean-up
 * @param config  `options` of the server, and `app`: the name of what runs on it (see `fixtures/apps.mjs`), `appConfig` for it,
 *                `execArgv`: more options of Node.js
 */
export async function startChild(t, { options = {}, app = "plain", appConfig = {}, guarded = false, execArgv = [] } = {}) {
  const process_ = fork(FIXTURE, [], {
    execArgv: ["--expose-gc", ...execArgv],
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    serialization: "advanced",
  });
  const child = new Child(process_);
  t.after(() => child.stop());
  await within(Promise.race([child.ready, child.died()]), "the child to listen", () => child.output);
  child.port = await child.call("start", { options, app, appConfig, guarded });
  return child;
}

/** One process for all tests of a file; `use` is given it before the first. */
export function shareChild(config, use) {
  let child;
  before(async () => {
    child = await startChild({ after() {} }, config);
    use(child);
  });
  after(() => child?.stop());
}

class Child {
  constructor(process_) {
    this.process = process_;
    this.port = 0;
    this.output = "";
    this.calls = new Map();
    this.lastCall = 0;
    /** Everything the process told without being asked: `[kind, ...values]`. */
    this.reports = new Inbox("a report of the child");
    this.ready = new Promise((resolve) => (this.onReady = resolve));
    /** `{ code, signal }` once the process is gone. */
    this.exited = new Promise((resolve) => process_.once("exit", (code, signal) => resolve({ code, signal })));
    for (const stream of [process_.stdout, process_.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => (this.output = (this.output + text).slice(-20_000)));
    }
    process_.on("message", (message) => this.onMessage(message));
  }

  onMessage({ ready, id, result, error, report }) {
    if (ready) return this.onReady();
    if (report) return this.reports.push(report);
    const call = this.calls.get(id);
    this.calls.delete(id);
    if (error) call.reject(new Error(error));
    else call.resolve(result);
  }

  /** Rejects when the process ends; never settles while it lives. */
  async died() {
    const { code, signal } = await this.exited;
    throw new Error(`the child ended with ${signal ?? code}: ${this.output}`);
  }

  /** Runs an action of the fixture or of its app in the process and gives the result. */
  call(action, ...args) {
    const id = (this.lastCall += 1);
    const answer = new Promise((resolve, reject) => this.calls.set(id, { resolve, reject }));
    this.process.send({ id, action, args });
    return within(Promise.race([answer, this.died()]), `the child to answer ${action}`, () => this.output, 15_000);
  }

  /** The values of the next report of this kind, about `subject` if one is given; other reports before it are passed over. */
  async report(kind, subject, ms) {
    for (;;) {
      const [met, ...values] = await this.reports.next(ms);
      if (met === kind && (subject === undefined || values[0] === subject)) return values;
    }
  }

  /** Bytes the process holds on its heap and outside of it, garbage collected. */
  async heldBytes() {
    const { heapUsed, external } = await this.call("memory");
    return heapUsed + external;
  }

  /** Fails unless the process runs and none of its rules for errors was needed. */
  async assertUnharmed() {
    assert.equal(this.process.exitCode, null, this.output);
    const { uncaught } = await this.call("state");
    assert.deepEqual(uncaught, [], "uncaught errors");
  }

  /** Waits until so many engine sessions are left, asking again as often as the process answers. */
  async untilClients(count, ms = 10_000) {
    const end = performance.now() + ms;
    for (;;) {
      const { clients } = await this.call("state");
      if (clients === count) return;
      assert.ok(performance.now() < end, `${clients} sessions left instead of ${count}`);
    }
  }

  async stop() {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill("SIGKILL");
    await within(this.exited, "the child to end");
  }
}

/** A well-behaved client on `child`; `check()` proves that it is served and was not disturbed. `headers` may offer compression. */
export async function openBystander(t, child, headers) {
  const ws = await WireSocket.open(child.port, WEBSOCKET_PATH, headers, { windowBits: 15 });
  t.after(() => ws.abort());
  const bystander = new Bystander(ws);
  ws.send("40");
  assert.match(await bystander.next(), /^40\{"sid":"/);
  return bystander;
}

class Bystander {
  constructor(ws) {
    this.ws = ws;
    this.count = 0;
    this.waiting = new Inbox("a message for the bystander");
    void this.read();
  }

  /** Passes over the open packet, answers pings also while nobody waits for a message. */
  async read() {
    try {
      for (;;) {
        const message = await this.ws.next(10 * 60_000);
        if (message === "2") this.ws.send("3");
        else if (!(typeof message === "string" && message.startsWith("0{"))) this.waiting.push(message);
      }
    } catch (error) {
      this.waiting.end(error);
    }
  }

  next(ms) {
    return this.waiting.next(ms);
  }

  /** Events that others caused are passed over. */
  async check(ms) {
    const id = (this.count += 1);
    this.ws.send(`42${id}["echo",${id}]`);
    let message;
    do message = await this.next(ms);
    while (typeof message !== "string" || message.startsWith("42"));
    assert.equal(message, `43${id}[${id}]`);
  }
}

/** A joined WebSocket session, to be used badly. */
export async function openAttacker(t, child, { query = "", join = "40", headers } = {}) {
  const ws = await WireSocket.open(child.port, `${WEBSOCKET_PATH}${query}`, headers, { windowBits: 15 });
  t.after(() => ws.abort());
  ws.sid = JSON.parse((await ws.next()).slice(1)).sid;
  if (join) {
    ws.send(join);
    const answer = await ws.next();
    assert.match(answer, /^40/);
    ws.socketId = JSON.parse(answer.slice(answer.indexOf("{"))).sid;
  }
  return ws;
}

/** The report of the end of one engine session: `{ reason, description }`. */
export async function sessionEnd(child, sid, ms) {
  const [, reason, description] = await child.report("session close", sid, ms);
  return { reason, description };
}

/** Fails when `after` is more than `ceiling` bytes above `before`. */
export function assertBounded(before, after, ceiling, what) {
  assert.ok(after - before < ceiling, `${what}: ${mebibytes(after - before)} more held, at most ${mebibytes(ceiling)} expected`);
}

function mebibytes(bytes) {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
