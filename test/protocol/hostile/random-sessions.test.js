/** Two thousand sessions of random and mutated frames against one live server. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { assertBounded, openBystander, startChild, WEBSOCKET_PATH } from "../../support/hostile/child.js";
import { within } from "../../support/wait.js";
import { frame, HttpConnection, messageFrame, PollingSession, WireSocket } from "../../support/wire-client.js";

const SESSIONS = 2000;
const AT_A_TIME = 10;
const MIB = 1024 * 1024;
/** A session is given up after this; most end long before. */
const SESSION_MS = 400;

const json = fc.json({ maxDepth: 3 });
const name = fc.constantFrom("join", "say", "back", "q", "bye", "ask", "echo", "error", "connect", "disconnect", "toString", "__proto__");
const namespace = fc.constantFrom("", "", "", "/a,", "/a", "/dyn-1,", "/dyn-2,", "/nope,", "/,", "/a?x=1,");
const id = fc.oneof(fc.constant(""), fc.nat(20).map(String), fc.constantFrom("00", "999999999999999", "9".repeat(30)));
const placeholders = fc.constantFrom(
  '{"_placeholder":true,"num":0}',
  '{"_placeholder":true,"num":1}',
  '{"_placeholder":true,"num":"x"}',
  '{"_placeholder":1}',
);

/** Packets of an honest client. */
const honest = fc.oneof(
  fc.tuple(namespace, fc.constantFrom("", "{}", '{"token":"x"}', '{"refuse":true}')).map(([nsp, auth]) => `40${nsp}${auth}`),
  fc.tuple(namespace, id, name, json).map(([nsp, ack, event, value]) => `42${nsp}${ack}["${event}",${value}]`),
  fc.tuple(namespace, id, json).map(([nsp, ack, value]) => `43${nsp}${ack}[${value}]`),
  namespace.map((nsp) => `41${nsp}`),
  fc
    .tuple(fc.nat(11), namespace, id, name, placeholders, placeholders)
    .map(([count, nsp, ack, event, ...holes]) => `45${count}-${nsp}${ack}["${event}",${holes}]`),
  fc.tuple(fc.nat(3), id, placeholders).map(([count, ack, hole]) => `46${count}-${ack}[${hole}]`),
  fc.constantFrom("2", "3", "2probe", "3probe", "5", "6", "1", "0", "4", "b", "bAQID", "4[", '42["say"]'),
);

/** Packets that nobody can find fault with: they reach the listeners. */
const legal = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(
        fc.oneof(fc.constant(""), fc.nat(20).map(String)),
        fc.constantFrom("join", "say", "back", "q", "ask", "echo", "error", "toString", "__proto__"),
        fc.array(json, { maxLength: 3 }),
      )
      .map(([ack, event, values]) => [`42${ack}["${event}"${values.map((value) => `,${value}`).join("")}]`]),
  },
  {
    weight: 2,
    arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes) => ['451-["back",{"_placeholder":true,"num":0}]', Buffer.from(bytes)]),
  },
  { weight: 1, arbitrary: fc.nat(3).map((ack) => [`43${ack}["answer"]`]) },
  { weight: 1, arbitrary: fc.constantFrom(["3"], ["6"], ["40/nope,"], ['40/a,{"refuse":true}']) },
);

/** What an honest client sends, with characters cut out, doubled, swapped or put in. */
const mutated = fc
  .tuple(honest, fc.array(fc.tuple(fc.nat(), fc.nat(3), fc.string({ maxLength: 3, unit: "binary" })), { minLength: 1, maxLength: 4 }))
  .map(([packet, edits]) =>
    edits.reduce((text, [place, kind, insert]) => {
      const at = text.length === 0 ? 0 : place % text.length;
      if (kind === 0) return text.slice(0, at) + text.slice(at + 1);
      if (kind === 1) return text.slice(0, at) + insert + text.slice(at);
      if (kind === 2) return text.slice(0, at) + text.slice(at) + text.slice(at);
      return text.slice(0, at);
    }, packet),
  );

const message = fc.oneof(
  { weight: 6, arbitrary: honest },
  { weight: 4, arbitrary: mutated },
  { weight: 1, arbitrary: fc.string({ maxLength: 200, unit: "binary" }) },
  { weight: 2, arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)) },
);

/** Frames that are none. */
const rawFrame = fc.oneof(
  fc
    .record({
      opcode: fc.nat(15),
      rsv: fc.nat(7),
      fin: fc.boolean(),
      mask: fc.boolean(),
      length: fc.option(fc.nat(2_000_000), { nil: undefined }),
      payload: fc.uint8Array({ maxLength: 130 }),
    })
    .map(({ opcode, payload, ...options }) => frame(opcode, payload, options)),
  fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
);

const step = fc.oneof(
  { weight: 12, arbitrary: fc.array(message, { minLength: 1, maxLength: 5 }).map((messages) => ({ kind: "send", messages })) },
  { weight: 2, arbitrary: rawFrame.map((bytes) => ({ kind: "raw", bytes })) },
  { weight: 2, arbitrary: fc.constant({ kind: "poll" }) },
  { weight: 1, arbitrary: fc.constant({ kind: "upgrade" }) },
  { weight: 1, arbitrary: fc.constant({ kind: "reset" }) },
);
const transport = fc.constantFrom("websocket", "websocket", "polling");
const ending = fc.constantFrom("abort", "reset", "close");
const wild = fc.record({ transport, joins: fc.boolean(), steps: fc.array(step, { minLength: 1, maxLength: 8 }), ending });
const legalStep = fc.array(legal, { minLength: 1, maxLength: 6 }).map((messages) => ({ kind: "send", messages: messages.flat() }));
/** Behaves until its last step. */
const turning = fc.record({
  transport,
  joins: fc.constant(true),
  steps: fc.tuple(fc.array(legalStep, { minLength: 1, maxLength: 6 }), step).map(([first, last]) => [...first, last]),
  ending,
});
const session = fc.oneof(wild, turning);

const tick = () => new Promise(setImmediate);

async function runWebSocket(port, { joins, steps, ending }, path = WEBSOCKET_PATH) {
  const ws = await WireSocket.open(port, path);
  try {
    if (joins) {
      ws.send("40");
      await ws.until((each) => typeof each === "string" && each.startsWith("40"));
    }
    for (const { kind, messages, bytes } of steps) {
      if (kind === "send") ws.write(Buffer.concat(messages.map((each) => messageFrame(each))));
      else if (kind === "raw") ws.write(bytes);
      else if (kind === "reset") ws.abort({ reset: true });
      await tick();
    }
    if (ending === "close") {
      ws.close(1000);
      await Promise.race([ws.end, new Promise((resolve) => setTimeout(resolve, 50))]);
    }
  } finally {
    ws.abort({ reset: ending === "reset" });
  }
}

async function runPolling(port, { joins, steps, ending }) {
  const polling = await PollingSession.open(port, "", { path: "/socket.io/" });
  const open = [];
  const ignore = (request) => (open.push(request), request.catch(() => {}));
  const body = (messages) => messages.map((each) => (typeof each === "string" ? each : `b${each.toString("base64")}`)).join("\x1e");
  try {
    if (joins) {
      await polling.post("40");
      assert.match((await polling.poll())[0], /^40/);
    }
    for (const { kind, messages, bytes } of steps) {
      if (kind === "send") await within(ignore(polling.post(body(messages))), "the post", undefined, SESSION_MS).catch(() => {});
      else if (kind === "poll") ignore(polling.get());
      else if (kind === "upgrade")
        await runWebSocket(
          port,
          {
            joins: false,
            steps: [
              { kind: "send", messages: ["2probe"] },
              ...steps.filter((each) => each.kind === "send"),
              { kind: "send", messages: ["5"] },
            ],
            ending,
          },
          polling.url("websocket"),
        ).catch(() => {});
      else if (kind === "raw") {
        const connection = new HttpConnection(port);
        connection.write(bytes);
        await tick();
        connection.abort();
      }
      await tick();
    }
  } finally {
    for (const request of open) request.abort();
    if (ending === "close") await ignore(polling.post("1"));
  }
}

test(
  "survives 2,000 sessions of random and mutated frames, and is left as it was [EIO-13, EIO-63, SIO-50, ENG-120]",
  { timeout: 180_000 },
  async (t) => {
    // Short heartbeats: sessions whose peer went away without a word end by themselves.
    const child = await startChild(t, {
      app: "lively",
      options: { pingInterval: 1000, pingTimeout: 1000, connectTimeout: 1000, upgradeTimeout: 500, maxHttpBufferSize: 100_000 },
    });
    const bystander = await openBystander(t, child);
    for (let i = 0; i < 50; i++) await runWebSocket(child.port, { joins: true, steps: [], ending: "close" });
    await child.untilClients(1);
    const before = await child.heldBytes();
    const property = fc.asyncProperty(fc.array(session, { minLength: AT_A_TIME, maxLength: AT_A_TIME }), async (sessions) => {
      await Promise.all(
        sessions.map((each) => (each.transport === "websocket" ? runWebSocket(child.port, each) : runPolling(child.port, each))),
      );
      await bystander.check();
      await child.assertUnharmed();
    });
    await fc.assert(property, { numRuns: SESSIONS / AT_A_TIME, endOnFailure: true });
    await child.untilClients(1, 40_000);
    const { table, sockets, rooms, isPolluted } = await child.call("state");
    assert.deepEqual({ table, sockets, rooms, isPolluted }, { table: 1, sockets: 1, rooms: 2, isPolluted: false });
    assertBounded(before, await child.heldBytes(), 8 * MIB, "after all sessions");
    const fresh = await openBystander(t, child);
    await fresh.check();
    await bystander.check();
  },
);
