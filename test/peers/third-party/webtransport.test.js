/**
 * WebTransport with real peers: the server of `@fails-components/webtransport` over HTTP/2 (its QUIC binary is a package
 * of its own), and `socket.io-client` with that package's client in place of the browser's. That server's flow control
 * stops at 16 KiB a stream on Node before 21.7, which can't read HTTP/2 settings it doesn't know: messages are small.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const fixtures = new URL("./fixtures/", import.meta.url);
const certificate = fileURLToPath(new URL("../../support/fixtures/cert.pem", import.meta.url));

/** Runs a peer in a process that trusts the test certificate: the client takes no option for that. */
function run(scenario) {
  const options = { env: { ...process.env, NODE_EXTRA_CA_CERTS: certificate }, timeout: 20_000 };
  return new Promise((resolve) => {
    execFile(process.execPath, [fileURLToPath(new URL("webtransport-peer.js", fixtures)), scenario], options, (error, output, log) => {
      const line = output.split("\n").find((text) => text.startsWith("{"));
      resolve(line === undefined ? { failure: `${error?.message}\n${output}\n${log}` } : JSON.parse(line));
    });
  });
}

/** The client says good-bye and closes its session in one go, and the good-bye may not leave before. */
const LEFT = /^(client namespace disconnect|transport close)$/;

test("serves socket.io-client over WebTransport from the start [EIO-45, ENG-170, SOC-16]", async () => {
  const { failure, reason, ...seen } = await run("start");
  assert.equal(failure, undefined);
  assert.match(reason, LEFT);
  assert.deepEqual(seen, {
    transports: ["webtransport"],
    text: "hello",
    binary: "010203",
    large: 5_000,
    burst: 100,
  });
});

test("moves socket.io-client from polling to WebTransport [EIO-45, ENG-173]", async () => {
  const { failure, reason, ...seen } = await run("upgrade");
  assert.equal(failure, undefined);
  assert.match(reason, LEFT);
  assert.deepEqual(seen, {
    transports: ["polling", "webtransport"],
    text: "hello",
    binary: "010203",
    large: 5_000,
    burst: 100,
  });
});

test("disconnects a client over WebTransport when the server closes [ENG-175, SRV-60]", async () => {
  const { failure, ...seen } = await run("server-close");
  assert.equal(failure, undefined);
  assert.deepEqual(seen, { transports: ["webtransport"], clientReason: "transport close", reason: "server shutting down" });
});
