import assert from "node:assert/strict";
import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createProject, run, toolPath } from "./support/project.js";

/** A test file of a user; the runner's functions stand in front of it. */
const kitTest = `
test("a conversation, an event, and a suite's title", async () => {
  const { io, connect, network, close } = createTestServer();
  io.on("connection", (socket) => socket.on("ask", (answer) => answer(Buffer.from([1, 2]))));
  const client = await connect();
  expect(Buffer.from(await client.emitWithAck("ask"))).toEqual(Buffer.from([1, 2]));
  const heard = expectEvent(client, "news");
  io.emit("news", 1);
  expect(await heard).toEqual([1]);
  await expectNoEvent(client, "news", network.settled());
  await close();
});

test("a clock that stands still", async () => {
  useFakeTimers();
  const { io, connect, network, close } = createTestServer();
  try {
    const client = await connect();
    client.on("ask", (answer) => answer("yes"));
    expect(await io.timeout(1000).emitWithAck("ask")).toEqual(["yes"]);
    client.off("ask");
    const outcome = io.timeout(10000).emitWithAck("ask").then(() => "answered", (error) => error.message);
    advance(10000);
    expect(await outcome).toBe("operation has timed out");
    const [socket] = io.sockets.sockets.values();
    network.silence(client);
    const gone = expectEvent(socket, "disconnect");
    advance(15000);
    advance(20000);
    expect((await gone)[0]).toBe("ping timeout");
    network.restore();
  } finally {
    useRealTimers();
    await close();
  }
});

testParser({ name: "the parser", test, parser });
`;

const jestFile = `
const { createTestServer, expectEvent, expectNoEvent, testParser } = require("socket.io/testing");
const parser = require("socket.io/parser");
const useFakeTimers = () => jest.useFakeTimers({ doNotFake: ["nextTick", "queueMicrotask"] });
const useRealTimers = () => jest.useRealTimers();
const advance = (ms) => jest.advanceTimersByTime(ms);
${kitTest}`;

const vitestFile = `
import { expect, test, vi } from "vitest";
import { createTestServer, expectEvent, expectNoEvent, testParser } from "socket.io/testing";
import * as parser from "socket.io/parser";
const useFakeTimers = () => vi.useFakeTimers();
const useRealTimers = () => vi.useRealTimers();
const advance = (ms) => vi.advanceTimersByTime(ms);
${kitTest}`;

test("the testing kit works under Jest, with its fake clock [ROB-955, ROB-960]", async (t) => {
  const config = { testEnvironment: "node", transform: {}, testMatch: ["**/*.spec.js"], testTimeout: 30_000 };
  const directory = await createProject(t, { files: { "jest.config.json": JSON.stringify(config), "kit.spec.js": jestFile } });
  const { stdout, stderr } = await run(
    process.execPath,
    [toolPath("jest", "bin/jest.js"), "--ci", "--json", "--silent", "--rootDir", directory],
    { cwd: directory, allowFailure: true },
  );
  assert.ok(stdout.startsWith("{"), stdout + stderr);
  const { numPassedTests, numFailedTests, testResults } = JSON.parse(stdout);
  assert.equal(numFailedTests, 0, testResults.map(({ message }) => message).join("\n"));
  assert.ok(numPassedTests > 10);
});

test("the testing kit works under Vitest, with its fake clock [ROB-955, ROB-960]", async (t) => {
  const directory = await createProject(t, { files: { "kit.spec.mjs": vitestFile } });
  await symlink(toolPath("vitest", "."), join(directory, "node_modules/vitest"), "dir");
  const { code, stdout, stderr } = await run(
    process.execPath,
    [toolPath("vitest", "vitest.mjs"), "run", "--root", directory, "--reporter", "json", "--testTimeout", "30000"],
    { cwd: directory, allowFailure: true },
  );
  assert.equal(code, 0, stdout + stderr);
  assert.ok(JSON.parse(stdout.slice(stdout.indexOf("{"))).numPassedTests > 10);
});
