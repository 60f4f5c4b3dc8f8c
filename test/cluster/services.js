/** Real Redis and PostgreSQL processes on free loopback ports, each with a directory of its own; they end with the test file. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts `command` and waits until a line of its output matches `ready`. */
async function start(command, args, ready) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${command} said nothing in time: ${output}`)), 30_000);
    const onData = (chunk) => {
      output += chunk;
      if (!ready.test(output)) return;
      clearTimeout(timer);
      resolve();
    };
    child.stdout.on("data", onData);
    child.stderr.on("data", onData);
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`${command} ended with ${code}: ${output}`)));
  });
  return child;
}

const closers = [];

/** Runs `close` when the tests of the file are over; what was opened last is closed first. */
export function closeLater(close) {
  if (closers.length === 0) {
    after(async () => {
      for (const each of closers.reverse()) await Promise.resolve(each()).catch(() => {});
    });
  }
  closers.push(close);
}

function endLater(child, directory) {
  closeLater(async () => {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
    rmSync(directory, { recursive: true, force: true });
  });
}

/** Starts Redis; gives its URL. */
export async function startRedis() {
  const directory = mkdtempSync(join(tmpdir(), "roomcast-redis-"));
  const port = await freePort();
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--dir", directory, "--save", "", "--appendonly", "no"];
  endLater(await start("redis-server", args, /Ready to accept connections/), directory);
  return `redis://127.0.0.1:${port}`;
}

/** Replaces this process by another one of that user, so that a signal reaches it. */
const AS_POSTGRES = ["--reuid=postgres", "--regid=postgres", "--clear-groups"];

/** Starts PostgreSQL; gives what `pg` connects with. As root it runs as the user `postgres`, since it refuses to run as root. */
export async function startPostgres() {
  const directory = mkdtempSync(join(tmpdir(), "roomcast-postgres-"));
  const bin = postgresPrograms();
  const isRoot = process.getuid() === 0;
  const asUser = (program, args) => (isRoot ? ["setpriv", [...AS_POSTGRES, join(bin, program), ...args]] : [join(bin, program), args]);
  if (isRoot) spawnSync("chown", ["postgres", directory]);
  const [initdb, initArgs] = asUser("initdb", ["-D", directory, "-U", "test", "-A", "trust", "--no-sync"]);
  const made = spawnSync(initdb, initArgs, { encoding: "utf8" });
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`);
  const port = await freePort();
  const [postgres, args] = asUser("postgres", ["-D", directory, "-p", String(port), "-h", "127.0.0.1", "-k", directory, "-F"]);
  endLater(await start(postgres, args, /ready to accept connections/), directory);
  return { host: "127.0.0.1", port, user: "test", database: "postgres" };
}

function postgresPrograms() {
  const root = "/usr/lib/postgresql";
  if (!existsSync(root)) return "/usr/local/bin";
  const [newest] = readdirSync(root).sort((a, b) => Number(b) - Number(a));
  return join(root, newest, "bin");
}
