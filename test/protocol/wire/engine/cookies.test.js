import { test } from "node:test";
import assert from "node:assert/strict";
import { PollingSession, WireSocket, http } from "../../../support/wire-client.js";
import { POLLING, WEBSOCKET, pollingPair } from "../../../support/engine.js";
import { oursOnly } from "../../../support/target.js";
import { startEngine } from "../../../support/server.js";

for (const [name, cookie, expected] of [
  ["true", true, "io=SID; Path=/; HttpOnly; SameSite=Lax"],
  ["an empty object", {}, "io=SID; Path=/; HttpOnly; SameSite=Lax"],
  ["a name", { name: "session" }, "session=SID; Path=/; HttpOnly; SameSite=Lax"],
  [
    "everything",
    { maxAge: 86400, domain: "a.b", secure: true, sameSite: "none" },
    "io=SID; Max-Age=86400; Domain=a.b; Path=/; HttpOnly; Secure; SameSite=None",
  ],
  [
    "an expiry, partitioned",
    { expires: new Date(0), secure: true, partitioned: true, priority: "high" },
    "io=SID; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; Partitioned; Priority=High; SameSite=Lax",
  ],
  ["false for path, httpOnly and sameSite", { path: false, httpOnly: false, sameSite: false }, "io=SID"],
  ["sameSite true", { sameSite: true }, "io=SID; Path=/; HttpOnly; SameSite=Strict"],
  ["another path", { path: "/app" }, "io=SID; Path=/app; HttpOnly; SameSite=Lax"],
  ["httpOnly that is true but not a boolean", { httpOnly: "no" }, "io=SID; Path=/; HttpOnly; SameSite=Lax"],
  ["an encoder", { encode: (value) => `<${value.length}>` }, "io=<20>; Path=/; HttpOnly; SameSite=Lax"],
]) {
  test(`sets the cookie for ${name} [ENG-13, ENG-105, ENG-106]`, async (t) => {
    const { port } = await startEngine(t, { cookie });
    const { response, sid } = await PollingSession.open(port);
    const cookies = response.rawHeaders.filter(([header]) => header.toLowerCase() === "set-cookie").map(([, value]) => value);
    assert.deepEqual(cookies, [expected.replace("SID", sid)]);
  });
}

for (const cookie of [undefined, false]) {
  test(`sets no cookie for ${cookie} [ENG-10, ENG-105]`, async (t) => {
    const { port } = await startEngine(t, { cookie });
    assert.equal((await http(port, { path: POLLING })).headers["set-cookie"], undefined);
  });
}

test("sets the cookie on the polling handshake only [ENG-105, ENG-106]", async (t) => {
  const { port, client, session } = await pollingPair(t, { cookie: true });
  session.send("a");
  assert.equal((await client.get()).headers["set-cookie"], undefined);
  assert.equal((await client.post("4a")).headers["set-cookie"], undefined);
  assert.equal((await WireSocket.open(port, WEBSOCKET)).response.headers["set-cookie"], undefined);
  assert.equal((await client.upgrade()).response.headers["set-cookie"], undefined);
});

for (const cookie of [{ name: "x; HttpOnly" }, { path: "/; Domain=evil" }, { domain: "a.b; Secure" }]) {
  test(
    `never writes an attribute that was smuggled in by ${JSON.stringify(cookie)} [ENG-105]`,
    oursOnly("it rejects without a handler at the first handshake"),
    async (t) => {
      let started;
      try {
        started = await startEngine(t, { cookie });
      } catch (error) {
        return assert.match(error.message, /invalid|cookie/i);
      }
      const response = await http(started.port, { path: POLLING }).catch(() => null);
      assert.equal(response?.headers["set-cookie"], undefined);
    },
  );
}
