/**
 * Clients of three servers with `roomcast/cluster` behind nginx and HAProxy, in plain turns: no sticky sessions. `PROXY_CLIENTS=500` gives the number of
 * clients per transport; the figures are diagnostics.
 */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { io } from "socket.io-client";
import { within } from "../../support/wait.js";
import { closeLater, freePort, startHaproxy, startNginx } from "./services.js";

const SERVER = fileURLToPath(new URL("fixtures/proxied.cjs", import.meta.url));
const CLIENTS = Number(process.env.PROXY_CLIENTS ?? 150);
const ROUNDS = 20;
const AT_ONCE = 50;
const LIMIT_MS = 240_000;
const timeout = 2 * LIMIT_MS;

const nginx = (ports) =>
  startNginx(
    (port) => `
      upstream servers { ${ports.map((each) => `server 127.0.0.1:${each} max_fails=0;`).join(" ")} keepalive 64; }
      map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
      server {
        listen 127.0.0.1:${port} backlog=4096;
        location / {
          proxy_pass http://servers;
          proxy_http_version 1.1;
          proxy_set_header Host $host;
          proxy_set_header Upgrade $http_upgrade;
          proxy_set_header Connection $connection_upgrade;
          proxy_read_timeout 75s;
          proxy_next_upstream error timeout http_503;
        }
      }`,
  );

const haproxy = (ports) =>
  startHaproxy(
    (port) => `
global
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 75s
  timeout server 75s
  timeout tunnel 1h
  retries 3
  option redispatch 1
  retry-on conn-failure 503
frontend clients
  bind 127.0.0.1:${port}
  default_backend servers
backend servers
  balance roundrobin
  ${ports.map((each, index) => `server s${index} 127.0.0.1:${each}`).join("\n  ")}
`,
  );

/** The three servers, each a process with a port of its own. */
class Farm {
  static async start(t) {
    const farm = new Farm();
    farm.directory = mkdtempSync(join(tmpdir(), "roomcast-proxies-"));
    farm.ports = [await freePort(), await freePort(), await freePort()];
    farm.children = [];
    t.after(async () => {
      await Promise.all(farm.children.map((_, index) => farm.end(index, "SIGKILL")));
      rmSync(farm.directory, { recursive: true, force: true });
    });
    for (const index of farm.ports.keys()) await farm.startOne(index);
    return farm;
  }

  async startOne(index) {
    const running = this.children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null).length;
    const child = fork(SERVER, [this.ports[index], this.directory, running + 1]);
    this.children[index] = child;
    closeLater(() => child.kill("SIGKILL"));
    assert.deepEqual(await once(child, "message"), ["listening", undefined]);
  }

  /** What a server got from its clients, by the id of the client. */
  async gotBy(index) {
    const answered = once(this.children[index], "message");
    this.children[index].send("got");
    return (await within(answered, `server ${index} to answer`, undefined, 30_000))[0];
  }

  async end(index, signal) {
    const child = this.children[index];
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const ended = once(child, "exit");
    child.kill(signal);
    return (await within(ended, `server ${index} to end`, undefined, 30_000))[0];
  }
}

/** A client that says `up` with the next number whenever the last one was answered, until it has reached its goal. */
class Client {
  constructor(url, id, transports, goal) {
    Object.assign(this, { id, got: [], lost: [], statuses: [] });
    this.nextGoal(goal);
    this.socket = io(url, { forceNew: true, transports, auth: { id }, reconnectionDelay: 100, reconnectionDelayMax: 1000 });
    this.socket.on("connect", () => {
      this.ask();
    });
    this.socket.on("down", (index) => {
      if (index !== this.got.length) return;
      this.got.push(index);
      if (this.got.length >= this.goal) this.reached();
      else this.ask();
    });
    this.socket.on("disconnect", (reason, details) => this.note(reason, details));
    this.socket.on("connect_error", (error) => this.note(error.message, error));
  }

  nextGoal(goal) {
    this.goal = goal;
    return (this.done = new Promise((resolve) => (this.reached = resolve)));
  }

  ask() {
    if (this.socket.connected) this.socket.emit("up", this.got.length);
  }

  note(reason, details) {
    this.lost.push(reason);
    const status = details?.description?.description ?? details?.description;
    if (typeof status === "number") this.statuses.push(status);
  }
}

async function connectAll(t, port, transports, goal, count = CLIENTS) {
  const clients = [];
  t.after(() => clients.forEach(({ socket }) => socket.disconnect()));
  for (let index = 0; index < count; index++) {
    clients.push(new Client(`http://127.0.0.1:${port}`, `${transports.join()} ${index}`, transports, goal));
    if (index % AT_ONCE < AT_ONCE - 1) continue;
    await within(
      Promise.all(clients.map(({ socket }) => socket.connected || once(socket, "connect"))),
      "clients to connect",
      undefined,
      LIMIT_MS,
    );
  }
  return clients;
}

const numbers = (count) => Array.from({ length: count }, (_, index) => index);
const kinds = { polling: ["polling"], upgrade: ["polling", "websocket"], websocket: ["websocket"] };

for (const [name, startProxy] of Object.entries({ nginx, HAProxy: haproxy })) {
  for (const [kind, transports] of Object.entries(kinds)) {
    test(
      `${CLIENTS} clients with ${kind} lose nothing behind ${name} that serves three servers in turns [ROB-919, ROB-890]`,
      { timeout },
      async (t) => {
        const farm = await Farm.start(t);
        const proxy = await startProxy(farm.ports);
        t.after(() => proxy.kill());
        const startedAt = Date.now();
        const clients = await connectAll(t, proxy.port, transports, ROUNDS);
        await within(Promise.all(clients.map(({ done }) => done)), "all messages", () => clients.map(({ got }) => got.length), LIMIT_MS);
        const seconds = (Date.now() - startedAt) / 1000;
        const upgraded = clients.filter(({ socket }) => socket.io.engine.transport.name === "websocket").length;
        for (const { got, lost, statuses } of clients)
          assert.deepEqual({ got, lost, statuses }, { got: numbers(ROUNDS), lost: [], statuses: [] });
        const shares = await Promise.all(farm.ports.map((_, index) => farm.gotBy(index)));
        const merged = Object.assign({}, ...shares);
        for (const { id } of clients) assert.deepEqual(merged[id], numbers(ROUNDS));
        if (kind !== "polling") assert.ok(upgraded > 0, "no client is on WebSocket"); // on a busy machine some upgrades are given up
        const counts = shares.map((share) => Object.keys(share).length);
        assert.equal(
          counts.reduce((sum, count) => sum + count),
          CLIENTS,
        ); // each client stayed with one server
        assert.ok(
          counts.every((count) => count > 0),
          `clients per server: ${counts}`,
        );
        t.diagnostic(
          `${name}, ${kind}: ${CLIENTS} clients, ${CLIENTS * ROUNDS} messages each way, none lost, no 400, in ${seconds.toFixed(1)} s; clients per server ${counts}, ${upgraded} on WebSocket`,
        );
      },
    );
  }

  test(`clients behind ${name} go on when a server is killed and another one is replaced [ROB-919, ROB-891]`, { timeout }, async (t) => {
    const farm = await Farm.start(t);
    const proxy = await startProxy(farm.ports);
    t.after(() => proxy.kill());
    const groups = Object.values(kinds).map((transports) => connectAll(t, proxy.port, transports, Infinity, Math.ceil(CLIENTS / 5)));
    const clients = (await Promise.all(groups)).flat();
    const goOn = async (what) => {
      await within(Promise.all(clients.map((client) => client.nextGoal(client.got.length + ROUNDS))), what, undefined, LIMIT_MS);
      for (const client of clients) client.goal = Infinity;
      for (const client of clients) client.ask();
    };
    await goOn("messages before the faults");
    assert.deepEqual(
      clients.flatMap(({ lost }) => lost),
      [],
    );
    await farm.end(0, "SIGKILL");
    await goOn("messages after a server was killed");
    const killed = summary(clients);
    await farm.startOne(0);
    assert.equal(await farm.end(1, "SIGTERM"), 0);
    await farm.startOne(1);
    await goOn("messages after a server was replaced");
    const replaced = summary(clients);
    for (const { got, statuses } of clients) {
      assert.deepEqual(got, numbers(got.length));
      assert.ok(statuses.filter((status) => status === 400).length <= 2, `answered ${statuses}`); // once per server that went
    }
    t.diagnostic(
      `${name}: ${clients.length} clients; after the kill ${JSON.stringify(killed)}; after the replacement, too, ${JSON.stringify(replaced)}`,
    );
  });
}

/** How many clients were interrupted, and what they met. */
function summary(clients) {
  const counts = {};
  for (const { lost, statuses } of clients) for (const each of [...lost, ...statuses]) counts[each] = (counts[each] ?? 0) + 1;
  return { interrupted: clients.filter(({ lost }) => lost.length > 0).length, ...counts };
}
