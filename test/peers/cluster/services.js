/**
 * Real services on free loopback ports, each with a directory of its own: Redis (alone, as a cluster, with sentinels), PostgreSQL, NATS, nginx, HAProxy.
 * Each has `kill()`, `stop()`, `cont()` and `restart()` (on the same port), for tests of faults; all end with the test file.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { freePort } from "../../support/free-port.js";

export { freePort };

const START_MS = 30_000;

const closers = [];

/** Ends everything that was started; the file of a test does so by itself. */
export async function closeAll() {
  for (const close of closers.splice(0).reverse()) await Promise.resolve(close()).catch(() => {});
}

// Here, since inside a test it would belong to that test.
if (process.argv[1]?.endsWith(".test.js")) after(closeAll);

/** Runs `close` when the tests of the file are over; what was opened last is closed first. */
export function closeLater(close) {
  closers.push(close);
}

/** A directory that is removed when the tests of the file are over. */
function makeDirectory(name) {
  const directory = mkdtempSync(join(tmpdir(), `roomcast-${name}-`));
  closeLater(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Asks until the answer is true; for what no event tells. */
async function until(isSo, what) {
  const deadline = Date.now() + START_MS;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`waited ${START_MS} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A process and its children. Parents come first: what is stopped makes no more children. */
function familyOf(pid) {
  let children = [];
  try {
    children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
  } catch {
    // it has ended
  }
  return [pid, ...children.flatMap((child) => familyOf(Number(child)))];
}

/** Whether a process is gone, or only waits for its parent to take notice. */
function hasEnded(pid) {
  try {
    return /\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return true;
  }
}

const hasSetpriv = spawnSync("setpriv", ["--version"]).error === undefined;

/** A command that ends when this process is killed before it can end what it has started. */
function endingWithUs(command, args) {
  if (!hasSetpriv) return [command, args];
  const more = command === "setpriv" ? args : [command, ...args];
  return ["setpriv", ["--pdeathsig", "TERM", ...more]];
}

/** One program that serves a port, and can be hurt. */
class Service {
  /**
   * @param port   where it serves
   * @param ready  a pattern in its output, or a function that asks it
   */
  constructor(command, args, port, ready) {
    Object.assign(this, { command, args: args.map(String), port, ready, child: null });
    closeLater(() => this.kill());
  }

  get isRunning() {
    return this.child !== null && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Starts it, and waits until it is ready. */
  async start() {
    const [program, args] = endingWithUs(this.command, this.args);
    const child = (this.child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] }));
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output = (output + chunk).slice(-100_000)));
    let failure;
    child.once("error", (error) => (failure = error));
    await until(async () => {
      if (failure) throw failure;
      if (!this.isRunning) throw new Error(`${this.command} ended with ${child.exitCode ?? child.signalCode}: ${output}`);
      return this.ready instanceof RegExp ? this.ready.test(output) : this.ready();
    }, `${this.command} to start`);
    return this;
  }

  /** Gives the processes that got the signal. */
  #signal(name) {
    const pids = familyOf(this.child.pid);
    for (const pid of pids) {
      try {
        process.kill(pid, name);
      } catch (error) {
        if (error.code !== "ESRCH") throw error;
      }
    }
    return pids;
  }

  /** Ends it at once, with SIGKILL; connections are reset. */
  async kill() {
    if (!this.isRunning) return;
    const ended = once(this.child, "exit");
    const pids = this.#signal("SIGKILL");
    await ended;
    await until(() => pids.every(hasEnded), `the processes of ${this.command} to end`);
  }

  /** Stops it with SIGSTOP: connections stay, and nobody answers. */
  stop() {
    this.#signal("SIGSTOP");
  }

  /** Continues what was stopped. */
  cont() {
    this.#signal("SIGCONT");
  }

  /** Kills it where it runs, and starts it on the same port. */
  async restart() {
    await this.kill();
    await this.start();
  }
}

/** Several programs that are one service; each is in `members`. */
class Services {
  constructor(members, more) {
    Object.assign(this, { members }, more);
  }
  kill() {
    return Promise.all(this.members.map((member) => member.kill()));
  }
  stop() {
    for (const member of this.members) member.stop();
  }
  cont() {
    for (const member of this.members) member.cont();
  }
  restart() {
    return Promise.all(this.members.map((member) => member.restart()));
  }
}

async function startRedisServer(directory, more = [], { host = "127.0.0.1", namespace } = {}) {
  const port = await freePort();
  const args = ["--port", port, "--bind", host, "--dir", directory, "--save", "", "--appendonly", "no", "--protected-mode", "no", ...more];
  const [program, ...before] = namespace === undefined ? ["redis-server"] : ["ip", "netns", "exec", namespace, "redis-server"];
  return new Service(program, [...before, ...args], port, /Ready to accept connections/).start();
}

/**
 * Starts Redis; `connection` is its URL.
 * @param where  `namespace` and `host`: a network namespace to run in, and its address there
 */
export async function startRedis(where = {}) {
  const service = await startRedisServer(makeDirectory("redis"), [], where);
  service.connection = `redis://${where.host ?? "127.0.0.1"}:${service.port}`;
  return service;
}

function redisCli(...args) {
  const { status, stdout, stderr } = spawnSync("redis-cli", args.map(String), { encoding: "utf8" });
  if (status !== 0) throw new Error(`redis-cli ${args.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

/** Starts a Redis Cluster of three masters with a replica each; `connection` is the list of its nodes, `{ host, port }`. */
export async function startRedisCluster() {
  const members = [];
  for (let index = 0; index < 6; index++) {
    const args = [
      "--cluster-enabled",
      "yes",
      "--cluster-port",
      await freePort(),
      "--cluster-node-timeout",
      1000,
      "--repl-diskless-sync-delay",
      0,
    ];
    members.push(await startRedisServer(makeDirectory("redis-cluster"), args));
  }
  const nodes = members.map(({ port }) => `127.0.0.1:${port}`);
  redisCli("--cluster", "create", ...nodes, "--cluster-replicas", 1, "--cluster-yes");
  const info = (port) => redisCli("-p", port, "cluster", "info");
  await until(() => members.every(({ port }) => /cluster_state:ok/.test(info(port))), "the nodes of the Redis Cluster to agree");
  const follows = ({ port }) => /role:master|master_link_status:up/.test(redisCli("-p", port, "info", "replication"));
  await until(() => members.every(follows), "the replicas to have what their masters have"); // others never take their place
  return new Services(members, { connection: members.map(({ port }) => ({ host: "127.0.0.1", port })) });
}

/**
 * Starts Redis with a replica and three sentinels, which replace a master that was away for a second.
 * `connection` is `{ name, sentinels: [{ host, port }] }`; `master()` gives the member that is the master now.
 */
export async function startRedisSentinel() {
  const name = "main";
  const master = await startRedisServer(makeDirectory("redis"), ["--repl-diskless-sync-delay", 0]);
  const replica = await startRedisServer(makeDirectory("redis"), ["--replicaof", "127.0.0.1", master.port]);
  await until(() => /master_link_status:up/.test(redisCli("-p", replica.port, "info", "replication")), "the replica to follow the master");
  const sentinels = [];
  for (let index = 0; index < 3; index++) {
    const port = await freePort();
    const file = join(makeDirectory("sentinel"), "sentinel.conf");
    const lines = [
      `port ${port}`,
      "bind 127.0.0.1",
      `sentinel monitor ${name} 127.0.0.1 ${master.port} 2`,
      `sentinel down-after-milliseconds ${name} 1000`,
      `sentinel failover-timeout ${name} 5000`,
    ];
    writeFileSync(file, lines.join("\n"));
    sentinels.push(await new Service("redis-server", [file, "--sentinel"], port, /\+monitor/).start());
  }
  const knows = (port) => {
    const text = redisCli("-p", port, "sentinel", "master", name);
    return /num-slaves\n1\n/.test(text) && /num-other-sentinels\n2\n/.test(text);
  };
  await until(() => sentinels.every(({ port }) => knows(port)), "the sentinels to know each other");
  const members = [master, replica, ...sentinels];
  return new Services(members, {
    connection: { name, sentinels: sentinels.map(({ port }) => ({ host: "127.0.0.1", port })) },
    master() {
      const sentinel = sentinels.find(({ isRunning }) => isRunning);
      const [, port] = redisCli("-p", sentinel.port, "sentinel", "get-master-addr-by-name", name).trim().split("\n");
      return members.find((member) => member.port === Number(port));
    },
  });
}

/** Replaces this process by another one of that user, so that a signal reaches it. */
const AS_POSTGRES = ["--reuid=postgres", "--regid=postgres", "--clear-groups"];

/** Starts PostgreSQL; `connection` is what `pg` connects with. As root it runs as the user `postgres`, since it refuses to run as root. */
export async function startPostgres() {
  const directory = makeDirectory("postgres");
  const bin = postgresPrograms();
  const isRoot = process.getuid() === 0;
  const asUser = (program, args) => (isRoot ? ["setpriv", [...AS_POSTGRES, join(bin, program), ...args]] : [join(bin, program), args]);
  if (isRoot) spawnSync("chown", ["postgres", directory]);
  const [initdb, initArgs] = asUser("initdb", ["-D", directory, "-U", "test", "-A", "trust", "--no-sync"]);
  const made = spawnSync(initdb, initArgs, { encoding: "utf8" });
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`);
  const port = await freePort();
  const [postgres, args] = asUser("postgres", ["-D", directory, "-p", port, "-h", "127.0.0.1", "-k", directory, "-F"]);
  const service = await new Service(postgres, args, port, /ready to accept connections/).start();
  service.connection = { host: "127.0.0.1", port, user: "test", database: "postgres" };
  return service;
}

function postgresPrograms() {
  const root = "/usr/lib/postgresql";
  if (!existsSync(root)) return "/usr/local/bin";
  const [newest] = readdirSync(root).sort((a, b) => Number(b) - Number(a));
  return join(root, newest, "bin");
}

/** Starts NATS, with JetStream or not; `connection` is its URL. */
export async function startNats({ jetstream = true } = {}) {
  const port = await freePort();
  const args = ["-a", "127.0.0.1", "-p", port, ...(jetstream ? ["-js", "-sd", makeDirectory("nats")] : [])];
  const service = await new Service("nats-server", args, port, /Server is ready/).start();
  service.connection = `nats://127.0.0.1:${port}`;
  return service;
}

const answers = (port) => () =>
  fetch(`http://127.0.0.1:${port}/`).then(
    (response) => response.body.cancel().then(() => true),
    () => false,
  );

/** Starts nginx; `directives(port)` gives what stands in `http { … }`, with a server that listens on the port. */
export async function startNginx(directives) {
  const directory = makeDirectory("nginx");
  const port = await freePort();
  const file = join(directory, "nginx.conf");
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${directory}/${name};`);
  writeFileSync(
    file,
    `${process.getuid() === 0 ? "user root;" : ""}
    daemon off; worker_processes 1; pid ${directory}/nginx.pid; error_log stderr crit;
    events { worker_connections 4096; }
    http { access_log off; ${temporary.join(" ")} ${directives(port)} }`,
  );
  return new Service("nginx", ["-c", file, "-p", directory, "-e", "stderr"], port, answers(port)).start();
}

/** Starts HAProxy; `sections(port)` gives its configuration, with a `bind` to the port. */
export async function startHaproxy(sections) {
  const port = await freePort();
  const file = join(makeDirectory("haproxy"), "haproxy.cfg");
  writeFileSync(file, sections(port));
  return new Service("haproxy", ["-db", "-f", file], port, answers(port)).start();
}
