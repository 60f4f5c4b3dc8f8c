/** What the package is when it is loaded. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { directory, importTarget, manifest, requireFromTarget } from "../../support/packages.js";
import { pair } from "../../support/pairs.js";
import { oursOnly, target } from "../../support/target.js";

const { Server, Namespace, Socket } = target;

test("gives a server for every way to call the module [MOD-1, SRV-1]", () => {
  for (const io of [target(), target({ path: "/x" }), target(undefined, {}), new Server(), new target.Server()]) {
    assert.ok(io instanceof Server);
    assert.equal(io.engine, undefined);
  }
  assert.equal(target({ path: "/x" }).path(), "/x");
});

test("carries exactly the three classes, and they need new [MOD-2]", () => {
  assert.deepEqual(Object.keys(target).sort(), ["Namespace", "Server", "Socket"]);
  assert.throws(() => Server(), TypeError);
});

test("exports the error classes, to CommonJS and ES modules [ROB-431]", oursOnly("it has none"), async () => {
  const module = await importTarget();
  for (const name of ["RoomcastError", "UsageError", "ProtocolError", "LimitError", "ClusterError", "EncodingError"]) {
    assert.equal(typeof target[name], "function", name);
    assert.equal(module[name], target[name], name);
  }
  assert.throws(() => new Server(42.5, { path: 5 }), target.UsageError);
});

test("exports the same classes to ES modules [MOD-3]", async () => {
  const module = await importTarget();
  for (const [name, value] of Object.entries({ Server, Namespace, Socket })) assert.equal(module[name], value, name);
});

test("shows its manifest [MOD-6]", () => {
  const { name, version } = requireFromTarget(`${manifest.name}/package.json`);
  assert.deepEqual([name, version], [manifest.name, manifest.version]);
});

test("keeps a door for the deep import of event-map types [MOD-5]", oursOnly("it resolves by file path alone"), () => {
  assert.deepEqual(Object.keys(requireFromTarget("roomcast/dist/typed-events")), []);
});

test("makes event emitters of its classes [MOD-7]", async (t) => {
  const { io, socket } = await pair(t);
  for (const emitter of [io, io.of("/"), socket]) assert.ok(emitter instanceof EventEmitter);
  assert.ok(io.of("/") instanceof Namespace);
  assert.ok(socket instanceof Socket);
});

test("loads the files that tools patch by path [MOD-9]", () => {
  for (const [file, name] of [
    ["dist/socket.js", "Socket"],
    ["dist/broadcast-operator.js", "BroadcastOperator"],
  ]) {
    const path = join(directory, file);
    assert.ok(existsSync(path), path);
    assert.ok(requireFromTarget.cache[path], `${file} is loaded with the package`);
    assert.equal(typeof requireFromTarget(path)[name], "function");
  }
  assert.equal(requireFromTarget(join(directory, "dist/socket.js")).Socket, Socket);
});

test("uses the prototypes that tools patch [MOD-9, MEM-9]", async (t) => {
  const { BroadcastOperator } = requireFromTarget(join(directory, "dist/broadcast-operator.js"));
  const seen = [];
  for (const [prototype, name] of [
    [Socket.prototype, "emit"],
    [BroadcastOperator.prototype, "emit"],
    [Socket.prototype, "on"],
  ]) {
    const original = prototype[name];
    t.after(() => (prototype[name] = original));
    prototype[name] = function (...args) {
      seen.push([this.constructor.name, name, args[0]]);
      return original.apply(this, args);
    };
  }
  const { io, socket } = await pair(t);
  seen.length = 0;
  socket.on("heard", () => {});
  socket.emit("said");
  io.to("room").emit("broadcast");
  assert.deepEqual(seen, [
    ["Socket", "on", "heard"],
    ["Socket", "emit", "said"],
    ["BroadcastOperator", "emit", "broadcast"],
  ]);
});

test("logs when the environment asks for it, and is silent otherwise [MOD-8]", async () => {
  const script = `
    const { Server } = require(${JSON.stringify(join(directory, manifest.main))});
    const io = new Server(0);
    io.httpServer.once("listening", () => io.close());`;
  const logged = [];
  for (const DEBUG of ["socket.io:*", ""]) {
    const child = spawn(process.execPath, ["-e", script], {
      env: { ...process.env, DEBUG },
      stdio: ["ignore", "ignore", "pipe"],
      timeout: 10_000,
    });
    let text = "";
    child.stderr.on("data", (chunk) => (text += chunk));
    const [code] = await once(child, "close");
    assert.equal(code, 0, text);
    logged.push(text);
  }
  assert.match(logged[0], /socket\.io:server/);
  assert.equal(logged[1], "");
});
