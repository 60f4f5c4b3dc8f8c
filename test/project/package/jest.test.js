import assert from "node:assert/strict";
import { test } from "node:test";
import { createProject, run, toolPath } from "./support/project.js";

const exchange = `
async function exchange(Server, connect) {
  const io = new Server(0);
  io.on("connection", (socket) => socket.on("ping", (callback) => callback("pong")));
  const client = connect("http://127.0.0.1:" + io.httpServer.address().port);
  const answer = await new Promise((resolve) => client.emit("ping", resolve));
  client.disconnect();
  await io.close();
  return answer;
}`;

const commonJsTest = `
const { Server } = require("socket.io");
const { io: connect } = require("socket.io-client");
${exchange}
test("answers a client", async () => expect(await exchange(Server, connect)).toBe("pong"));
test("is roomcast", () => expect(require("socket.io/package.json").name).toBe("roomcast"));
test("is one instance for import and require", async () => {
  const imported = await import("socket.io");
  expect(imported.Server).toBe(Server);
  expect(imported.Socket).toBe(require("socket.io").Socket);
});
`;

const esModuleTest = `
import { createRequire } from "node:module";
import { Server, Socket } from "socket.io";
import { io as connect } from "socket.io-client";
const require = createRequire(import.meta.url);
${exchange}
test("answers a client", async () => expect(await exchange(Server, connect)).toBe("pong"));
test("is roomcast", () => expect(require("socket.io/package.json").name).toBe("roomcast"));
test("is one instance for import and require", () => {
  expect(require("socket.io").Server).toBe(Server);
  expect(require("socket.io").Socket).toBe(Socket);
});
`;

/** The client lives in a process with real timers; the server's clock stands still until the test moves it. */
const fakeTimersTest = `
const { spawn } = require("node:child_process");
const { Server } = require("socket.io");

const realSetTimeout = setTimeout;
function within5s(what, promise) {
  return Promise.race([promise, new Promise((_, reject) => realSetTimeout(() => reject(new Error("waited 5 s for " + what)), 5000).unref())]);
}

const clientProgram = \`
  const { io } = require("socket.io-client");
  const client = io(process.argv[1], { transports: [process.argv[2]], reconnection: false });
  client.on("question", (callback) => callback("answer"));
  client.on("message", (text) => client.emit("echo", text));
  client.on("disconnect", (reason) => { console.log(reason); process.exit(0); });
\`;

test.each(["polling", "websocket"])("delivers with a frozen clock, and times out by it: %s", async (transport) => {
  jest.useFakeTimers();
  const io = new Server(0, { pingInterval: 25000, pingTimeout: 20000 });
  const connection = new Promise((resolve) => io.once("connection", resolve));
  const client = spawn(process.execPath, ["-e", clientProgram, "http://127.0.0.1:" + io.httpServer.address().port, transport], { cwd: __dirname });
  try {
    const socket = await within5s("the connection", connection);
    const echo = new Promise((resolve) => socket.once("echo", resolve));
    socket.emit("message", "hello");
    expect(await within5s("the echo", echo)).toBe("hello");
    expect(await within5s("the answer", socket.emitWithAck("question"))).toBe("answer");

    const unanswered = socket.timeout(5000).emitWithAck("nobody listens");
    const outcome = unanswered.then(() => "answered", (error) => error.message);
    jest.advanceTimersByTime(5000);
    expect(await within5s("the time-out", outcome)).toBe("operation has timed out");

    client.kill("SIGSTOP");
    const reason = new Promise((resolve) => socket.once("disconnect", resolve));
    jest.advanceTimersByTime(25000);
    jest.advanceTimersByTime(20000);
    expect(await within5s("the disconnect", reason)).toBe("ping timeout");
  } finally {
    client.kill("SIGKILL");
    io.close();
    jest.useRealTimers();
  }
});
`;

const openHandlesTest = `
const { Server } = require("socket.io");
const { io: connect } = require("socket.io-client");

test.each(["polling", "websocket"])("one server, one client, events and acknowledgements: %s", async (transport) => {
  const io = new Server(0);
  const connection = new Promise((resolve) => io.once("connection", resolve));
  const client = connect("http://127.0.0.1:" + io.httpServer.address().port, { transports: [transport] });
  client.on("question", (callback) => callback("answer"));
  const socket = await connection;
  socket.on("ping", (callback) => callback("pong"));
  expect(await client.emitWithAck("ping")).toBe("pong");
  expect(await socket.emitWithAck("question")).toBe("answer");
  expect(await io.timeout(10000).emitWithAck("question")).toEqual(["answer"]);
  client.close();
  await io.close();
});
`;

const jestConfig = { testEnvironment: "node", transform: {}, testMatch: ["**/*.spec.js", "**/*.spec.mjs"], testTimeout: 20_000 };

async function jestProject(t, files, more = ["--forceExit"]) {
  const directory = await createProject(t, { files: { "jest.config.json": JSON.stringify(jestConfig), ...files } });
  return async () => {
    const args = [
      "--experimental-vm-modules",
      "--no-warnings",
      toolPath("jest", "bin/jest.js"),
      "--ci",
      ...more,
      "--json",
      "--silent",
      "--rootDir",
      directory,
    ];
    const { stdout, stderr } = await run(process.execPath, args, { cwd: directory, allowFailure: true });
    assert.ok(stdout.startsWith("{"), stdout + stderr);
    const report = JSON.parse(stdout);
    const failed = report.testResults.flatMap(({ message }) => (message ? [message] : []));
    assert.equal(failed.join("\n"), "");
    assert.doesNotMatch(stderr, /open handle/);
    return report.numPassedTests;
  };
}

test("runs under Jest, where import and require give one instance", async (t) => {
  const runJest = await jestProject(t, { "commonjs.spec.js": commonJsTest, "esm.spec.mjs": esModuleTest });
  assert.equal(await runJest(), 6);
});

test("delivers under Jest's fake timers, and its time-outs follow the fake clock", async (t) => {
  const runJest = await jestProject(t, { "timers.spec.js": fakeTimersTest });
  assert.equal(await runJest(), 2);
});

test("leaves no open handle for Jest to report [ROB-330]", async (t) => {
  const runJest = await jestProject(t, { "handles.spec.js": openHandlesTest }, ["--detectOpenHandles"]);
  assert.equal(await runJest(), 2);
});
