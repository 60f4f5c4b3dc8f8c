/** `roomcast doctor`: nothing to find at good set-ups, and one fault at a time planted in nginx, HAProxy and servers. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { createServer as createTcpServer } from "node:net";
import { test } from "node:test";
import { requireFromTarget } from "../../support/packages.js";
import { isReference, oursOnly } from "../../support/target.js";
import { pass, within } from "../../support/wait.js";
import { roomcast } from "./command.js";
import { PROXIES, startHaproxy, startNginx } from "./proxies.js";

const OURS = oursOnly("it has no such command");
const BEHIND = { ...OURS, ...PROXIES };
const { Server } = isReference ? {} : requireFromTarget("roomcast");
const { FORWARD_UPGRADE } = startNginx;
const pem = (name) => readFileSync(new URL(`../../support/fixtures/${name}`, import.meta.url));
/** Heartbeats that need no long wait. */
const QUICK_PING = { pingInterval: 3_000, pingTimeout: 2_000 };
/** Slower than the time-outs of 3 s that are planted, which all other requests of the doctor keep. */
const SLOW_PING = { pingInterval: 8_000, pingTimeout: 2_000 };

const notFound = (_request, response) => response.writeHead(404).end("not found");

/** Starts a server. @returns its port */
async function serve(t, options = {}, httpServer = createServer(notFound), prepare = () => {}) {
  const io = new Server(httpServer, options);
  prepare(io);
  httpServer.listen(0, "127.0.0.1");
  await once(httpServer, "listening");
  t.after(() => io.close());
  return httpServer.address().port;
}

async function serveTwo(t, options) {
  return [await serve(t, options), await serve(t, options)];
}

/** Runs the doctor. @returns what it printed with `--json`, and its exit code */
async function examine(t, url, args = []) {
  const { code, stdout, stderr } = await roomcast(t, ["doctor", url, "--json", ...args]).ended();
  assert.equal(stderr, "");
  return { code, ...JSON.parse(stdout) };
}

const good = {
  "a server alone": async (t) => [`http://127.0.0.1:${await serve(t)}`, ["--wait", "0"]],
  "a server alone, its namespace, and a page of another origin": async (t) => {
    const port = await serve(t, { cors: { origin: "https://page.example", credentials: true }, ...QUICK_PING });
    return [`http://127.0.0.1:${port}`, ["--origin", "https://page.example"]];
  },
  "a server alone that cuts who joins no namespace": async (t) => [
    `http://127.0.0.1:${await serve(t, { ...QUICK_PING, connectTimeout: 1_000 })}`,
    [],
  ],
  "nginx before two servers": async (t) => [await startNginx(t, await serveTwo(t, QUICK_PING)), []],
  "HAProxy before two servers": async (t) => [await startHaproxy(t, await serveTwo(t, QUICK_PING)), []],
  "HAProxy with a cookie before two servers": async (t) => {
    const backend = "balance roundrobin\n cookie io insert indirect nocache";
    return [await startHaproxy(t, await serveTwo(t, QUICK_PING), { backend, cookies: true }), []];
  },
  "HAProxy with a cookie, a page of the same site, and a cookie that the application needs": async (t) => {
    const page = "http://127.0.0.1:9";
    const allowRequest = ({ headers }, decide) => decide(null, /\bapp=1\b/.test(headers.cookie));
    const ports = await serveTwo(t, { ...QUICK_PING, cors: { origin: page }, allowRequest });
    const backend = "balance roundrobin\n cookie io insert indirect nocache";
    return [await startHaproxy(t, ports, { backend, cookies: true }), ["--origin", page, "--header", "Cookie: app=1"]];
  },
};

for (const [title, start] of Object.entries(good)) {
  test(`the doctor finds nothing at ${title} [ROB-967]`, title.includes("alone") ? OURS : BEHIND, async (t) => {
    const [url, args] = await start(t);
    const { code, findings, facts } = await examine(t, url, args);
    assert.deepEqual(findings, []);
    assert.equal(code, 0);
    assert.equal(facts.transports, "polling, websocket");
  });
}

/** Planted faults: `[id, what is planted, start(t) → [url, args], a line that fixes it]`. */
const faults = [
  ["path", "nginx strips the path", async (t) => [await startNginx(t, [await serve(t)], { to: "/" }), []], /location \/socket\.io\//],
  [
    "query",
    "nginx loses the query",
    async (t) => [await startNginx(t, [await serve(t)], { location: `rewrite ^ /socket.io/? break; ${FORWARD_UPGRADE}` }), []],
    /proxy_pass http:\/\/app;/,
  ],
  [
    "sticky",
    "nginx spreads the requests of a session",
    async (t) => [await startNginx(t, await serveTwo(t), { upstream: "" }), []],
    /hash \$remote_addr/,
  ],
  [
    "upgrade",
    "nginx does not forward the upgrade",
    async (t) => [await startNginx(t, [await serve(t)], { location: "proxy_http_version 1.1;" }), ["--wait", "0"]],
    /proxy_set_header Upgrade \$http_upgrade;/,
  ],
  [
    "idle-websocket",
    "nginx cuts idle connections",
    async (t) => [await startNginx(t, [await serve(t, SLOW_PING)], { location: `${FORWARD_UPGRADE} proxy_read_timeout 3s;` }), []],
    /proxy_read_timeout 15s?;/,
  ],
  [
    "idle-poll",
    "HAProxy cuts waiting polls",
    async (t) => {
      const timeouts = "timeout client 1h\n timeout server 3s\n timeout tunnel 1h";
      return [await startHaproxy(t, [await serve(t, SLOW_PING)], { timeouts }), []];
    },
    /timeout server 15s/,
  ],
  [
    "idle-websocket",
    "HAProxy cuts idle WebSockets",
    async (t) => {
      const timeouts = "timeout client 1h\n timeout server 1h\n timeout tunnel 3s";
      return [await startHaproxy(t, [await serve(t, SLOW_PING)], { timeouts }), []];
    },
    /timeout tunnel 1h/,
  ],
  [
    "body",
    "nginx takes smaller bodies than the server",
    async (t) => [await startNginx(t, [await serve(t)], { location: `${FORWARD_UPGRADE} client_max_body_size 10k;` }), ["--wait", "0"]],
    /client_max_body_size 2m;/,
  ],
  ["bad-gateway", "nothing listens behind nginx", async (t) => [await startNginx(t, [1]), []], /proxy_pass http:\/\/ADDRESS:PORT/],
  [
    "redirect",
    "nginx redirects",
    async (t) => [await startNginx(t, [await serve(t)], { server: "return 301 https://chat.example$request_uri;" }), []],
    /io\("https:\/\/chat\.example"\)/,
  ],
  [
    "cors-twice",
    "nginx adds a CORS header, too",
    async (t) => {
      const port = await serve(t, { cors: { origin: "https://page.example" } });
      const url = await startNginx(t, [port], {
        location: `${FORWARD_UPGRADE} add_header Access-Control-Allow-Origin https://page.example;`,
      });
      return [url, ["--origin", "https://page.example", "--wait", "0"]];
    },
    /remove add_header/,
  ],
  [
    "sticky-cookie",
    "HAProxy's cookie is not sent from pages of another origin",
    async (t) => {
      const ports = await serveTwo(t, { cors: { origin: "https://page.example", credentials: true } });
      const backend = "balance roundrobin\n cookie io insert indirect nocache";
      return [await startHaproxy(t, ports, { backend, cookies: true }), ["--origin", "https://page.example", "--wait", "0"]];
    },
    /SameSite=None; Secure/,
  ],
  [
    "cors",
    "the server allows no other origin",
    async (t) => [`http://127.0.0.1:${await serve(t)}`, ["--origin", "https://page.example", "--wait", "0"]],
    /origin: \["https:\/\/page\.example"\]/,
  ],
  [
    "cors-credentials",
    "the server allows credentials for every origin",
    async (t) => {
      const port = await serve(t, { cors: { origin: "*", credentials: true } });
      return [`http://127.0.0.1:${port}`, ["--origin", "https://page.example", "--wait", "0"]];
    },
    /credentials: true/,
  ],
  [
    "forbidden",
    "allowRequest refuses",
    async (t) => [`http://127.0.0.1:${await serve(t, { allowRequest: (_request, decide) => decide("no", false) })}`, []],
    /allowRequest/,
  ],
  [
    "revision",
    "clients of socket.io 2 are not taken",
    async (t) => [`http://127.0.0.1:${await serve(t)}`, ["--eio", "3"]],
    /allowEIO3: true/,
  ],
  [
    "namespace",
    "the namespace does not exist",
    async (t) => [`http://127.0.0.1:${await serve(t)}/missing$&`, ["--wait", "0"]],
    /io\.of\("\/missing\$&"\)/,
  ],
  [
    "websocket-off",
    "the server has long-polling alone",
    async (t) => [`http://127.0.0.1:${await serve(t, { transports: ["polling"] })}`, ["--wait", "0"]],
    /transports: \["polling", "websocket"\]/,
  ],
  [
    "certificate",
    "the certificate is self-signed",
    async (t) => {
      const httpServer = createSecureServer({ key: pem("key.pem"), cert: pem("cert.pem") });
      return [`https://127.0.0.1:${await serve(t, {}, httpServer)}`, []];
    },
    /whole chain/,
  ],
  [
    "path",
    "the server has another path, and nothing answers under this one",
    async (t) => [`http://127.0.0.1:${await serve(t, { path: "/live/" }, createServer())}`, ["--timeout", "1"]],
    /the same option path/,
  ],
  [
    "path",
    "a program answers without end",
    async (t) => [
      `http://127.0.0.1:${await serve(
        t,
        { path: "/live/" },
        createServer((_request, response) => response.write("…")),
      )}`,
      ["--timeout", "1"],
    ],
    /the same option path/,
  ],
  [
    "unreachable",
    "nothing answers the TLS handshake",
    async (t) => {
      const server = createTcpServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      t.after(() => server.close());
      return [`https://127.0.0.1:${server.address().port}`, ["--timeout", "1"]];
    },
    /reachable/,
  ],
  [
    "interrupted",
    "connections fail after the first ones",
    async (t) => {
      const httpServer = createServer();
      let connections = 0;
      httpServer.on("connection", (socket) => {
        if (++connections > 2) socket.destroy();
      });
      return [`http://127.0.0.1:${await serve(t, {}, httpServer)}`, []];
    },
    /logs of the server/,
  ],
  [
    "plaintext",
    "the address is one of HTTPS, and the server has HTTP",
    async (t) => [`https://127.0.0.1:${await serve(t)}`, []],
    /io\("http:\/\/127\.0\.0\.1:\d+"\)/,
  ],
  [
    "namespace-silent",
    "a middleware never calls next()",
    async (t) => {
      const httpServer = createServer(notFound);
      const port = await serve(t, {}, httpServer, (io) => io.of("/room").use(() => {}));
      return [`http://127.0.0.1:${port}/room`, ["--wait", "0", "--timeout", "2"]];
    },
    /call next\(\) in every branch of io\.of\("\/room"\)\.use/,
  ],
  ["unreachable", "nothing listens", () => ["http://127.0.0.1:1", []], /reachable/],
  [
    "protocol",
    "another program answers",
    async (t) => {
      const httpServer = createServer((_request, response) => response.writeHead(500, ["__proto__", "x", "constructor", "y"]).end("oops"));
      httpServer.listen(0, "127.0.0.1");
      await once(httpServer, "listening");
      t.after(() => httpServer.close());
      return [`http://127.0.0.1:${httpServer.address().port}`, []];
    },
    /option path/,
  ],
];

for (const [id, title, start, line] of faults) {
  const isBehind = /nginx|HAProxy/.test(title);
  test(`the doctor names the fault: ${title} [ROB-967]`, isBehind ? BEHIND : OURS, async (t) => {
    const [url, args] = await start(t);
    const { code, findings } = await examine(t, url, args);
    const ids = findings.map((finding) => finding.id);
    // One time-out of nginx is for polls and WebSockets.
    const expected = title === "nginx cuts idle connections" ? ["idle-poll", "idle-websocket"] : [id];
    assert.deepEqual(ids.sort(), expected, JSON.stringify(findings, null, 2));
    for (const finding of findings) assert.deepEqual(Object.keys(finding), ["id", "found", "cause", "fix"]);
    assert.match(findings.find((finding) => finding.id === id).fix.join("\n"), line);
    assert.equal(code, 1);
  });
}

test("the doctor watches WebSockets of a server without long-polling, and says what it skips [ROB-967]", OURS, async (t) => {
  const options = { transports: ["websocket"], connectTimeout: 500 };
  const { code, findings, facts } = await examine(t, `http://127.0.0.1:${await serve(t, options)}`, ["--wait", "1.5"]);
  assert.deepEqual(findings, []);
  assert.equal(facts.transports, "websocket");
  assert.match(facts.skipped, /sticky sessions/);
  assert.equal(code, 0);
});

test("the doctor reads little of an endless answer to the upgrade, and names its status [ROB-967]", OURS, async (t) => {
  const httpServer = createServer(notFound);
  let sent = 0;
  const port = await serve(t, {}, httpServer);
  httpServer.removeAllListeners("upgrade").on("upgrade", (_request, socket) => {
    const chunk = Buffer.alloc(1 << 20, "x");
    const write = () => {
      while (!socket.destroyed && socket.write(chunk)) sent += chunk.length;
      sent += chunk.length;
    };
    socket.on("error", () => {}).on("drain", write);
    socket.write("HTTP/1.1 200 OK\r\n\r\n");
    write();
  });
  const { code, findings } = await examine(t, `http://127.0.0.1:${port}`, ["--wait", "0", "--timeout", "8"]);
  assert.deepEqual(
    findings.map(({ id }) => id),
    ["upgrade"],
  );
  assert.match(findings[0].found, /^200 to the upgrade request: x{50,}…$/);
  assert.ok(sent <= 64 << 20, `${sent} bytes were taken`);
  assert.equal(code, 1);
});

test("the doctor names the status of an answer to the upgrade that does not end [ROB-967]", OURS, async (t) => {
  const httpServer = createServer(notFound);
  const port = await serve(t, {}, httpServer);
  httpServer.removeAllListeners("upgrade").on("upgrade", (_request, socket) => {
    socket.on("error", () => {});
    socket.write("HTTP/1.1 418 Teapot\r\nContent-Length: 100\r\n\r\nshort");
  });
  const { findings } = await examine(t, `http://127.0.0.1:${port}`, ["--wait", "0", "--timeout", "1"]);
  assert.equal(findings[0]?.found, "418 to the upgrade request: short");
});

test("the doctor finds nothing at a server that practically sends no pings [ROB-967]", OURS, async (t) => {
  const options = { pingInterval: 2 ** 31 - 1, pingTimeout: 20_000 };
  const port = await serve(t, options, undefined, (io) => {
    // What ends the watching: a message to the waiting poll, and a refusal on the WebSocket.
    io.engine.on("connection", (session) => session.transport.name === "polling" && setTimeout(() => session.send("x"), 1_000).unref());
    io.use((socket, next) => next(socket.conn.transport.name === "websocket" ? new Error("no") : undefined));
  });
  const { code, findings } = await examine(t, `http://127.0.0.1:${port}`);
  assert.deepEqual([code, findings], [0, []]);
});

test("the doctor says for people what it found, and why [ROB-967]", OURS, async (t) => {
  const port = await serve(t);
  const { code, stdout } = await roomcast(t, ["doctor", `127.0.0.1:${port}`, "--path", "/wrong"]).ended();
  assert.equal(code, 1);
  assert.match(stdout, /✖ path: 404 to GET \/wrong\//);
  assert.match(stdout, /\n {4}nginx: location \/socket\.io\/ /);
  assert.match(stdout, /\n1 found\n$/);
});

test("the doctor leaves no session behind [ROB-967]", OURS, async (t) => {
  const httpServer = createServer();
  const io = new Server(httpServer, QUICK_PING);
  httpServer.listen(0, "127.0.0.1");
  await once(httpServer, "listening");
  t.after(() => io.close());
  const { findings } = await examine(t, `http://127.0.0.1:${httpServer.address().port}`, ["--wait", "0.5"]);
  assert.deepEqual(findings, []);
  const areGone = async () => {
    while (io.engine.clientsCount > 0) await pass(20);
  };
  await within(areGone(), "all sessions to end", () => io.engine.clientsCount);
  const open = [...io.sockets.sockets.values()];
  assert.deepEqual(
    open.map(({ id }) => id),
    [],
  );
});
