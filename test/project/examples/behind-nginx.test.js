/** The example behind nginx: two workers act as one server, and are replaced while clients are connected. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once as onceEvent } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { connect, record } from "../../support/client.js";
import { hasNginx } from "../../support/proxies.js";
import { oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";

const options = hasNginx ? oursOnly("the example has an adapter of roomcast") : { skip: "nginx is not installed" };
const script = fileURLToPath(new URL("../../../examples/behind-nginx/start.sh", import.meta.url));

async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => onceEvent(server, "listening")));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Runs start.sh. `until(text)` waits until it has printed a text. */
async function start(t) {
  const [port, a, b] = await freePorts(3);
  const env = { ...process.env, PORT: String(port), PORT_A: String(a), PORT_B: String(b), NODE_OPTIONS: "" };
  const child = spawn(script, { env, stdio: ["ignore", "pipe", "pipe"], detached: true });
  const gone = onceEvent(child, "exit");
  t.after(async () => {
    if (child.exitCode === null) process.kill(-child.pid, "SIGKILL");
    await gone;
  });
  let printed = "";
  let check = () => {};
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text) => {
      printed += text;
      check();
    });
  const until = (text) =>
    within(
      new Promise((resolve, reject) => {
        check = () => printed.includes(text) && resolve();
        check();
        void gone.then(() => reject(new Error(`start.sh has ended: ${printed}`)));
      }),
      `start.sh to print "${text}"`,
      () => printed,
      30_000,
    );
  await until("nginx listens");
  return { url: `http://localhost:${port}`, child, gone, until, printed: () => printed };
}

test("two workers behind nginx act as one, and are replaced without a failed request [ROB-984]", options, async (t) => {
  const { url, child, gone, until, printed } = await start(t);
  (await connect(t, url, "/", { transports: ["polling"], extraHeaders: { origin: url } })).disconnect(); // a page of this site
  assert.equal((await fetch(`${url}/socket.io/?EIO=4&transport=polling`, { headers: { origin: "http://localhost" } })).status, 403);

  const clients = [];
  for (const transports of [["polling"], ["websocket"], ["polling", "websocket"], ["websocket"]])
    clients.push(await connect(t, url, "/", { transports, reconnection: true, reconnectionDelay: 100 }));
  const pids = new Set(await Promise.all(clients.map((socket) => socket.emitWithAck("join", "tea"))));
  assert.equal(pids.size, 2, "both workers have clients");
  const heard = clients.map((socket) => record(socket, "said"));
  clients[0].emit("say", "tea", "hello");
  for (const each of heard) assert.deepEqual((await each.until((events) => events.length > 0))[0].slice(0, 2), ["said", "hello"]);
  const large = "x".repeat(1000); // many together are a body that nginx keeps in a file
  for (let i = 0; i < 40; i += 1) clients[0].emit("say", "tea", large);
  for (const each of heard) await each.until((events) => events.length === 41);

  const again = clients.map((socket) => record(socket, "connect"));
  child.kill("SIGHUP");
  const statuses = new Set();
  let isReplaced = false;
  const replaced = until("replaced").then(() => (isReplaced = true));
  while (!isReplaced) statuses.add((await fetch(url)).status);
  await replaced;
  assert.deepEqual([...statuses], [200], printed());
  for (const each of again) await each.until((events) => events.length > 0);
  const { workers } = await (await fetch(url)).json();
  assert.equal(workers.length, 2);
  const fresh = await Promise.all(clients.map((socket) => socket.timeout(5000).emitWithAck("join", "tea")));
  assert.ok(
    fresh.every((pid) => !pids.has(pid)),
    "new workers",
  );

  child.kill("SIGTERM");
  assert.deepEqual(await within(gone, "start.sh to end", printed, 30_000), [0, null]);
  await assert.rejects(fetch(url));
  for (const pid of fresh) assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
});
