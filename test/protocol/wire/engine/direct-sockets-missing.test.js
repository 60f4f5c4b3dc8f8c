// A Node.js whose sockets have nothing below their streams that could be used.
import assert from "node:assert/strict";
import { Socket } from "node:net";
import { test } from "node:test";
import { webSocketPair } from "../../../support/engine.js";
import { messageFrame } from "../../../support/wire-client.js";

const { _write } = Socket.prototype;
let throughStreams = 0;
Socket.prototype._write = function (...args) {
  if (typeof this._handle.getAsyncId !== "function") throw new TypeError("not a handle of this Node.js");
  throughStreams++;
  return _write.apply(this, args);
};

test("reads and writes through the streams when the methods below them are missing [ENG-115, ENG-201]", async (t) => {
  const { session, ws } = await webSocketPair(t);
  session.on("data", (data) => session.send(data));
  for (const text of ["one", "two", "drei €", "x".repeat(100_000)]) {
    const before = throughStreams;
    ws.write(messageFrame(`4${text}`));
    await ws.expect(`4${text}`);
    assert.ok(throughStreams > before);
  }
});
