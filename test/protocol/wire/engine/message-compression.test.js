/** Compression of WebSocket messages without context takeover: what is negotiated, what is sent, what is taken (RFC 7692). */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { test } from "node:test";
import { deflateRawSync, inflateRawSync, constants } from "node:zlib";
import WebSocket, { WebSocketServer } from "ws";
import { once } from "../../../support/client.js";
import { messages, openWebSocket, WEBSOCKET, webSocketPair } from "../../../support/engine.js";
import { startEngine, startHttp } from "../../../support/server.js";
import { oursOnly } from "../../../support/target.js";
import { within } from "../../../support/wait.js";
import { frame, messageFrame, OPCODE, WireSocket } from "../../../support/wire-client.js";

const zlib = createRequire(import.meta.url)("node:zlib");
const OFFER = { "Sec-WebSocket-Extensions": "permessage-deflate" };
const TAIL = Buffer.from([0, 0, 0xff, 0xff]);
const NO_CONTEXT = { serverNoContextTakeover: true, clientNoContextTakeover: true };
const deflated = (text) => deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4);
const inflated = (payload, windowBits = 15) =>
  inflateRawSync(Buffer.concat([payload, TAIL]), { finishFlush: constants.Z_SYNC_FLUSH, windowBits }).toString();
const compressedFrame = (text, opcode = OPCODE.text) => frame(opcode, deflated(text), { rsv: 4 });
const ROWS = Array.from({ length: 100 }, (_, id) => ({ id, name: `row ${id}`, x: (id * 7919) % 101 }));
const LONG = JSON.stringify(ROWS);

const S = "server_no_context_takeover";
const C = "client_no_context_takeover";
const BOTH = `permessage-deflate; ${S}; ${C}`;
const SERVER_BITS = [8, 9, 10, 11, 12, 13, 14, 15].map((bits) => `server_max_window_bits=${bits}`);
const CLIENT_BITS = [8, 9, 10, 11, 12, 13, 14, 15].map((bits) => `client_max_window_bits=${bits}`);

/** Every combination of legal parameters: each present or not, one window size of each kind. */
const combinations = [[], [S]].flatMap((a) =>
  [[], [C]].flatMap((b) =>
    [[], ["server_max_window_bits=10"]].flatMap((c) =>
      [[], ["client_max_window_bits"], ["client_max_window_bits=12"]].map((d) => ["permessage-deflate", ...a, ...b, ...c, ...d].join("; ")),
    ),
  ),
);
const OFFERS = [
  ...combinations,
  ...SERVER_BITS.map((bits) => `permessage-deflate; ${bits}`),
  ...CLIENT_BITS.map((bits) => `permessage-deflate; ${bits}`),
  'permessage-deflate; server_max_window_bits="10"',
  "permessage-deflate; server_max_window_bits=10, permessage-deflate",
  "permessage-deflate; client_max_window_bits; server_max_window_bits=10, permessage-deflate; client_max_window_bits",
  "permessage-bzip2, permessage-deflate",
  "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits",
  "permessage-bzip2",
  "permessage-deflate; server_max_window_bits=7",
  "permessage-deflate; server_max_window_bits=16",
  "permessage-deflate; server_max_window_bits",
  "permessage-deflate; server_max_window_bits=08",
  "permessage-deflate; server_max_window_bits=1e1",
  "permessage-deflate; client_max_window_bits=7",
  "permessage-deflate; client_max_window_bits=16",
  `permessage-deflate; ${S}=1`,
  `permessage-deflate; ${C}=true`,
  `permessage-deflate; ${S}; ${S}`,
  "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
  "permessage-deflate; unknown",
  "permessage-deflate; unknown, permessage-deflate",
  "permessage-deflate,",
  "permessage-deflate; =",
  "permessage-deflate; server_max_window_bits=",
  "constructor, __proto__, permessage-deflate; __proto__; constructor=1",
  "constructor, __proto__, permessage-deflate",
  "permessage-deflate; server_max_window_bits=__proto__",
];

/** Status and extensions with which a handshake is answered. */
async function answerTo(port, path, offer) {
  const ws = await WireSocket.open(port, path, { "Sec-WebSocket-Extensions": offer }).catch((error) => error);
  const { status, headers } = ws.response;
  ws.abort?.();
  return { status, extensions: headers["sec-websocket-extensions"] };
}

const SETTINGS = [
  ["true", true],
  ["smaller windows on both sides", { serverMaxWindowBits: 11, clientMaxWindowBits: 11 }],
  ["no windows of the client's choice", { serverMaxWindowBits: false }],
  ["context takeover", { serverNoContextTakeover: false, clientNoContextTakeover: false }],
  ["context takeover of the server", { serverNoContextTakeover: false }],
];
for (const [name, perMessageDeflate] of SETTINGS) {
  test(`answers every offer of RFC 7692 as ws does: ${name} [ROB-610, ENG-113]`, oursOnly("the defaults are ours"), async (t) => {
    const own = await startEngine(t, { perMessageDeflate });
    const settings = { ...NO_CONTEXT, ...(perMessageDeflate === true ? {} : perMessageDeflate) };
    const wss = new WebSocketServer({ noServer: true, perMessageDeflate: settings });
    const httpServer = createServer();
    httpServer.on("upgrade", (request, socket, head) => wss.handleUpgrade(request, socket, head, (ws) => ws.terminate()));
    const theirs = await startHttp(t, httpServer);
    for (const offer of OFFERS) {
      const [met, expected] = await Promise.all([answerTo(own.port, WEBSOCKET, offer), answerTo(theirs.port, "/", offer)]);
      assert.deepEqual(met, expected, offer);
    }
  });
}

test("declines context takeover on both sides by default, whatever is offered [ROB-610]", oursOnly("the defaults are ours"), async (t) => {
  const { port } = await startEngine(t, { perMessageDeflate: true });
  const table = [
    ["permessage-deflate", BOTH],
    ["permessage-deflate; client_max_window_bits", BOTH],
    [`permessage-deflate; ${S}`, BOTH],
    ["permessage-deflate; server_max_window_bits=10", `permessage-deflate; server_max_window_bits=10; ${S}; ${C}`],
    ["permessage-deflate; client_max_window_bits=12", `permessage-deflate; client_max_window_bits=12; ${S}; ${C}`],
    ["permessage-bzip2", undefined],
  ];
  for (const [offer, extensions] of table) assert.deepEqual(await answerTo(port, WEBSOCKET, offer), { status: 101, extensions }, offer);
  assert.deepEqual(await answerTo(port, WEBSOCKET, "permessage-deflate; unknown"), { status: 400, extensions: undefined });
});

for (const bits of [8, 9, 12, 15]) {
  test(`obeys a window of ${bits} bits that the client asks for [ROB-610]`, oursOnly("the defaults are ours"), async (t) => {
    const headers = { "Sec-WebSocket-Extensions": `permessage-deflate; server_max_window_bits=${bits}` };
    const { ws, session } = await webSocketPair(t, { perMessageDeflate: true }, { headers });
    const far = "abcdefghijklmnopqrstuvwxyz0123456789".repeat(3);
    const noise = Array.from({ length: 6000 }, (_, i) => String.fromCharCode(97 + ((i * i * 31 + i * 7) % 26))).join("");
    session.send(far + noise + far);
    const payload = await ws.next();
    assert.equal(inflated(payload, Math.max(bits, 9)), `4${far}${noise}${far}`);
  });
}

for (const [host, how] of [
  [undefined, "TCP"],
  [{ https: true }, "TLS"],
]) {
  test(
    `sends and takes compressed messages over ${how}, large and small, in order [ROB-612, ROB-613]`,
    oursOnly("a new wire"),
    async (t) => {
      const { port, engine } = await startEngine(t, { perMessageDeflate: true }, host);
      engine.on("connection", (session) => session.on("data", (data) => session.send(data)));
      const scheme = host === undefined ? "ws" : "wss";
      const ws = new WebSocket(`${scheme}://127.0.0.1:${port}${WEBSOCKET}`, {
        rejectUnauthorized: false,
        perMessageDeflate: { threshold: 0 },
      });
      t.after(() => ws.terminate());
      const got = [];
      const sent = [
        `4${LONG}`,
        "4short",
        Buffer.from(LONG),
        Buffer.from([1, 2, 3]),
        `4${LONG.repeat(40)}`,
        "4behind it",
        Buffer.from(LONG.repeat(40)),
        "4ä€😀".repeat(500),
        "4end",
      ];
      const all = new Promise((resolve) => {
        ws.on("message", (data, isBinary) => {
          got.push(isBinary ? data : data.toString());
          if (got.length === sent.length + 1) resolve();
        });
      });
      await once(ws, "open");
      for (const message of sent) ws.send(message);
      await within(all, "all messages", () => got.length, 20_000);
      assert.deepEqual(got.slice(1), sent);
      assert.equal(ws.extensions, "permessage-deflate");
    },
  );
}
test(
  "compresses from the threshold on, counted in bytes, and never what it would make larger [ROB-612, ENG-113]",
  oursOnly("a new wire"),
  async (t) => {
    const { ws, session } = await webSocketPair(t, { perMessageDeflate: { threshold: 100 } }, { headers: OFFER });
    const random = Buffer.from(Array.from({ length: 400 }, (_, i) => (i * i * 7919 + (i << 3) * 104729) >> 5)).subarray(0, 120);
    const cases = [
      ["x".repeat(99), 4],
      ["x".repeat(98), 0],
      ["ä".repeat(50), 4],
      [Buffer.alloc(100), 4],
      [Buffer.alloc(99), 0],
      [random, 0],
    ];
    for (const [data, rsv] of cases) {
      session.send(data);
      const message = await ws.next();
      assert.equal(ws.frames.at(-1).rsv, rsv, `${data.length} of ${typeof data}`);
      if (rsv === 0) assert.deepEqual(message, typeof data === "string" ? `4${data}` : data);
    }
    session.send("x".repeat(2000), { compress: false });
    await ws.expect(`4${"x".repeat(2000)}`);
  },
);

test(
  "gives each connection of a broadcast its form: plain, and one frame for each window size [ROB-612, ENG-117]",
  oursOnly("a new wire"),
  async (t) => {
    const started = await startEngine(t, { perMessageDeflate: true });
    const offers = [undefined, "permessage-deflate", "permessage-deflate", "permessage-deflate; server_max_window_bits=9", undefined];
    const pairs = [];
    for (const offer of offers) pairs.push(await openWebSocket(started, { headers: offer && { "Sec-WebSocket-Extensions": offer } }));
    const { prepare } = await import("../../../../dist/engine/prepared.js");
    for (let round = 0; round < 3; round++) {
      for (let count = 0; count < 2; count++) {
        const packet = prepare(`${round} ${count} ${LONG}`);
        for (const { session } of pairs) session.writePrepared(packet);
      }
      for (let count = 0; count < 2; count++) {
        const got = await Promise.all(pairs.map(({ ws }) => ws.next()));
        const expected = `4${round} ${count} ${LONG}`;
        assert.equal(got[0], expected);
        assert.equal(got[4], expected);
        for (const index of [1, 2, 3]) assert.equal(inflated(got[index]), expected);
        assert.deepEqual(got[1], got[2]);
      }
    }
  },
);

test("takes compressed messages in fragments, with pings between them, cut at every byte [ROB-613]", oursOnly("a new wire"), async (t) => {
  const { ws, session } = await webSocketPair(t, { perMessageDeflate: true }, { headers: OFFER });
  ws.socket.setNoDelay(true);
  const payload = deflated("4in fragments");
  const bytes = Buffer.concat([
    frame(OPCODE.text, payload.subarray(0, 3), { rsv: 4, fin: false }),
    frame(OPCODE.ping, "between"),
    frame(OPCODE.continuation, payload.subarray(3, 3), { fin: false }),
    frame(OPCODE.continuation, payload.subarray(3)),
    compressedFrame(Buffer.from([1, 2, 3]), OPCODE.binary),
    messageFrame("4plain"),
  ]);
  const all = messages(session);
  for (let at = 0; at <= bytes.length; at++) {
    const last = new Promise((resolve) => session.on("data", (data) => data === "plain" && resolve()));
    if (at > 0) ws.write(bytes.subarray(0, at));
    await new Promise(setImmediate);
    if (at < bytes.length) ws.write(bytes.subarray(at));
    await within(last, `the messages cut at ${at}`);
    assert.deepEqual(all.splice(0), ["in fragments", Buffer.from([1, 2, 3]), "plain"]);
    session.removeAllListeners("data");
    session.on("data", (data) => all.push(data));
  }
});

for (const [what, bytes, code, codeOfError] of [
  ["RSV1 on a ping", frame(OPCODE.ping, "", { rsv: 4 }), 1002, "WS_ERR_UNEXPECTED_RSV_1"],
  ["RSV1 on a Close frame", frame(OPCODE.close, "", { rsv: 4 }), 1002, "WS_ERR_UNEXPECTED_RSV_1"],
  [
    "RSV1 on a continuation",
    Buffer.concat([frame(OPCODE.text, "a", { fin: false }), frame(OPCODE.continuation, "b", { rsv: 4 })]),
    1002,
    "WS_ERR_UNEXPECTED_RSV_1",
  ],
  ["data that are not deflated", frame(OPCODE.text, Buffer.alloc(20, 0xff), { rsv: 4 }), 1007, "Z_DATA_ERROR"],
  ["compressed text that is not UTF-8", compressedFrame(Buffer.from([0x34, 0xff, 0xfe])), 1007, "WS_ERR_INVALID_UTF8"],
  ["a message that is too large when it is inflated", compressedFrame(Buffer.alloc(10_000_000)), 1009, "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH"],
  [
    "a message that is too large before that",
    frame(OPCODE.text, "", { rsv: 4, length: 1_000_001 }),
    1009,
    "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH",
  ],
]) {
  test(`closes with ${code} after ${what} [ROB-613, ENG-114]`, oursOnly("a new wire"), async (t) => {
    const { ws, session } = await webSocketPair(t, { perMessageDeflate: true }, { headers: OFFER });
    const ended = once(session, "close");
    ws.write(Buffer.concat([bytes, messageFrame("4never read")]));
    assert.equal((await ws.closed()).code, code);
    const [reason, error] = await ended;
    assert.equal(reason, "transport error");
    assert.equal(error.description.code, codeOfError);
  });
}

test("refuses RSV1 of a client that has not negotiated compression, also when others may [ROB-613]", oursOnly("a new wire"), async (t) => {
  const { ws } = await webSocketPair(t, { perMessageDeflate: true });
  ws.write(compressedFrame("4a"));
  assert.equal((await ws.closed()).code, 1002);
});

test("goes on with compression when a program asks for the WebSocket object [ROB-614]", oursOnly("a new wire"), async (t) => {
  const { ws, session } = await webSocketPair(t, { perMessageDeflate: true }, { headers: OFFER });
  const all = messages(session);
  const payload = deflated("4second");
  const first = once(session, "data");
  ws.write(Buffer.concat([compressedFrame("4first"), frame(OPCODE.text, payload.subarray(0, 4), { rsv: 4, fin: false })]));
  await first;
  const { socket } = session.transport;
  assert.equal(socket.extensions, "permessage-deflate");
  const third = new Promise((resolve) => session.on("data", (data) => data === "third" && resolve()));
  ws.write(Buffer.concat([frame(OPCODE.continuation, payload.subarray(4)), compressedFrame("4third")]));
  await within(third, "the third message");
  assert.deepEqual(all, ["first", "second", "third"]);
  socket.send(`4${LONG}`);
  assert.equal(inflated(await ws.next()), `4${LONG}`);
  session.send(LONG);
  assert.equal(inflated(await ws.next()), `4${LONG}`);
});

test("compresses large messages in the background, and keeps the order [ROB-615]", oursOnly("a new wire"), async (t) => {
  const { ws, session } = await webSocketPair(t, { perMessageDeflate: true }, { headers: OFFER });
  const large = LONG.repeat(30);
  const sent = [];
  for (let round = 0; round < 30; round++) {
    const data = round % 3 === 0 ? `${round} ${large}` : `${round} ${round % 3 === 1 ? LONG : "short"}`;
    sent.push(`4${data}`);
    session.send(data);
    if (round % 7 === 0) await new Promise(setImmediate);
  }
  for (const expected of sent) {
    const met = await ws.next(20_000);
    assert.equal(typeof met === "string" ? met : inflated(met), expected);
  }
  assert.equal(ws.frames.filter(({ rsv }) => rsv === 4).length, 20);
  assert.equal(session.bufferedBytes, 0);
});

test(
  "reads on in the next turn after 256 KiB were inflated, so that others are served meanwhile [ROB-616]",
  oursOnly("a new wire"),
  async (t) => {
    const started = await startEngine(t, { perMessageDeflate: true });
    const { ws, session } = await openWebSocket(started, { headers: OFFER });
    const bomb = compressedFrame(`4${"x".repeat(200_000)}`);
    let turn = 0;
    const turns = new Map();
    const countTurns = () => (turn++, (timer = setImmediate(countTurns)));
    let timer = setImmediate(countTurns);
    t.after(() => clearImmediate(timer));
    const done = new Promise((resolve) => {
      let count = 0;
      session.on("data", (data) => {
        turns.set(turn, (turns.get(turn) ?? 0) + data.length);
        if (++count === 100) resolve();
      });
    });
    ws.write(Buffer.concat([...Array.from({ length: 100 }, () => bomb), messageFrame("4last")]));
    const last = new Promise((resolve) => session.on("data", (data) => data === "last" && resolve()));
    await within(done, "all messages", () => turns.size);
    await within(last, "the last message");
    assert.ok(Math.max(...turns.values()) <= 256 * 1024 + 200_000, `${Math.max(...turns.values())} in a turn`);
    assert.ok(turns.size >= 40, `${turns.size} turns`);
  },
);

test(
  "compresses and inflates with the documented functions where streams of zlib are of another kind [ROB-613]",
  oursOnly("it uses no internals"),
  async (t) => {
    for (const name of ["createDeflateRaw", "createInflateRaw"]) t.mock.method(zlib, name, () => ({ _handle: null }));
    const oneShots = ["deflateRawSync", "inflateRawSync"].map((name) => t.mock.method(zlib, name));
    const started = await startEngine(t, { perMessageDeflate: true });
    const { ws, session } = await openWebSocket(started, { headers: OFFER });
    const all = messages(session);
    const last = new Promise((resolve) => session.on("data", (data) => data === "last" && resolve()));
    const before = oneShots.map(({ mock }) => mock.callCount());
    session.send(LONG);
    assert.equal(inflated(await ws.next()), `4${LONG}`);
    ws.write(Buffer.concat([compressedFrame(`4${LONG}`), compressedFrame("4last")]));
    await within(last, "the last message");
    assert.deepEqual(all, [LONG, "last"]);
    for (const [index, { mock }] of oneShots.entries()) assert.ok(mock.callCount() > before[index]);
    for (const [data, code] of [
      [deflated(Buffer.alloc(2_000_000)), 1009],
      [Buffer.alloc(20, 0xff), 1007],
    ]) {
      const other = await openWebSocket(started, { headers: OFFER });
      other.ws.write(frame(OPCODE.text, data, { rsv: 4 }));
      assert.equal((await other.ws.closed()).code, code);
    }
  },
);

test("refuses options of compression that could never work, when they are given [ROB-611]", oursOnly("validation is ours"), async (t) => {
  const table = [
    [{ threshold: -1 }, /perMessageDeflate\.threshold: expected a non-negative number, met -1/],
    [{ serverNoContextTakeover: "yes" }, /perMessageDeflate\.serverNoContextTakeover: expected a boolean, met "yes"/],
    [{ clientNoContextTakeover: 1 }, /perMessageDeflate\.clientNoContextTakeover: expected a boolean, met 1/],
    [{ serverMaxWindowBits: 16 }, /perMessageDeflate\.serverMaxWindowBits: expected 8 to 15, or a boolean, met 16/],
    [{ clientMaxWindowBits: 7 }, /perMessageDeflate\.clientMaxWindowBits: expected 8 to 15, or a boolean, met 7/],
    [{ concurrencyLimit: 0 }, /perMessageDeflate\.concurrencyLimit: expected a positive number, met 0/],
    [{ zlibDeflateOptions: 6 }, /perMessageDeflate\.zlibDeflateOptions: expected an object, met 6/],
    [{ zlibDeflateOptions: { level: 99 } }, /perMessageDeflate\.zlibDeflateOptions: expected options of zlib, met .*level/],
    [{ zlibInflateOptions: { chunkSize: 1 } }, /perMessageDeflate\.zlibInflateOptions: expected options of zlib, met .*chunkSize/],
  ];
  for (const [perMessageDeflate, message] of table) {
    await assert.rejects(startEngine(t, { perMessageDeflate }), { code: "RC_ERR_OPTION", message });
  }
});
