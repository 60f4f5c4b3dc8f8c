/** Input of every mix in one go: what it costs grows with its length and with nothing else; row 38 of the list of known attacks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { shareChild, WEBSOCKET_PATH } from "../../support/hostile/child.js";
import { OPCODE, PollingSession, SEPARATOR, WireSocket } from "../../support/wire-client.js";

const LARGE = 640_000;
const SMALL = LARGE / 8;
/** Eight times the bytes may cost eight times as much; work that looks at all packets before each one would cost 64 times as much. */
const MOST = 24;
/** Processor time below which a measurement says nothing. */
const FLOOR_MS = 12;

let child;
// A young generation that takes all of an input: else the garbage collector makes a step in the measurements.
shareChild({ app: "doors", execArgv: ["--max-semi-space-size=128", "--min-semi-space-size=128"] }, (started) => (child = started));

/** Repeats what `piece(i)` gives until so many bytes are reached. */
function fill(bytes, piece, head = []) {
  const packets = [...head];
  let sum = 0;
  for (let i = 0; sum < bytes; i++) {
    for (const packet of [piece(i)].flat()) {
      packets.push(packet);
      sum += packet.length + 1;
    }
  }
  return packets;
}

/** A third of events, one DISCONNECT, and CONNECTs behind it. */
const leaveAndReturn = (bytes) => [...fill(bytes / 3, () => "42[0]"), "41", ...fill((bytes * 2) / 3, () => "40")];
const one = (text) => [text];

/** Engine packets of revision 4, each with its leading digit. */
const MIXES = {
  events: (bytes) => fill(bytes, () => "42[0]"),
  "events that are answered": (bytes) => fill(bytes, (i) => `42${i}["ask"]`),
  "answers that nobody waits for": (bytes) => fill(bytes, (i) => `43${i}[]`),
  "events, a DISCONNECT, CONNECTs": leaveAndReturn,
  "DISCONNECT and CONNECT in turns": (bytes) => fill(bytes, () => ["41", "40"]),
  "events, DISCONNECT and CONNECT in turns": (bytes) => fill(bytes, () => ["42[0]", "41", "40"]),
  "nothing but DISCONNECT": (bytes) => fill(bytes, () => "41"),
  "CONNECT to one namespace again and again": (bytes) => fill(bytes, () => "40/known,"),
  "CONNECT to a namespace that never answers": (bytes) => fill(bytes, () => "40/slow,"),
  "CONNECT to namespaces that don't exist": (bytes) => fill(bytes, (i) => `40/x${i},`),
  "CONNECT to namespaces of a pattern": (bytes) => fill(bytes, (i) => `40/room-${i},`),
  "events and CONNECT to namespaces of a pattern": (bytes) => fill(bytes, (i) => ["42[0]", `40/room-${i},`]),
  "CONNECT to namespaces with long names": (bytes) => fill(bytes, (i) => `40/room-${i}${"x".repeat(500)},{"a":1}`),
  "events, a DISCONNECT, CONNECT to namespaces of a pattern": (bytes) =>
    fill(bytes * 0.7, (i) => `40/room-${i},`, [...fill(bytes * 0.3, () => "42[0]"), "41"]),
  pongs: (bytes) => fill(bytes, () => "3"),
  noops: (bytes) => fill(bytes, () => "6"),
  "events, pongs and noops": (bytes) => fill(bytes, () => ["42[0]", "3", "6"]),
  "one event with many values": (bytes) => one(`42["m",${"0,".repeat(bytes / 2)}0]`),
  "one event with many arrays": (bytes) => one(`42["m",${"[],".repeat(bytes / 3)}0]`),
  "one event with many keys": (bytes) => one(`42["m",{${fill(bytes, (i) => `"${i * 7}":0`).join(",")},"z":0}]`),
  "one event with one long text": (bytes) => one(`42["m","${"\\u0000".repeat(bytes / 6)}"]`),
  "one CONNECT with a long name": (bytes) => one(`40/${"x".repeat(bytes)},`),
  "digits without end": (bytes) => one(`42${"1".repeat(bytes)}`),
  "arrays without end": (bytes) => one(`42${"[".repeat(bytes)}`),
};

/** Bodies of revision 3. */
const LEGACY = {
  pings: (bytes) => "1:2".repeat(bytes / 3),
  "empty packets": (bytes) => "0:".repeat(bytes / 2),
  events: (bytes) => "6:42[0]".repeat(bytes / 7).replaceAll("6:", "5:"),
  "CONNECT with queries": (bytes) =>
    fill(bytes * 0.8, (i) => `40/x?a=${i}&b=${i},`)
      .map((packet) => `${packet.length}:${packet}`)
      .join(""),
  "CONNECT with one long query": (bytes) => ((text) => `${text.length}:${text}`)(`40/known?${"a=1&".repeat(bytes / 4)}`),
  "a path without end": (bytes) => ((text) => `${text.length}:${text}`)(`40/${"../".repeat(bytes / 3)}`),
  "a length without end": (bytes) => "1".repeat(bytes),
  "pings as bytes": (bytes) => Buffer.from("\0\x01\xff2".repeat(bytes / 4), "latin1"),
  "a length without end as bytes": (bytes) => Buffer.alloc(bytes),
};

async function postBody(body, eio) {
  const session = await PollingSession.open(child.port, "", { path: "/socket.io/", eio });
  if (eio === 4) await session.post("40");
  await session.get();
  const headers = typeof body === "string" ? {} : { "Content-Type": "application/octet-stream" };
  const before = await child.call("cpu");
  await session.post(body, { headers, ms: 60_000 });
  await child.call("state"); // behind the ticks that the body has led to
  const spent = (await child.call("cpu")) - before;
  // Ends the session, unless it has ended already, or the server reads no more of it because the replies cannot leave.
  await session.post(eio === 4 ? "1" : "1:1", { ms: 1000 }).catch(() => {});
  return spent;
}

/** A frame whose mask is zero. */
function plainFrame(opcode, text, fin = true) {
  const payload = Buffer.from(text);
  const { length } = payload;
  const head = Buffer.alloc(length < 126 ? 6 : length < 65536 ? 8 : 14);
  head[0] = (fin ? 0x80 : 0) | opcode;
  head[1] = 0x80 | (length < 126 ? length : length < 65536 ? 126 : 127);
  if (length >= 65536) head.writeUIntBE(length, 4, 6);
  else if (length >= 126) head.writeUInt16BE(length, 2);
  return Buffer.concat([head, payload]);
}

async function sendFrames(frames) {
  const ws = await WireSocket.open(child.port, WEBSOCKET_PATH);
  ws.send("40");
  await ws.until((message) => message.startsWith("40"));
  ws.socket.removeAllListeners("data");
  ws.socket.resume();
  const before = await child.call("cpu");
  ws.socket.write(Buffer.concat([...frames, plainFrame(OPCODE.close, "")]));
  await ws.closed(60_000);
  await child.call("state");
  const spent = (await child.call("cpu")) - before;
  ws.abort();
  return spent;
}

/** The least processor time for a small and a large input, of as many turns as it takes. */
async function measure(send, make) {
  const [small, large] = [make(SMALL), make(LARGE)];
  const least = { small: Infinity, large: Infinity };
  await send(small);
  for (let turn = 0; turn < 3; turn++) {
    least.small = Math.min(least.small, await send(small));
    least.large = Math.min(least.large, await send(large));
    if (least.large < 10 * Math.max(least.small, FLOOR_MS)) break;
  }
  return least;
}

async function assertLinear(t, send, make) {
  const { small, large } = await measure(send, make);
  t.diagnostic(`${small.toFixed(0)} ms for an eighth, ${large.toFixed(0)} ms for all`);
  assert.ok(large < MOST * Math.max(small, FLOOR_MS), `an eighth costs ${small.toFixed(0)} ms, all ${large.toFixed(0)} ms`);
  await child.assertUnharmed();
}

for (const [name, make] of Object.entries(MIXES)) {
  test(`takes a polling body of ${name} in time that grows with its length [ROB-110]`, (t) =>
    assertLinear(
      t,
      (body) => postBody(body, 4),
      (bytes) => make(bytes).join(SEPARATOR),
    ));
}

for (const [name, make] of Object.entries(LEGACY)) {
  test(`takes a polling body of revision 3 with ${name} in time that grows with its length [ROB-110]`, (t) =>
    assertLinear(t, (body) => postBody(body, 3), make));
}

for (const [name, make] of Object.entries(MIXES)) {
  if (/^(one|\w+ without)/.test(name)) continue; // the same packet as above
  test(`takes WebSocket messages of ${name} in time that grows with their length [ROB-110]`, (t) =>
    assertLinear(t, sendFrames, (bytes) => make(bytes).map((packet) => plainFrame(OPCODE.text, packet))));
}
