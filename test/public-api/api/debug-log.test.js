/** What DEBUG prints: the program of docs/debugging.md, from the first request of a client to its end. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { emptyProject, root } from "../../project/examples/readme-program.js";
import { oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { PollingSession, WireSocket } from "../../support/wire-client.js";

const OURS = oursOnly("the texts are ours");
const preload = fileURLToPath(new URL("../../support/fixtures/report-port.mjs", import.meta.url));
const document = readFileSync(join(root, "docs/debugging.md"), "utf8");
const block = (language) => new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, "m").exec(document)[1];
const ORIGIN = { origin: "https://chat.example", cookie: "login=C00KIE" };
const PATH = { path: "/socket.io/" };

const NO_CORS = 'import { Server } from "roomcast";\nnew Server(3000);\n';

/** Starts the program of the document, or another. `until(text)` waits until stderr holds a text. */
async function startProgram(t, DEBUG, code = block("js")) {
  const file = join(emptyProject(t), "server.mjs");
  writeFileSync(file, code);
  const env = { ...process.env, DEBUG, DEBUG_HIDE_DATE: "1", DEBUG_COLORS: "no", NODE_OPTIONS: "" };
  const child = spawn(process.execPath, ["--import", preload, file], { env, stdio: ["ignore", "inherit", "pipe", "ipc"] });
  t.after(() => child.kill("SIGKILL"));
  const port = await within(new Promise((resolve) => child.once("message", resolve)), "the port");
  const program = { port, child, text: "", lines: () => program.text.split("\n").slice(0, -1) };
  let check = () => {};
  child.stderr.setEncoding("utf8").on("data", (text) => {
    program.text += text;
    check();
  });
  program.until = (wanted) =>
    within(
      new Promise((resolve) => {
        check = () => program.text.includes(wanted) && resolve();
        check();
      }),
      `the line ${wanted}`,
      () => program.text,
    );
  return program;
}

/** One client's life; what it waits for is what it is sent, so the program need not print anything. */
async function liveThrough({ port }) {
  await assert.rejects(PollingSession.open(port, "", { ...PATH, headers: { origin: "https://evil.example" } }), /403/);
  await assert.rejects(PollingSession.open(port, "", { ...PATH, headers: ORIGIN, eio: 3 }), /400/);
  const session = await PollingSession.open(port, "", { ...PATH, headers: ORIGIN });
  await session.post('40{"token":"T0KEN"}');
  assert.match((await session.poll())[0], /^40\{/);
  const other = await WireSocket.open(port, "/socket.io/?EIO=4&transport=websocket");
  await other.next();
  other.send("40");
  await other.next();
  const ws = await session.upgrade();
  ws.send('420["say","PAYL0AD"]');
  await ws.expect('430["ok"]');
  await ws.expect('420["question","are you there?"]');
  await other.expect('42["said","PAYL0AD"]');
  ws.send('430["ANSWER"]', "40/admin,");
  await ws.until((message) => message.startsWith("44/admin,"));
  ws.send('42["saay","PAYL0AD"]', '421["ask","PAYL0AD"]');
  await ws.until((message) => message.startsWith("431["));
  ws.send("41");
  ws.abort();
  return session.sid;
}

test("tells with DEBUG why an event did or did not arrive, from the first request to the end [MOD-8, ROB-206]", OURS, async (t) => {
  const program = await startProgram(t, "engine*,socket.io*");
  const sid = await liveThrough(program);
  await program.until(`${JSON.stringify(sid)}: closed, `);
  const story = [
    /^engine cors: pages of "https:\/\/evil\.example" may not read the answer: Access-Control-Allow-Origin is "https:\/\/chat\.example"/,
    /^engine GET, transport "polling", a handshake/,
    /^engine refused: Forbidden \(name "ORIGIN_NOT_ALLOWED", origin "https:\/\/evil\.example"\)/,
    /^engine cors: pages of "https:\/\/chat\.example" may read the answer/,
    /^engine refused: Unsupported protocol version \(protocol "3"\)/,
    /^engine:socket SID: opens over polling, revision 4/,
    /^socket\.io:server incoming connection with id SID/,
    /^engine POST, transport "polling", session SID/,
    /^socket\.io:client SID: asks to join "\/"/,
    /^socket\.io:socket "\S+": sends CONNECT/,
    /^socket\.io:client SID: joined "\/" as "\S+"/,
    /^socket\.io:socket "\S+": joins \["lobby"\]/,
    /^engine:socket SID: might upgrade from polling to websocket/,
    /^engine:socket SID: the probe over websocket is answered/,
    /^engine:socket SID: upgraded to websocket/,
    /^engine:transport SID: polling is closed/,
    /^socket\.io:socket "\S+": receives EVENT "say" with ack id 0/,
    /^socket\.io:socket "\S+": the event "say" is raised, it has 1 listener$/,
    /^socket\.io-adapter EVENT "said" of "\/" to \["lobby"\] except \["\S+"\]: 1 receivers on this server/,
    /^socket\.io:socket "\S+": sends ACK with id 0/,
    /^socket\.io:socket "\S+": sends EVENT "question" with ack id 0/,
    /^socket\.io:socket "\S+": receives ACK with id 0/,
    /^socket\.io:client SID: may not join "\/admin": Invalid namespace/,
    /^socket\.io:socket "\S+": the event "saay" is raised, it has 0 listeners/,
    /^socket\.io:socket "\S+": leaves "lobby"/,
    /^socket\.io:socket "\S+": sends EVENT "question" with ack id 1/,
    /^socket\.io:socket "\S+": ack id 1 has timed out/,
    /^socket\.io:socket "\S+": receives DISCONNECT/,
    /^socket\.io:socket "\S+": leaves the namespace "\/": client namespace disconnect/,
    /^engine:socket SID: closed over websocket: transport (close|error)/,
    /^socket\.io:client SID: closed, transport (close|error)/,
  ];
  assertInOrder(program, story, sid);
  assertInOrder(
    program,
    block("text")
      .split("\n")
      .filter((line) => line !== ""),
    sid,
  );
  for (const secret of ["T0KEN", "C00KIE", "PAYL0AD", "are you there", "ANSWER"])
    assert.ok(!program.text.includes(secret), `${secret} is in the log`);
});

test("prints nothing without DEBUG [MOD-8]", OURS, async (t) => {
  const program = await startProgram(t, "");
  await liveThrough(program);
  const gone = new Promise((resolve) => program.child.once("close", resolve));
  program.child.kill();
  await within(gone, "the program to end");
  assert.equal(program.text, "");
});

/** Each expectation is met by a line, behind the line that met the one before. A text is a line with other ids. */
function assertInOrder({ lines }, expectations, sid) {
  const rest = lines().map((line) => line.replaceAll(JSON.stringify(sid), "SID"));
  const withoutIds = (line) => line.replaceAll(/SID|"[\w-]{20}"/g, "ID").trim();
  for (const expected of expectations) {
    const at = rest.findIndex((line) => (typeof expected === "string" ? withoutIds(line) === withoutIds(expected) : expected.test(line)));
    assert.notEqual(at, -1, `no line ${expected} in\n${rest.join("\n")}`);
    rest.splice(0, at + 1);
  }
}

test("tells with DEBUG that a page of another origin cannot read the answer without the option cors [ROB-982]", OURS, async (t) => {
  const program = await startProgram(t, "engine", NO_CORS);
  for (const origin of ["https://app.example", `http://localhost:${program.port}`]) {
    const session = await PollingSession.open(program.port, "", { ...PATH, headers: { origin, host: `localhost:${program.port}` } });
    await session.post("40");
  }
  await WireSocket.open(program.port, "/socket.io/?EIO=4&transport=websocket", { origin: "https://app.example" });
  await program.until('transport "websocket", a handshake');
  const story = program.lines().map((line) => line.replace(/session "\S+"/, "session SID"));
  assert.deepEqual(
    story.map((line) => line.replace(/ \+\d+ms$/, "")),
    [
      'engine cors: without the option cors, pages of "https://app.example" may not read the answer',
      'engine GET, transport "polling", a handshake',
      'engine POST, transport "polling", session SID',
      'engine GET, transport "polling", a handshake',
      'engine POST, transport "polling", session SID',
      'engine GET, transport "websocket", a handshake',
    ],
  );
});
