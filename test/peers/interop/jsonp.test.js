/** JSONP polling as the browser code of old clients does it: scripts for what arrives, forms for what is sent. */
import { fork } from "node:child_process";
import { createServer } from "node:http";
import { test } from "node:test";
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { runInNewContext } from "node:vm";
import { once } from "../../support/client.js";
import { startHttp } from "../../support/server.js";
import { within } from "../../support/wait.js";
import { http } from "../../support/wire-client.js";
import { hosts, serve } from "./hosts.js";

const PAGE = fileURLToPath(new URL("./fixtures/page.cjs", import.meta.url));

/** One session over JSONP. `receive()` runs the next script and gives its packets, `send(text)` posts one packet. */
class JsonpClient {
  constructor({ port, tls, query, index }) {
    this.index = index;
    this.port = port;
    this.tls = tls;
    this.path = `/socket.io/?transport=polling&j=${index}&${query}`;
    this.isOld = query.includes("EIO=3");
  }

  async open() {
    const [open] = await this.receive();
    this.handshake = JSON.parse(open.slice(1));
    this.path += `&sid=${this.handshake.sid}`;
  }

  async receive() {
    const { port, tls, path } = this;
    const response = await http(port, { tls, path });
    assert.equal(response.status, 200);
    const scripts = [];
    runInNewContext(response.text, { ___eio: { [this.index]: (payload) => scripts.push(payload) } });
    assert.equal(scripts.length, 1);
    return this.isOld ? splitOldPayload(scripts[0]) : scripts[0].split("\u001e");
  }

  async send(text) {
    const payload = this.isOld ? `${text.length}:${text}` : text;
    const escaped = payload.replace(/\\n/g, "\\\\n").replace(/\n/g, "\\n");
    const { port, tls, path } = this;
    const headers = { "Content-Type": "application/x-www-form-urlencoded" };
    const response = await http(port, { tls, path, method: "POST", headers, body: String(new URLSearchParams({ d: escaped })) });
    assert.deepEqual([response.status, response.text], [200, "ok"]);
  }
}

function splitOldPayload(payload) {
  const packets = [];
  for (let rest = payload; rest !== "";) {
    const [head, length] = /^(\d+):/.exec(rest);
    packets.push(rest.slice(head.length, head.length + Number(length)));
    rest = rest.slice(head.length + Number(length));
  }
  return packets;
}

const awkward = 'quote" back\\slash, line\nfeed, \\n, \u2028\u2029 € 🦊';

const revisions = [
  { title: "revision 4", query: "EIO=4", revision: 4 },
  { title: "client of revision 3", query: "EIO=3&b64=1", revision: 3 },
];
for (const host of hosts) {
  for (const row of revisions) {
    test(`JSONP, ${row.title}, ${host.title}: carries events, acknowledgements and bytes both ways [EIO-110, EIO-111, EIO-113, EIO-96]`, (t) =>
      exchange(t, host, row));
  }
}

async function exchange(t, host, { query, revision }) {
  const { io, port } = await serve(t, host, revision === 3 ? { allowEIO3: true } : { jsonp: true });
  const connected = once(io, "connection");
  const peer = new JsonpClient({ port, tls: host.scheme === "https", query, index: 3 });
  await peer.open();
  if (revision === 4) await peer.send("40");
  const [socket] = await connected;
  assert.equal(socket.conn.protocol, revision);
  assert.match((await peer.receive())[0], /^40/);

  socket.emit("hint", awkward);
  assert.deepEqual(await peer.receive(), [`42${JSON.stringify(["hint", awkward])}`]);

  const heard = once(socket, "ask");
  await peer.send(`427${JSON.stringify(["ask", awkward])}`);
  const [value, answer] = await heard;
  assert.equal(value, awkward);
  answer(Buffer.from([1, 2, 250]));
  const binary = revision === 3 ? "b4AQL6" : "bAQL6";
  assert.deepEqual(await peer.receive(), ['461-7[{"_placeholder":true,"num":0}]', binary]);

  const bytes = once(socket, "bytes");
  await peer.send('451-["bytes",{"_placeholder":true,"num":0}]');
  await peer.send(binary);
  assert.deepEqual((await bytes)[0], Buffer.from([1, 2, 250]));

  const gone = once(socket, "disconnect");
  await peer.send("41");
  assert.equal((await gone)[0], "client namespace disconnect");
}

/** Which clients ask by JSONP, with the option `forceJSONP` and without it, in what looks like a page to them. */
const CLIENTS = [
  ["socket.io-client-2.0", "EIO=3"],
  ["socket.io-client-2.5", "EIO=3"],
  ["socket.io-client-3.1", "EIO=4"],
  ["socket.io-client-4.0", "EIO=4"],
  ["socket.io-client-4.8", null],
];
for (const [name, forced] of CLIENTS) {
  test(`${name} asks by JSONP ${forced === null ? "never" : "only when told to by forceJSONP"} [ROB-193]`, async (t) => {
    const asked = [];
    const server = createServer((request, response) => {
      asked.push(request.url);
      response.writeHead(400).end();
    });
    const { url } = await startHttp(t, server);
    for (const forceJSONP of [false, true]) {
      asked.length = 0;
      const page = fork(PAGE, [name, url, String(forceJSONP)], { stdio: "ignore" });
      t.after(() => page.kill());
      await within(new Promise((resolve) => server.once("request", resolve)), "the client to ask");
      page.kill();
      if (forceJSONP && forced !== null) assert.match(asked[0], new RegExp(`${forced}&transport=polling&j=0`));
      else assert.doesNotMatch(asked[0], /[?&]j=/);
    }
  });
}
