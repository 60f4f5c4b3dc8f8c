/** The command `serve`. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, existsSync, readdirSync, readlinkSync, truncateSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { WebSocket } from "ws";
import { connect } from "../../support/client.js";
import { oursOnly } from "../../support/target.js";
import { pass, within } from "../../support/wait.js";
import { roomcast } from "./command.js";
import { folder, startServer } from "./fixtures.js";

const OURS = oursOnly("it has no such command");

/** A request with exactly this path. @returns `{ status, type, body }`, and `location` where there is one */
async function get(url, path, method = "GET", headers = {}) {
  const outgoing = request(new URL(url), { path, method, headers });
  outgoing.end();
  const [response] = await once(outgoing, "response");
  const body = (await response.setEncoding("utf8").toArray()).join("");
  const { "content-type": type, location } = response.headers;
  return { status: response.statusCode, type, body, ...(location === undefined ? {} : { location }) };
}

test("serve gives the files of its folder, and nothing else [ROB-965]", OURS, async (t) => {
  const command = roomcast(t, ["serve", folder(t), "--port", "0"]);
  const [, url] = await command.until(/on (http:\/\/127\.0\.0\.1:\d+)/);
  assert.deepEqual(await get(url, "/"), { status: 200, type: "text/html; charset=utf-8", body: "<h1>page</h1>" });
  assert.deepEqual(await get(url, "/sub/a%20b.js?x"), { status: 200, type: "text/javascript; charset=utf-8", body: "1" });
  assert.equal((await get(url, "/", "HEAD")).body, "");
  assert.equal((await get(url, "/empty.txt")).body, "");
  assert.equal((await get(url, "/", "POST")).status, 405);
  for (const path of [
    "/../secret.txt",
    "/%2e%2e/secret.txt",
    "/..%2fsecret.txt",
    "/link.txt",
    "/env.txt",
    "/.env",
    "/sub",
    "/sub/",
    "/missing",
    "/%00",
    "/%zz",
  ])
    assert.equal((await get(url, path)).status, 404, path);
  assert.match((await get(url, "/socket.io/socket.io.js")).body, /^\/\*!/);
  command.child.kill("SIGTERM");
  assert.equal((await command.ended()).code, 0);
});

test("serve leads to the slash behind a folder, with the query, and to no other host [ROB-965]", OURS, async (t) => {
  const directory = folder(t);
  writeFileSync(join(directory, "sub/index.html"), "sub");
  const command = roomcast(t, ["serve", directory, "--port", "0"]);
  const [, url] = await command.until(/on (http:\/\/127\.0\.0\.1:\d+)/);
  const places = { "/sub": "/sub/", "/sub?a=/b&c": "/sub/?a=/b&c", "//sub": "/sub/", "///sub?x": "/sub/?x", "/%2fsub": "/sub/" };
  for (const [path, location] of Object.entries(places)) {
    const { status, location: met } = await get(url, path);
    assert.deepEqual([status, met], [301, location], path);
  }
  assert.equal((await get(url, "/sub/")).body, "sub");
  assert.equal((await get(url, "//evil.example/..")).status, 404);
});

test("serve refuses a file that may not be read [ROB-965]", OURS, async (t) => {
  const directory = folder(t);
  chmodSync(dirname(directory), 0o755);
  writeFileSync(join(directory, "closed.txt"), "closed");
  chmodSync(join(directory, "closed.txt"), 0);
  const asNobody = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}; // root may read it
  const command = roomcast(t, ["serve", directory, "--port", "0"], { options: asNobody });
  const [, url] = await command.until(/on (http:\/\/127\.0\.0\.1:\d+)/);
  for (const method of ["GET", "HEAD"]) assert.equal((await get(url, "/closed.txt", method)).status, 403);
  assert.equal((await get(url, "/")).status, 200);
});

test("serve refuses requests for hosts of others while it listens for its machine alone [ROB-965]", OURS, async (t) => {
  const command = roomcast(t, ["serve", folder(t), "--cors", "*", "--port", "0"]);
  const [, url] = await command.until(/on (http:\/\/127\.0\.0\.1:\d+)/);
  const { port } = new URL(url);
  const open = (host) => {
    const socket = new WebSocket(`${url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`, {
      headers: { host, origin: `http://${host}` },
    });
    const opened = once(socket, "open").then(() => 101);
    const refused = once(socket, "unexpected-response").then(([, response]) => response.statusCode);
    socket.on("error", () => {});
    return Promise.race([opened, refused]).finally(() => socket.terminate());
  };
  const paths = ["/", "/socket.io/?EIO=4&transport=polling", "/socket.io/socket.io.js"];
  for (const host of ["localhost", "127.0.0.1", "app.localhost", "[::1]"]) {
    for (const path of paths) assert.equal((await get(url, path, "GET", { host: `${host}:${port}` })).status, 200, host + path);
    assert.equal(await open(`${host}:${port}`), 101, host);
  }
  for (const host of ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "192.168.0.1"]) {
    for (const path of paths) {
      const { status, body } = await get(url, path, "GET", { host: `${host}:${port}` });
      assert.equal(status, 403, host + path);
      assert.match(body, /answers requests for localhost.*--host/);
    }
    assert.equal(await open(`${host}:${port}`), 400, host); // how the engine refuses a WebSocket
  }
});

test("serve answers requests for any host with --host for other machines [ROB-965]", OURS, async (t) => {
  const command = roomcast(t, ["serve", folder(t), "--host", "0.0.0.0", "--port", "0"]);
  const [, url] = await command.until(/on (http:\/\/localhost:\d+)/);
  assert.equal((await get(url.replace("localhost", "127.0.0.1"), "/", "GET", { host: "box.example" })).status, 200);
});

test("serve closes the file of a client that leaves in the middle [ROB-965]", OURS, async (t) => {
  const directory = folder(t);
  const file = join(directory, "large.bin");
  writeFileSync(file, "");
  truncateSync(file, 200 * 1024 * 1024);
  const command = roomcast(t, ["serve", directory, "--port", "0"]);
  const [, url] = await command.until(/on (http:\/\/127\.0\.0\.1:\d+)/);
  const outgoing = request(new URL("/large.bin", url)).on("error", () => {});
  outgoing.end();
  const [response] = await once(outgoing, "response");
  await once(response, "readable");
  const descriptors = `/proc/${command.child.pid}/fd`;
  const isOpen = () =>
    existsSync(descriptors) &&
    readdirSync(descriptors).some((name) => {
      try {
        return readlinkSync(join(descriptors, name)).endsWith("large.bin");
      } catch {
        return false;
      }
    });
  outgoing.destroy();
  const isClosed = async () => {
    while (isOpen()) await pass(20);
  };
  await within(isClosed(), "the file to be closed", undefined, 20_000);
});

test("serve takes pages of its own origin and of the given ones [ROB-965]", OURS, async (t) => {
  const command = roomcast(t, ["serve", folder(t), "--cors", "https://page.example", "--port", "0"]);
  const [, url] = await command.until(/on (http:\/\/127\.0\.0\.1:\d+)/);
  const status = async (origin) => (await get(url, "/socket.io/?EIO=4&transport=polling", "GET", origin === null ? {} : { origin })).status;
  for (const origin of [null, url, "https://page.example"]) assert.equal(await status(origin), 200, origin);
  for (const origin of ["https://other.example", "null"]) assert.equal(await status(origin), 403, origin);
  command.child.kill("SIGTERM");
  await command.ended();
});

test("serve prints its address alone with --quiet, also as JSON [ROB-965]", OURS, async (t) => {
  const command = roomcast(t, ["serve", folder(t), "--port", "0", "--json", "--quiet"]);
  const [, url] = await command.until(/"url":"(http:[^"]+)"/);
  const client = await connect(t, url);
  await client.emitWithAck("x");
  command.child.kill("SIGTERM");
  const { stdout } = await command.ended();
  assert.equal(JSON.parse(stdout).event, "listening");
});

test("serve relays events to the others, in rooms and in any namespace, and answers [ROB-965]", OURS, async (t) => {
  const command = roomcast(t, ["serve", folder(t), "--port", "0"]);
  const [, url] = await command.until(/on (http:\/\/127\.0\.0\.1:\d+)/);
  const clients = [];
  for (let index = 0; index < 3; index++) clients.push(await connect(t, `${url}/any`));
  const [ann, bob, eve] = clients;
  const heard = Promise.all([bob, eve].map((client) => once(client, "x")));
  assert.deepEqual(await ann.emitWithAck("x", 1, Buffer.from([1])), { relayed: true });
  for (const args of await heard) assert.deepEqual([args[0], Buffer.from(args[1])], [1, Buffer.from([1])]);
  for (const client of [ann, bob]) await client.emitWithAck("join", "tea");
  const others = [];
  eve.on("y", () => others.push("eve"));
  const inRoom = once(bob, "y");
  await ann.emitWithAck("y");
  await inRoom;
  const fence = once(eve, "z");
  await ann.emitWithAck("leave", "tea");
  await ann.emitWithAck("z");
  await fence;
  assert.deepEqual(others, []);
});

test("serve says why it cannot start [ROB-966]", OURS, async (t) => {
  const { url } = await startServer(t);
  const { code, stderr } = await roomcast(t, ["serve", folder(t), "--port", new URL(url).port]).ended();
  assert.equal(code, 1);
  assert.match(stderr, /^roomcast: serve: listen EADDRINUSE/);
  const nowhere = ["serve", folder(t), "--host", "192.0.2.1"];
  assert.match((await roomcast(t, nowhere, { env: { PORT: "" } }).ended()).stderr, /^roomcast: serve: listen .*192\.0\.2\.1:3000/);
  assert.match(
    (await roomcast(t, nowhere, { env: { PORT: "x" } }).ended()).stderr,
    /^roomcast: the environment variable PORT: expected a number/,
  );
});
