import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { startServer } from "../../../support/server.js";
import { ours, oursOnly } from "../../../support/target.js";
import { Inbox } from "../../../support/wait.js";
import { Decoder, Encoder } from "./default-parser.js";
import { join, joinedPeer, journal, nextSocket, openPeer, TRANSPORTS } from "./peer.js";

/** A parser that writes a packet as its JSON, in reverse, so that nothing of the default format can work by accident; `log` tells what was asked of it. */
function reversedJson(log = []) {
  const reverse = (text) => [...text].reverse().join("");
  class Encoder {
    constructor(...args) {
      log.push(["new Encoder", ...args]);
    }

    encode(packet) {
      log.push(["encode", structuredClone(packet)]);
      return [reverse(JSON.stringify([packet.type, packet.nsp, packet.data, packet.id]))];
    }
  }
  class Decoder extends EventEmitter {
    constructor(...args) {
      super();
      log.push(["new Decoder", ...args]);
    }

    add(chunk) {
      log.push(["add", chunk]);
      const [type, nsp, data, id] = JSON.parse(reverse(chunk));
      this.emit("decoded", { type, nsp, data: data ?? undefined, id: id ?? undefined });
    }

    destroy() {
      log.push(["destroy"]);
    }
  }
  return { log, reverse, parser: { Encoder, Decoder } };
}

test("makes one encoder for the server and one decoder for each connection, without arguments [SIO-35, OPT-4]", async (t) => {
  const { log, parser, reverse } = reversedJson();
  const { port } = await startServer(t, { parser });
  for (let i = 0; i < 2; i++) {
    const peer = await openPeer(t, port);
    peer.send(`4${reverse('[0,"/"]')}`);
    await peer.next();
  }
  assert.deepEqual(
    log.filter(([what]) => what.startsWith("new")),
    [["new Encoder"], ["new Decoder"], ["new Decoder"]],
  );
});

for (const transport of TRANSPORTS) {
  test(`sends each element of what encode gives as one message, in order, over ${transport} [SIO-36, SIO-42, SIO-21]`, async (t) => {
    const parts = { EVENT: ["head", Buffer.from([1, 2]), "tail", Buffer.from([3])] };
    class Encoder {
      encode({ type }) {
        return type === 2 ? parts.EVENT : [`packet ${type}`];
      }
    }
    class Decoder extends EventEmitter {
      add(chunk) {
        this.emit("decoded", { type: chunk === "hello" ? 0 : 2, nsp: "/", data: chunk === "hello" ? undefined : [chunk] });
      }
      destroy() {}
    }
    const { io, port } = await startServer(t, { parser: { Encoder, Decoder } });
    io.on("connection", (socket) =>
      socket.on("go", () => {
        socket.emit("x");
        io.emit("y");
      }),
    );
    const peer = await openPeer(t, port, transport);
    peer.send("4hello");
    await peer.expect("4packet 0");
    peer.send("4go");
    const event = ["4head", Buffer.from([1, 2]), "4tail", Buffer.from([3])];
    await peer.expect(...event, ...event);
  });

  test(`hands every message to add as text or Buffer and takes packets from "decoded", over ${transport} [SIO-37]`, async (t) => {
    const chunks = new Inbox("a chunk");
    class Encoder {
      encode({ type, data }) {
        return [`${type}${data?.[0] ?? ""}`];
      }
    }
    class Decoder extends EventEmitter {
      add(chunk) {
        chunks.push(chunk);
        if (chunk === "join") this.emit("decoded", { type: 0, nsp: "/" });
        if (Buffer.isBuffer(chunk)) this.emit("decoded", { type: 2, nsp: "/", data: ["bytes", chunk] });
      }
      destroy() {}
    }
    const { io, port } = await startServer(t, { parser: { Encoder, Decoder } });
    io.on("connection", (socket) => socket.on("bytes", (bytes) => socket.emit(`got ${bytes.toString("hex")}`)));
    const peer = await openPeer(t, port, transport);
    peer.send("4join");
    await peer.expect("40");
    peer.send("4nothing comes of this", Buffer.from([0xab]));
    await peer.expect("42got ab");
    assert.deepEqual(chunks.all, ["join", "nothing comes of this", Buffer.from([0xab])]);
  });
}

test("gives encode packets of type 0 to 4 only, with type, nsp, data and id [SIO-36]", async (t) => {
  const { log, parser, reverse } = reversedJson();
  const { io, port } = await startServer(t, { parser });
  io.of("/admin").use((socket, next) => next(new Error("no")));
  io.on("connection", (socket) => {
    socket.emit("plain", { a: 1 });
    socket.emit("binary", Uint8Array.of(1));
    socket.emit("ack", () => {});
    socket.on("q", (answer) => {
      answer("yes");
      socket.disconnect();
    });
  });
  const peer = await openPeer(t, port);
  peer.send(`4${reverse('[0,"/"]')}`, `4${reverse('[0,"/admin"]')}`);
  for (let i = 0; i < 5; i++) await peer.next();
  peer.send(`4${reverse('[2,"/",["q"],5]')}`);
  await peer.expect(`4${reverse('[3,"/",["yes"],5]')}`, `4${reverse('[1,"/",null,null]')}`);
  const packets = log.filter(([what]) => what === "encode").map(([, packet]) => packet);
  const [connect] = packets.filter(({ type }) => type === 0);
  assert.match(connect.data.sid, /^[A-Za-z0-9_-]{20}$/);
  const met = packets.filter(({ type }) => type !== 0).map(({ type, nsp, data, id }) => ({ type, nsp, data, id }));
  const order = (packet) => JSON.stringify([packet.type, packet.id, packet.data?.[0]]);
  met.sort((a, b) => (order(a) < order(b) ? -1 : 1));
  const expected = [
    { type: 2, nsp: "/", data: ["plain", { a: 1 }], id: undefined },
    { type: 2, nsp: "/", data: ["binary", Uint8Array.of(1)], id: undefined },
    { type: 2, nsp: "/", data: ["ack"], id: 0 },
    { type: 4, nsp: "/admin", data: { message: "no", data: undefined }, id: undefined },
    { type: 3, nsp: "/", data: ["yes"], id: 5 },
    { type: 1, nsp: "/", data: undefined, id: undefined },
  ].sort((a, b) => (order(a) < order(b) ? -1 : 1));
  assert.deepEqual(
    met.map((packet) => JSON.stringify(packet)),
    expected.map((packet) => JSON.stringify(packet)),
  );
});

test("encodes a broadcast once, for any number of receivers [SIO-36, BRO-11]", async (t) => {
  const { log, parser, reverse } = reversedJson();
  const { io, port } = await startServer(t, { parser });
  const peers = [];
  for (let i = 0; i < 3; i++) {
    const peer = await openPeer(t, port);
    peer.send(`4${reverse('[0,"/"]')}`);
    await peer.next();
    peers.push(peer);
  }
  log.length = 0;
  io.emit("x", 1);
  for (const peer of peers) await peer.expect(`4${reverse('[2,"/",["x",1],null]')}`);
  assert.equal(log.filter(([what]) => what === "encode").length, 1);
});

test("treats any error thrown by add as a decoding error [SIO-37, SIO-50]", async (t) => {
  const { parser, reverse } = reversedJson();
  const { io, port } = await startServer(t, { parser });
  const entries = journal(io);
  const peer = await openPeer(t, port);
  peer.send(`4${reverse('[0,"/"]')}`);
  await peer.next();
  peer.send("4not json");
  const [, event, text] = await entries.next();
  assert.equal(event, "error");
  assert.match(text, /JSON/);
  assert.deepEqual(await entries.next(), ["/", "disconnect", "forced close"]);
  await peer.closed();
});

test("destroys the decoder once when the connection ends [SIO-37, CLI-5]", async (t) => {
  const { log, parser, reverse } = reversedJson();
  const { io, port } = await startServer(t, { parser });
  const entries = journal(io);
  const peer = await openPeer(t, port);
  peer.send(`4${reverse('[0,"/"]')}`);
  await peer.next();
  peer.abort();
  assert.deepEqual(await entries.next(), ["/", "disconnect", "transport close"]);
  assert.equal(log.filter(([what]) => what === "destroy").length, 1);
});

test(
  "refuses reserved event names also when the parser accepts them [EVT-24, SIO-40]",
  oursOnly("it checks them in its default parser only"),
  async (t) => {
    const { parser, reverse } = reversedJson();
    const { io, port } = await startServer(t, { parser });
    const entries = journal(io);
    const peer = await openPeer(t, port);
    peer.send(`4${reverse('[0,"/"]')}`);
    await peer.next();
    peer.send(`4${reverse('[2,"/",["disconnect","forged"]]')}`);
    const met = [await entries.next()];
    if (met[0][1] === "error") met.push(await entries.next());
    assert.deepEqual(met.at(-1), ["/", "disconnect", "forced close"]);
  },
);

test("survives packets without sense from a custom parser [SIO-37, SIO-42]", oursOnly("it trusts its parser"), async (t) => {
  const { parser, reverse } = reversedJson();
  const { io, port } = await startServer(t, { parser });
  const good = await openPeer(t, port);
  good.send(`4${reverse('[0,"/"]')}`);
  await good.next();
  for (const packet of [
    "[2]",
    '[2,"/"]',
    '[2,"/",{}]',
    '[2,"/",[]]',
    '[3,"/",null,0]',
    '[9,"/",[]]',
    '["x","/"]',
    "[0]",
    "[0,7]",
    "[null,null,null,null]",
  ]) {
    const peer = await openPeer(t, port);
    peer.send(`4${reverse('[0,"/"]')}`);
    await peer.next();
    peer.send(`4${reverse(packet)}`);
    peer.send(`4${reverse('[1,"/"]')}`, "4end"); // ends the session in any case
    await peer.closed();
  }
  io.emit("x");
  await good.expect(`4${reverse('[2,"/",["x"],null]')}`);
});

test("passes the replacer to the default encoder and the reviver to the default decoder [SIO-38]", async (t) => {
  const parser = {
    Encoder: class extends Encoder {
      constructor() {
        super((key, value) => (key === "secret" ? undefined : value));
      }
    },
    Decoder: class extends Decoder {
      constructor() {
        super((key, value) => (key === "count" ? value + 1 : value));
      }
    },
  };
  const { io, port } = await startServer(t, { parser });
  io.on("connection", (socket) => socket.on("x", (value) => socket.emit("y", value)));
  const peer = await joinedPeer(t, port);
  peer.send('42["x",{"secret":1,"count":1}]');
  await peer.expect('42["y",{"count":2}]');
});

test("takes the attachment limit of a decoder's options [SIO-38, SIO-27]", async (t) => {
  const parser = {
    Encoder,
    Decoder: class extends Decoder {
      constructor() {
        super({ maxAttachments: 1 });
      }
    },
  };
  const { io, port } = await startServer(t, { parser });
  const entries = journal(io);
  const peer = await joinedPeer(t, port);
  peer.send('451-["x",{"_placeholder":true,"num":0}]', Buffer.from([1]));
  peer.send('452-["x"]');
  assert.deepEqual(await entries.next(), ["/", "error", "too many attachments"]);
});

test("forgets a half-received packet with its connection and decodes the next one's first text [SIO-39, SIO-37]", async (t) => {
  const { io, port } = await startServer(t);
  io.on("connection", (socket) => socket.on("x", () => socket.emit("y")));
  const entries = journal(io);
  const joined = nextSocket(io);
  const half = await joinedPeer(t, port);
  await joined;
  half.send('452-["x",{"_placeholder":true,"num":0}]', Buffer.from([1]));
  half.ws.close();
  assert.deepEqual(await entries.next(), ["/", "disconnect", "transport close"]);
  const peer = await openPeer(t, port);
  await join(peer);
  peer.send('42["x"]');
  await peer.expect('42["y"]');
});

test("resets a default decoder with destroy in the middle of a packet [SIO-39]", async () => {
  const decoder = new Decoder();
  const packets = [];
  decoder.on("decoded", (packet) => packets.push(packet.data));
  decoder.add('51-["x",{"_placeholder":true,"num":0}]');
  decoder.destroy();
  decoder.add('2["y"]');
  assert.deepEqual(packets, [["y"]]);
  assert.throws(
    () => {
      decoder.add('51-["x",{"_placeholder":true,"num":3}]');
      decoder.add(Buffer.from([1]));
    },
    { message: "illegal attachments" },
  );
  ours("it stays in the waiting state", () => {
    decoder.add('2["z"]');
    assert.deepEqual(packets, [["y"], ["z"]]);
  });
});
