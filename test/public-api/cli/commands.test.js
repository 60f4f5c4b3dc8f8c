/** The command `tap`, and what all commands share. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { closeSync, existsSync, openSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { WebSocketServer } from "ws";
import { oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { roomcast } from "./command.js";
import { folder, startRaw, startServer } from "./fixtures.js";

const OURS = oursOnly("it has no such command");

test("tap prints events, sends what is typed, asks and answers [ROB-968]", OURS, async (t) => {
  const { io, url } = await startServer(t);
  const heard = [];
  io.of("/chat").on("connection", (socket) => {
    socket.on("hi", (...args) => heard.push(args));
    socket.on("ask", (value, answer) => answer("yes", value));
    socket.on("go", async () => {
      const answer = await socket.emitWithAck("question", { a: 1 });
      socket.emit("news", answer, Buffer.from([1, 2]));
    });
  });
  const command = roomcast(t, ["tap", `${url}/chat`, "--emit", 'hi 1 {"a": "b c"} "x y"', "--answer", '["fine"]', "--count", "2"]);
  await command.until(/→ "hi" 1 \{ a: 'b c' \} "x y"/);
  command.child.stdin.write("?ask 5\nnonsense {\n");
  await command.until(/← answer #0 "yes" 5/);
  await command.until(/expected JSON values, met "\{"/);
  command.child.stdin.write("go\n");
  const { code, stdout } = await command.ended();
  assert.equal(code, 0);
  assert.match(stdout, /← #0 "question" \{ a: 1 \}\n.* → answer #0 \[ 'fine' \]\n/);
  assert.match(stdout, /← "news" \[ 'fine' \] <2 bytes 0102>\n/);
  assert.deepEqual(heard, [[1, { a: "b c" }, "x y"]]);
});

test("tap prints one JSON object per line with --json [ROB-968]", OURS, async (t) => {
  const { io, url } = await startServer(t);
  io.on("connection", (socket) => socket.emit("news", "a\u001b[2J\u007f\u009b2J", Buffer.from([255])));
  const { code, stdout } = await roomcast(t, ["tap", url, "--json", "--count", "1"]).ended();
  assert.equal(code, 0);
  assert.doesNotMatch(stdout, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
  const lines = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    lines.map(({ kind, data }) => [kind, kind === "event" ? data : null]),
    [
      ["connected", null],
      ["event", ["news", "a\u001b[2J\u007f\u009b2J", { bytes: "/w==" }]],
    ],
  );
});

test("tap sends all over long-polling before it ends, as much at a time as the server takes, and its query [ROB-968]", OURS, async (t) => {
  const { io, url } = await startServer(t, { maxHttpBufferSize: 1_000 });
  const heard = [];
  const all = new Promise((resolve) => {
    io.of("/chat").on("connection", async (socket) => {
      heard.push(socket.handshake.query.token);
      socket.on("long", (text) => {
        if (heard.push(text.length) === 6) void socket.emitWithAck("question").then(resolve);
      });
    });
  });
  const lines = Array.from({ length: 5 }, () => ["--emit", `long ${JSON.stringify("x".repeat(400))}`]).flat();
  const args = ["--transport", "polling", "--answer", '"last"', "--count", "1", ...lines];
  const { code, stderr } = await roomcast(t, ["tap", `${url}/chat?token=a%20b`, ...args]).ended();
  assert.deepEqual([code, stderr], [0, ""]);
  assert.equal(await within(all, "the answer"), "last");
  assert.deepEqual(heard, ["a b", 400, 400, 400, 400, 400]);
});

test("tap connects once, and prints nothing of other namespaces [ROB-968]", OURS, async (t) => {
  const packets = ['40/chat,{"sid":"c"}', '42/other,["not mine"]', "41/other,", '40{"sid":"d"}', '42/chat,["mine"]'];
  const url = await startRaw(t, packets, ['42/chat,["early"]']);
  const { code, stdout, stderr } = await roomcast(t, ["tap", `${url}/chat`, "--json", "--count", "1", "--emit", "hi"]).ended();
  const lines = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).data);
  assert.deepEqual(lines, [["b"], ["hi"], ["mine"]]);
  assert.match(stderr, /^roomcast: ignored EVENT of the namespace "\/chat"[^\n]*\n$/);
  assert.equal(code, 0);
});

test("tap escapes what turns the direction of writing, and ends of lines of Unicode [ROB-968]", OURS, async (t) => {
  const { io, url } = await startServer(t);
  const text = "\u202e\u2028\u2029\u2066\u2069\u200e\u200f\u061c";
  io.on("connection", (socket) => socket.emit("news", text, { [text]: text }));
  for (const json of [[], ["--json"]]) {
    const { stdout } = await roomcast(t, ["tap", url, "--count", "1", ...json]).ended();
    assert.match(stdout, /\\u202e\\u2028\\u2029\\u2066\\u2069\\u200e\\u200f\\u061c/);
    assert.doesNotMatch(stdout, /[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/);
  }
});

test("all output arrives before a command ends, also at a slow reader [ROB-966]", OURS, async (t) => {
  const length = 8_000_000;
  const url = await startRaw(t, [`42["long","${"x".repeat(length)}"]`]);
  const { child, ended } = roomcast(t, ["tap", url, "--count", "1", "--json"]);
  child.stdout.pause();
  await within(once(child.stdout, "readable"), "the begin of the output");
  child.stdout.resume();
  const { code, stdout } = await ended();
  assert.equal(JSON.parse(stdout.trim().split("\n")[1]).data[1].length, length);
  assert.equal(code, 0);
});

const FULL = "/dev/full";
test(
  "output that cannot be written is one line and exit code 1 [ROB-966]",
  existsSync(FULL) ? OURS : { skip: "there is no /dev/full" },
  async (t) => {
    const { io, url } = await startServer(t);
    io.on("connection", (socket) => socket.emit("news"));
    const target = openSync(FULL, "w");
    t.after(() => closeSync(target));
    const directory = folder(t);
    const all = [
      ["tap", url, "--count", "1"],
      ["load", url, "--clients", "1", "--ramp", "0", "--duration", "0.2"],
      ["doctor", url, "--wait", "0"],
      ["serve", directory, "--port", "0"],
      ["start", "--help"],
      ["--version"],
    ];
    for (const args of all) {
      const { code, stderr } = await roomcast(t, args, { options: { stdio: ["pipe", target, "pipe"] } }).ended();
      assert.match(stderr, /^roomcast: the output cannot be written: ENOSPC[^\n]*\n$/, args.join(" "));
      assert.equal(code, 1, args.join(" "));
    }
  },
);

test("tap ends quietly when nobody reads its output any more [ROB-968]", OURS, async (t) => {
  const { io, url } = await startServer(t);
  const command = roomcast(t, ["tap", url]);
  await command.until(/connected/);
  command.child.stdout.destroy();
  const timer = setInterval(() => io.emit("news"), 50);
  t.after(() => clearInterval(timer));
  const { code, stderr } = await command.ended();
  assert.deepEqual([code, stderr], [0, ""]);
});

test("tap refuses a handshake that makes no sense, and waits for a heartbeat of any length [ROB-968]", OURS, async (t) => {
  const httpServer = createServer();
  const server = new WebSocketServer({ server: httpServer });
  let pingInterval = -1;
  server.on("connection", (socket) => {
    socket.send(JSON.stringify({ sid: "a", upgrades: [], pingInterval, pingTimeout: 2 ** 31 }).replace(/^/, "0"));
    socket.on("message", (data) => {
      if (data.toString() === "40") socket.send('40{"sid":"b"}');
      if (data.toString() === '42["go"]') setTimeout(() => socket.send('42["news"]'), 300);
    });
  });
  httpServer.listen(0, "127.0.0.1");
  await once(httpServer, "listening");
  t.after(() => {
    for (const socket of server.clients) socket.terminate();
    httpServer.close();
  });
  const args = ["tap", `http://127.0.0.1:${httpServer.address().port}`, "--emit", "go", "--count", "1"];
  const refused = await roomcast(t, args).ended();
  assert.deepEqual([refused.code, refused.stdout], [1, ""]);
  assert.match(refused.stderr, /^roomcast: not connected: the server sent what is no packet: a handshake \{/);
  pingInterval = 2 ** 31;
  const { code, stdout } = await roomcast(t, args).ended();
  assert.match(stdout, /← "news"/);
  assert.equal(code, 0);
});

test("tap says why it is not connected, or no longer, and ends with 1 [ROB-968]", OURS, async (t) => {
  const { io, url } = await startServer(t);
  io.use((socket, next) => next(socket.handshake.auth.token === "good" ? undefined : new Error("unauthorized")));
  io.on("connection", (socket) => socket.disconnect());
  const refused = await roomcast(t, ["tap", url]).ended();
  assert.equal(refused.code, 1);
  assert.match(refused.stdout, /✖ refused \{ message: 'unauthorized' \}/);
  const ended = await roomcast(t, ["tap", url, "--auth", '{"token":"good"}']).ended();
  assert.deepEqual([ended.code, ended.stderr], [1, "roomcast: disconnected: io server disconnect\n"]);
  const missing = await roomcast(t, ["tap", "http://127.0.0.1:1"]).ended();
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /^roomcast: not connected: .*ECONNREFUSED/);
});

test("every command explains itself, and refuses wrong arguments with 2 [ROB-966]", OURS, async (t) => {
  for (const name of ["start", "serve", "tap", "load", "doctor"]) {
    const { code, stdout } = await roomcast(t, [name, "--help"]).ended();
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^Usage: roomcast ${name} [^]*\nOptions:\n[^]*\nExamples:\n[^]*\nExit codes: `));
  }
  const wrong = [
    [["serve"], /serve: expected a folder/],
    [["serve", "/missing/folder"], /serve: there is no folder "\/missing\/folder"/],
    [["tap"], /tap: expected a URL/],
    [["tap", "ftp://x"], /expected a URL with http or https/],
    [["tap", "x", "--count", "0"], /--count: expected a number from 1 to/],
    [["tap", "x", "--auth", "{"], /--auth: expected JSON, met "\{"/],
    [["tap", "x", "--header", "nonsense"], /--header: expected "Name: value"/],
    [["tap", "x", "--header", "a(b: c"], /--header: .*HTTP token/],
    [["tap", "x", "--header", "a: \u0001"], /--header: Invalid character/],
    [["tap", "x", "--path", "/a?b"], /--path: expected a path like \/socket\.io\/, met "\/a\?b"/],
    [["tap", "http://ann:secret@x"], /^roomcast: tap: expected a URL without a user or password; [^\n]*--header "Authorization/],
    [["tap", "http://x/%zz"], /tap: expected a namespace as the path of the URL, met "\/%zz"/],
    [["load", "http://x/%zz"], /load: expected a namespace/],
    [["doctor", "http://x/%zz"], /doctor: expected a namespace/],
    [["load", "x", "--report", "/missing/x.md"], /--report: expected a folder that can be written to, met "\/missing"/],
    [["load", "x", "--report", ""], /--report: expected a file, met ""/],
    [["load", "x", "--report", tmpdir()], /--report: expected a file, met the folder "/],
    [["load", "x", "--first", "?ask"], /--first: expected an event without \? or !/],
    [["tap", "x", "--transport", "pigeon"], /--transport: expected websocket or polling, met "pigeon"/],
    [["load", "x", "--clients", "1.5"], /--clients: expected a whole number, met "1.5"/],
    [["load", "x", "--ask", "a", "--emit", "b"], /expected --ask or --emit, met both/],
    [["load", "x", "--duration", "5", "--warm-up", "5"], /--warm-up: expected less than --duration, 5, met 5/],
    [["load", "x", "--script", "/missing.mjs"], /--script: there is no file "\/missing\.mjs"/],
    [["load", "x", "--ask", "a", "--data", "{"], /--data: expected JSON values, met "\{"/],
    [["doctor", "x", "y"], /doctor: expected one URL, met 2/],
    [["doctor", "x", "--eio", "2"], /--eio: expected 3 or 4, met "2"/],
    [["doctor", "x", "--origin", "example.com"], /--origin: expected an origin like/],
    [["doctor", "x", "--unknown"], /Unknown option '--unknown'\n/],
  ];
  for (const [args, message] of wrong) {
    const { code, stdout, stderr } = await roomcast(t, args).ended();
    assert.deepEqual([code, stdout], [2, ""], args.join(" "));
    assert.match(stderr, message);
    assert.match(stderr, new RegExp(`Try: roomcast ${args[0]} --help\n$`));
  }
});
