/** Packets that no honest client sends; rows 20 to 27, 32 and 34 of the list of known attacks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertBounded, openAttacker, openBystander, sessionEnd, shareChild, startChild } from "../../support/hostile/child.js";
import { oursOnly } from "../../support/target.js";
import { PollingSession } from "../../support/wire-client.js";

const MIB = 1024 * 1024;
const byte = Buffer.from([1]);
const hole = (num) => `{"_placeholder":true,"num":${JSON.stringify(num)}}`;
const nested = (depth) => "[".repeat(depth) + "]".repeat(depth);

let child;
shareChild({ app: "relay" }, (started) => (child = started));

/** What is sent, the error the sockets see (null: none, a packet in the wrong state), the rule; a fourth entry says why the original differs. */
const FATAL = [
  ["60,000 digits as count of attachments", `45${"1".repeat(60_000)}`, /attachments/, "SIO-27"],
  ["60,000 digits and a payload", `45${"1".repeat(60_000)}-["m"]`, /attachments/, "SIO-27"],
  ["60,000 digits as id", `42${"1".repeat(60_000)}`, /invalid payload/, "SIO-24", "an id without payload is taken"],
  ["an id of 400 digits", `42${"9".repeat(400)}["m"]`, /invalid payload/, "SIO-24", "it answers with the id null"],
  ["an id above 2^53 - 1", '429007199254740993["m"]', /invalid payload/, "SIO-24", "it loses the precision"],
  ["an acknowledgement with an id of 400 digits", `43${"9".repeat(400)}[]`, /invalid payload/, "SIO-24", "it reads Infinity"],
  ...["splice", "__proto__", "length", null, 5, -1].map((num) => [
    `a placeholder that points to ${JSON.stringify(num)}`,
    [`451-["m",${hole(num)}]`, byte],
    /illegal attachments/,
    "SIO-28",
  ]),
  ["a placeholder that points to 1.5", [`452-["m",${hole(1.5)}]`, byte, byte], /illegal attachments/, "SIO-28", "it gives undefined"],
  ["an object as name of an event", '42[{"toString":"foo"}]', /invalid payload/, "SIO-25"],
  ["null as name of an event", "42[null]", /invalid payload/, "SIO-25"],
  ["true as name of an event", "42[true]", /invalid payload/, "SIO-25"],
  ["an event without a name", "42[]", /invalid payload/, "SIO-25"],
  ["an object as event", "42{}", /invalid payload/, "SIO-25"],
  ["a string as event", '42"x"', /invalid payload/, "SIO-25"],
  ["an event without payload", "42", /invalid payload/, "SIO-26", "it is delivered without arguments"],
  ["a string as connection error", '44"x"', null, "SIO-51"],
  ["a string as CONNECT payload", '40"str"', /invalid payload/, "SIO-25"],
  ["an array as CONNECT payload", "40/x,[1]", /invalid payload/, "SIO-25"],
  ["a payload in DISCONNECT", '41{"a":1}', /invalid payload/, "SIO-25"],
  ["an object as acknowledgement", "431{}", /invalid payload/, "SIO-25"],
  ["an unknown type", "49", /unknown packet type/, "SIO-22"],
  ["a letter as type", "4x", /unknown packet type/, "SIO-22"],
  ["no packet at all", "4", /Unknown type: undefined/, "SIO-29", "it throws a TypeError"],
  ["a bare binary event", "45", /Illegal attachments/, "SIO-27"],
  ...["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"].map((name) => [
    `the reserved event ${name}`,
    `42["${name}","forged"]`,
    /invalid payload/,
    "SIO-40, EVT-24",
  ]),
  ["10,001 values in an event", `42["m"${",0".repeat(10_000)}]`, /invalid payload/, "ROB-111", "arguments overflow the stack"],
  ["400,000 values in an event", `42["m"${",0".repeat(400_000)}]`, /invalid payload/, "ROB-111", "arguments overflow the stack"],
  ["400,000 values in an acknowledgement", `430[${"0,".repeat(400_000)}0]`, /invalid payload/, "ROB-111", "arguments overflow the stack"],
  ["eleven attachments", '4511-["m"]', /too many attachments/, "SIO-27"],
  [
    "eleven placeholders for one attachment",
    [`451-["m",[${new Array(11).fill(hole(0)).join(",")}]]`, byte],
    /too many attachments/,
    "ROB-145",
    "it takes any number, and each is an attachment of its own when it is sent on",
  ],
  ["99,999,999,999 attachments", '45999999999-["m"]', /too many attachments/, "SIO-27"],
  ["attachments in the scientific notation", '451e9-["m"]', /attachments/, "SIO-27"],
  ["no attachments in a binary event", '450-["m"]', /Illegal attachments/, "SIO-27"],
  ["a text while attachments are awaited", [`452-["m",${hole(0)}]`, byte, '42["m"]'], /plaintext data/, "SIO-29"],
  ["a binary message that nobody awaits", [byte], /binary data/, "SIO-29"],
];
for (const transport of ["websocket", "polling"]) {
  for (const [what, sent, message, rule, quirk] of FATAL) {
    test(
      `ends only the session that sends ${what}, over ${transport} [${rule}, SIO-50, THREAT-21, THREAT-22, THREAT-23, THREAT-25, THREAT-34]`,
      quirk ? oursOnly(quirk) : {},
      async (t) => {
        const bystander = await openBystander(t, child);
        const attacker = await openOver(t, transport);
        await attacker.send([sent].flat());
        if (message) {
          const [, text] = await child.report("error", attacker.socketId);
          assert.match(text, message);
        }
        const [, reason] = await child.report("disconnect", attacker.socketId);
        assert.ok(reason === "forced close" || (!message && reason === "forced server close"), reason);
        await attacker.closed();
        await bystander.check();
        await child.assertUnharmed();
      },
    );
  }
}

/** The same two verbs over both transports. */
async function openOver(t, transport) {
  if (transport === "websocket") {
    const ws = await openAttacker(t, child);
    return { socketId: ws.socketId, send: (messages) => ws.send(...messages), closed: () => ws.closed() };
  }
  const session = await PollingSession.open(child.port, "", { path: "/socket.io/" });
  await session.post("40");
  const [answer] = await session.poll();
  let poll;
  return {
    socketId: JSON.parse(answer.slice(2)).sid,
    async send(messages) {
      poll = session.poll();
      poll.catch(() => {});
      await session.post(
        messages.map((message) => (typeof message === "string" ? message : `b${message.toString("base64")}`)).join("\x1e"),
      );
    },
    async closed() {
      assert.equal((await poll).at(-1), "1");
      assert.equal((await session.get()).status, 400);
    },
  };
}

test(
  "never throws for an event named error without a listener [SIO-40, SOC-6]",
  oursOnly("it needs the listener that this program removed"),
  async (t) => {
    const own = await startChild(t, { app: "deaf" });
    const bystander = await openBystander(t, own);
    const ws = await openAttacker(t, own);
    ws.send('42["error"]', '42["error","x"]', '42["error",{"message":"m"}]', '421["echo","alive"]');
    await ws.expect('431["alive"]');
    await bystander.check();
    await own.assertUnharmed();
  },
);

test("delivers an event named error to catch-all listeners [SIO-40, EVT-25, ANY-2, THREAT-24]", async (t) => {
  const ws = await openAttacker(t, child);
  ws.send('42["error","own"]');
  assert.deepEqual(await child.report("event", "error"), ["error", "own"]);
  await child.assertUnharmed();
});

test("drops binary frames without end that follow a header without attachments [SIO-27, SIO-29, THREAT-26]", async (t) => {
  const bystander = await openBystander(t, child);
  const before = await child.heldBytes();
  for (let i = 0; i < 20; i++) {
    const ws = await openAttacker(t, child);
    ws.send('450-["m"]', ...Array.from({ length: 50 }, () => Buffer.alloc(20_000)));
    await ws.closed();
  }
  assertBounded(before, await child.heldBytes(), 4 * MIB, "after the frames");
  await bystander.check();
  await child.assertUnharmed();
});

test("frees the attachments of a packet when its session ends before the last one arrives [SIO-39, CLI-5, THREAT-27]", async (t) => {
  const own = await startChild(t, { app: "relay" });
  const bystander = await openBystander(t, own);
  const before = await own.heldBytes();
  const holes = Array.from({ length: 10 }, (_, i) => hole(i)).join(",");
  const attackers = [];
  for (let i = 0; i < 10; i++) {
    const ws = await openAttacker(t, own);
    ws.send(`4510-["m",${holes}]`, ...Array.from({ length: 9 }, () => Buffer.alloc(900_000)));
    ws.ping("all sent"); // its pong comes behind what was sent before
    await ws.controls.next();
    attackers.push(ws);
  }
  assert.ok((await own.heldBytes()) - before > 40 * MIB, "the attachments are held while their packet is incomplete");
  for (const ws of attackers) ws.abort();
  await own.untilClients(1);
  assertBounded(before, await own.heldBytes(), 8 * MIB, "after the sessions ended");
  await bystander.check();
  await own.assertUnharmed();
});

const DEPTHS = [5_000, 50_000, 490_000];
const NESTED = [
  ["an event", (depth) => `42["m",${nested(depth)}]`],
  ["an acknowledgement", (depth) => `430[${nested(depth)}]`],
  ["the payload of CONNECT", (depth) => `40/,{"a":${nested(depth)}}`],
  ["an event made of objects", (depth) => `42["m",${'{"a":'.repeat(depth / 5)}1${"}".repeat(depth / 5)}]`],
  ["a binary event", (depth) => `451-["m",${nested(depth)}]`],
];
for (const depth of DEPTHS) {
  for (const [what, make] of NESTED) {
    const isJoining = what.includes("CONNECT");
    test(`refuses ${what} nested ${depth} deep [SIO-32, THREAT-32]`, oursOnly("it has no limit of depth"), async (t) => {
      const bystander = await openBystander(t, child);
      const ws = await openAttacker(t, child, { join: isJoining ? null : "40" });
      if (what.includes("acknowledgement")) {
        ws.send('42["ask"]');
        assert.match(await ws.next(), /^42\d+\["question"\]$/);
      }
      ws.send(make(depth), ...(what.includes("binary") ? [byte] : []));
      const { reason } = await sessionEnd(child, ws.sid);
      assert.equal(reason, "forced close");
      await ws.closed();
      await bystander.check();
      await child.assertUnharmed();
    });
  }
}

test("relays what is nested as deep as it takes, to every client [SIO-32, THREAT-32]", async (t) => {
  const own = await startChild(t, { app: "relay" });
  const ws = await openAttacker(t, own);
  const packet = `42["m",${nested(990)}]`;
  ws.send(packet);
  await ws.expect(packet);
  await own.assertUnharmed();
});

test("takes the depth limit that the program sets [SIO-32]", oursOnly("it has no limit of depth"), async (t) => {
  const own = await startChild(t, { app: "relay", options: { limits: { depth: 10 } } });
  const ws = await openAttacker(t, own);
  ws.send(`42["m",${nested(9)}]`);
  await ws.expect(`42["m",${nested(9)}]`);
  ws.send(`42["m",${nested(10)}]`);
  assert.equal((await sessionEnd(own, ws.sid)).reason, "forced close");
});

test("takes the attachment limit that the program sets [SIO-27]", oursOnly("it has no such option"), async (t) => {
  const own = await startChild(t, { app: "relay", options: { limits: { attachments: 1 } } });
  const ws = await openAttacker(t, own);
  ws.send(`451-["m",${hole(0)}]`, byte);
  await ws.expect(`451-["m",${hole(0)}]`);
  await ws.expect(byte);
  ws.send('452-["m"]');
  assert.equal((await sessionEnd(own, ws.sid)).reason, "forced close");
});

const HUGE = [
  ["a million digits", `45${"1".repeat(999_990)}`],
  ["a namespace of a million characters", `42/${"n".repeat(999_900)},["m"]`],
  ["a number of a million digits", `42["m",${"1".repeat(999_900)}]`],
  ["a million escapes", `42["m","${"\\u0041".repeat(166_000)}"]`],
  ["a hundred thousand keys", `42["m",{${Array.from({ length: 80_000 }, (_, i) => `"k${i}":1`).join(",")}}]`],
  ["a hundred thousand placeholders", `451-["m",${Array(28_000).fill(hole(0)).join(",")}]`],
];
for (const [what, packet] of HUGE) {
  test(`takes no longer than a moment for ${what} [SIO-27, SIO-32, THREAT-20]`, async (t) => {
    const own = await startChild(t);
    const bystander = await openBystander(t, own);
    const ws = await openAttacker(t, own);
    ws.send(packet, ...(packet.startsWith("45") && packet.includes("-") ? [byte] : []));
    await bystander.check(2000);
    await own.assertUnharmed();
  });
}
