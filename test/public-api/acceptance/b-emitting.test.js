/** Catalogue of usage examples, section B: emitting. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { client as openClient, once, record, stopwatch } from "../../support/client.js";
import { crowd, fence, joinServer, pair } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { within } from "../../support/wait.js";

/** Which of the clients got each event, as `{ event: "02" }`, after everything on its way has arrived. */
async function reached({ clients, sockets }, names, act) {
  const logs = clients.map((client) => record(client, ...names));
  await act();
  await Promise.all(sockets.map((socket, i) => fence(socket, clients[i])));
  return Object.fromEntries(
    names.map((name) => [name, logs.flatMap((log, i) => log.events.filter(([met]) => met === name).map(() => i)).join("")]),
  );
}

/** Clients that answer `question` with the given values; `undefined` stays silent. */
function answering(clients, ...answers) {
  clients.forEach((client, i) => client.on("question", (...args) => answers[i] !== undefined && args.at(-1)(answers[i])));
}

/** The arguments with which a callback is called. */
function called(start) {
  return within(new Promise((resolve) => start((...args) => resolve(args))), "the callback");
}

test("EX-20 carries any arguments, bytes within them [EVT-2]", async (t) => {
  const { socket, client } = await pair(t);
  const arrived = once(client, "mix");
  socket.emit("mix", true, null, ["é", { raw: Buffer.from("ab") }]);
  assert.deepEqual(await arrived, [true, null, ["é", { raw: Buffer.from([0x61, 0x62]) }]]);
});

test("EX-21 acknowledges from the client, with all values [ACK-1]", async (t) => {
  const { socket, client } = await pair(t);
  client.on("q", (value, callback) => callback(value, 2));
  assert.deepEqual(await called((got) => socket.emit("q", "x", (a, b) => got([a, b]))), [["x", 2]]);
});

test("EX-22 resolves emitWithAck with the first value [ACK-4]", async (t) => {
  const { socket, client } = await pair(t);
  client.on("q", (value, callback) => callback("y", "ignored"));
  assert.equal(await within(socket.emitWithAck("q", "x"), "the answer"), "y");
});

test("EX-23 puts null first when a timed question is answered [ACK-3]", async (t) => {
  const { socket, client } = await pair(t);
  client.on("q", (callback) => callback("v"));
  assert.deepEqual(await called((got) => socket.timeout(1000).emit("q", got)), [null, "v"]);
});

test("EX-24 calls back with one error when the time is over [ACK-3]", async (t) => {
  const { socket } = await pair(t);
  const args = await called((got) => socket.timeout(50).emit("q", got));
  assert.equal(args.length, 1);
  assert.ok(args[0] instanceof Error);
  assert.equal(args[0].message, "operation has timed out");
});

test("EX-25 rejects the promise when the time is over, and ignores the late answer [ACK-2, ACK-4]", async (t) => {
  const { socket, client } = await pair(t);
  const asked = once(client, "q");
  const rejection = await within(
    socket
      .timeout(50)
      .emitWithAck("q")
      .catch((error) => error),
    "the rejection",
  );
  assert.equal(rejection.message, "operation has timed out");
  assert.equal("responses" in rejection, false);
  const [answer] = await asked;
  answer("late");
  await fence(client, socket);
  assert.equal(socket.connected, true);
});

test("EX-26 answers a question of the client once, however often the callback is called [ACK-5]", async (t) => {
  const { socket, client } = await pair(t);
  let returned = "unset";
  socket.on("sum", (a, b, callback) => {
    returned = callback(a + b);
    callback("again");
  });
  const answers = [];
  client.emit("sum", 1, 2, (...args) => answers.push(args));
  await fence(client, socket);
  await fence(socket, client);
  assert.deepEqual(answers, [[3]]);
  assert.equal(returned, undefined);
});

test("EX-27 answers a timed promise of the client [ACK-5]", async (t) => {
  const { socket, client } = await pair(t);
  socket.on("sum", (a, b, callback) => callback(a + b));
  assert.equal(await client.timeout(1000).emitWithAck("sum", 1, 2), 3);
});

test("EX-28 reaches every client once [NSP-5, SRV-42]", async (t) => {
  const server = await crowd(t, 3);
  assert.deepEqual(await reached(server, ["news"], () => server.io.emit("news")), { news: "012" });
});

test("EX-29 broadcasts to all but the sender [BRO-6]", async (t) => {
  const server = await crowd(t, 3);
  assert.deepEqual(await reached(server, ["joined"], () => server.sockets[1].broadcast.emit("joined")), { joined: "02" });
});

test("EX-30 reaches the members of a room, or all others [BRO-2, BRO-3]", async (t) => {
  const server = await crowd(t, 3);
  server.sockets[0].join("my room");
  server.sockets[2].join("my room");
  const met = await reached(server, ["m", "n"], () => {
    server.io.to("my room").emit("m");
    server.io.except("my room").emit("n");
  });
  assert.deepEqual(met, { m: "02", n: "1" });
});

test("EX-31 unites rooms, and an exception outweighs them [BRO-3]", async (t) => {
  const server = await crowd(t, 4);
  const { io, sockets } = server;
  sockets[0].join(["red", "green"]);
  sockets[1].join(["blue", "muted"]);
  sockets[2].join("blue");
  const met = await reached(server, ["m"], () => io.to("red").to(["green", "blue"]).except("muted").emit("m"));
  assert.deepEqual(met, { m: "02" });
});

test("EX-32 leaves the sending member out, unless the server sends [BRO-6]", async (t) => {
  const server = await crowd(t, 3);
  const { io, sockets } = server;
  sockets[0].join("r1");
  sockets[1].join("r1");
  const met = await reached(server, ["m", "n"], () => {
    sockets[0].to("r1").emit("m");
    io.in("r1").emit("n");
  });
  assert.deepEqual(met, { m: "1", n: "01" });
});

test("EX-33 reaches one socket by its id, but never the sender [BRO-6]", async (t) => {
  const server = await crowd(t, 3);
  const { io, sockets } = server;
  const met = await reached(server, ["private", "self"], () => {
    io.to(sockets[2].id).emit("private", 1);
    sockets[0].to(sockets[0].id).emit("self");
  });
  assert.deepEqual(met, { private: "2", self: "" });
});

test("EX-34 keeps a broadcast within its namespace [NSP-5]", async (t) => {
  const server = await startServer(t);
  server.io.of("/chat");
  const pairs = [await joinServer(t, server), await joinServer(t, server, "/chat"), await joinServer(t, server, "/chat")];
  const ends = { clients: pairs.map(({ client }) => client), sockets: pairs.map(({ socket }) => socket) };
  assert.deepEqual(await reached(ends, ["m"], () => server.io.of("/chat").emit("m")), { m: "12" });
});

test("EX-35 gathers one answer of each client [ACK-20]", async (t) => {
  const { io, clients } = await crowd(t, 2);
  answering(clients, 1, 2);
  const [error, responses] = await called((got) => io.timeout(1000).emit("question", got));
  assert.equal(error, null);
  assert.deepEqual(responses.sort(), [1, 2]);
});

test("EX-36 gives the answers it has when one is missing [ACK-21, ACK-25]", async (t) => {
  const { io, clients } = await crowd(t, 2);
  answering(clients, "only", undefined);
  const [error, responses] = await called((got) => io.timeout(300).emit("question", got));
  assert.equal(error.message, "operation has timed out");
  assert.deepEqual(responses, ["only"]);
  const rejection = await within(
    io
      .timeout(300)
      .emitWithAck("question")
      .catch((reason) => reason),
    "the rejection",
  );
  assert.equal(rejection.message, "operation has timed out");
  assert.deepEqual(rejection.responses, ["only"]);
});

test("EX-37 calls back without receivers at once, but not in the same tick [ACK-23]", async (t) => {
  const { io } = await startServer(t);
  const elapsed = stopwatch();
  let isSync = true;
  const answer = called((got) =>
    io
      .to("empty")
      .timeout(1000)
      .emit("x", (...args) => got(isSync, ...args)),
  );
  isSync = false;
  assert.deepEqual(await answer, [false, null, []]);
  assert.ok(elapsed() < 500, `took ${elapsed()} ms`);
});

test("EX-38 counts a client that went away as missing [ACK-24]", async (t) => {
  const { io, clients } = await crowd(t, 2);
  answering([clients[0]], "here");
  clients[1].on("question", () => clients[1].disconnect());
  const [error, responses] = await called((got) => io.timeout(400).emit("question", got));
  assert.equal(error.message, "operation has timed out");
  assert.deepEqual(responses, ["here"]);
});

test("EX-39 gathers answers from a room, without sender and exception [ACK-20, EVT-7]", async (t) => {
  const { clients, sockets } = await crowd(t, 4);
  answering(clients, "sender", "member", "excepted", "outsider");
  for (const i of [0, 1, 2]) sockets[i].join("r");
  sockets[2].join("x");
  assert.deepEqual(await called((got) => sockets[0].timeout(3000).to("r").except("x").emit("question", got)), [null, ["member"]]);
  assert.deepEqual(await called((got) => sockets[0].to("r").except("x").timeout(3000).emit("question", got)), [null, ["member"]]);
});

test("EX-40 reaches all sockets of one server with local [BRO-7]", async (t) => {
  const server = await crowd(t, 2);
  assert.deepEqual(await reached(server, ["x"], () => server.io.local.emit("x")), { x: "01" });
});

test("EX-41 drops a volatile event after another one, and sends it when the transport is free [EVT-9]", async (t) => {
  const { socket, client } = await pair(t);
  const log = record(client, "a", "b", "c", "d");
  socket.emit("a");
  socket.volatile.emit("b");
  socket.emit("c");
  await fence(socket, client);
  await fence(client, socket);
  socket.volatile.emit("d");
  await log.until((events) => events.some(([name]) => name === "d"));
  assert.deepEqual(log.names, ["a", "c", "d"]);
});

test("EX-42 asks for no compression of one packet [EVT-6, EVT-8]", async (t) => {
  const { socket } = await pair(t);
  const created = [];
  socket.conn.on("packetCreate", ({ options }) => created.push(options.compress));
  socket.compress(false).emit("x");
  socket.emit("x");
  assert.deepEqual(created, [false, true]);
});

test("EX-43 sends messages, and chains [EVT-5, NSP-6, SRV-41]", async (t) => {
  const { io, socket, client } = await pair(t);
  const log = record(client, "message");
  assert.equal(socket.send("hi"), socket);
  assert.equal(socket.write("ho"), socket);
  assert.equal(io.send("a"), io);
  assert.equal(io.write("b"), io);
  assert.equal(io.of("/").send("c"), io.of("/"));
  await fence(socket, client);
  assert.deepEqual(
    log.events.map(([, text]) => text),
    ["hi", "ho", "a", "b", "c"],
  );
});

test("EX-44 refuses reserved names wherever one can emit [EVT-1]", async (t) => {
  const { io, socket } = await pair(t);
  for (const name of ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]) {
    const refusal = { name: "Error", message: `"${name}" is a reserved event name` };
    for (const target of [socket, io, io.of("/"), io.to("r"), socket.broadcast]) assert.throws(() => target.emit(name), refusal);
  }
  assert.equal(socket.emit("error"), true);
  assert.equal(socket.emit("message"), true);
});

test("EX-45 writes what JSON can say, and refuses what it cannot [EVT-2]", async (t) => {
  const { socket, client } = await pair(t);
  const arrived = once(client, "d");
  assert.equal(socket.emit("d", new Date(0), undefined, NaN, new Map([[1, 2]]), { toJSON: () => ({ v: 7 }) }), true);
  assert.deepEqual(await arrived, ["1970-01-01T00:00:00.000Z", null, null, {}, { v: 7 }]);
  assert.throws(() => socket.emit("d", 1n), TypeError);
});

test("EX-46 keeps an operator as it was made [BRO-1]", async (t) => {
  const server = await crowd(t, 2);
  const { io, sockets } = server;
  sockets[0].join("a");
  sockets[1].join("b");
  const met = await reached(server, ["first", "x"], () => {
    const operator = io.to("a");
    operator.to("b");
    void operator.volatile;
    io.emit("first"); // a volatile event would be dropped behind this one
    operator.emit("x");
  });
  assert.deepEqual(met, { first: "01", x: "0" });
});

test("EX-47 carries 2 MB to the client, and refuses 2 MB from it [DIS-25, OPT-9]", async (t) => {
  const { socket, client } = await pair(t);
  const text = "é".repeat(1_000_000);
  const bytes = Buffer.alloc(2_000_000, 7);
  const arrived = once(client, "big");
  socket.emit("big", { text }, bytes);
  const [json, buffer] = await arrived;
  assert.ok(json.text === text);
  assert.ok(bytes.equals(buffer));
  const ending = once(socket, "disconnect");
  client.emit("big", bytes);
  const [reason, description] = await ending;
  assert.equal(reason, "transport error");
  assert.ok(description instanceof Error);
});

for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
  test(`EX-48 keeps 1000 events in order over ${transports.join(" to ")} [EVT-10]`, async (t) => {
    const { io, url } = await startServer(t);
    const isUpgrading = transports.length > 1;
    io.on("connection", (socket) => {
      let isUpgraded = !isUpgrading;
      let n = 0;
      socket.conn.once("upgrade", () => (isUpgraded = true));
      (function pump() {
        for (let i = 0; i < 5 && n < (isUpgraded ? 1000 : 900); i += 1) socket.emit("n", n++);
        if (n < 1000 && socket.connected) setImmediate(pump);
      })();
    });
    const client = openClient(t, url, "/", { transports });
    const { until } = record(client, "n");
    const events = await until((all) => all.length >= 1000);
    assert.deepEqual(
      events.map(([, n]) => n),
      Array.from({ length: 1000 }, (_, i) => i),
    );
    assert.equal(client.io.engine.transport.name, transports.at(-1));
  });
}
