/** Client files of a whole server, beside the engine and an application on one HTTP server. */
import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import { connect as connectTcp } from "node:net";
import { connect as connectHttp2 } from "node:http2";
import { describe, it } from "node:test";
import { startHttp, startServer } from "../../support/server.js";
import { ours, Server } from "../../support/target.js";
import { within } from "../../support/wait.js";

const UNKNOWN_TRANSPORT = '{"code":0,"message":"Transport unknown"}';

function get(port, path, { method = "GET", headers = {} } = {}) {
  return within(
    new Promise((resolve, reject) => {
      const req = request({ port, host: "127.0.0.1", path, method, headers, agent: false }, (res) => {
        let body = "";
        res.setEncoding("utf8");
        res.on("data", (chunk) => (body += chunk));
        res.on("end", () => resolve({ status: res.statusCode, headers: res.headers, body }));
        res.on("error", reject);
      });
      req.on("error", reject);
      req.end();
    }),
    `${method} ${path}`,
  );
}

const isFile = ({ status, body }) => status === 200 && body.startsWith("/*!");
const isHandshake = ({ status, body }) => status === 200 && body.startsWith("0{");

/** Sends a request head as it is and gives the first line of the answer. */
function statusLine(port, target) {
  return within(
    new Promise((resolve, reject) => {
      const socket = connectTcp(port, "127.0.0.1", () => socket.write(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`));
      socket.once("data", (data) => {
        socket.destroy();
        resolve(data.toString().split("\r\n")[0]);
      });
      socket.on("error", reject);
    }),
    target,
  );
}

describe("a server's client files", () => {
  it("are served under the default path; other names go to the engine [HTTP-1, HTTP-2, HTTP-31]", async (t) => {
    const { port } = await startServer(t);
    assert.ok(isFile(await get(port, "/socket.io/socket.io.js")));
    for (const target of ["/socket.io/socket.io.slim.js", "/socket.io/sub/socket.io.js", "/socket.io//socket.io.js"]) {
      const { status, body } = await get(port, target);
      assert.equal(status, 400);
      assert.equal(body, UNKNOWN_TRANSPORT);
    }
    assert.ok(isHandshake(await get(port, "/socket.io/?EIO=4&transport=polling")));
  });

  it("can be switched off, before attaching [HTTP-8, HTTP-73, SRV-11]", async (t) => {
    const { port } = await startServer(t, { serveClient: false });
    const { status, body } = await get(port, "/socket.io/socket.io.js");
    assert.deepEqual([status, body], [400, UNKNOWN_TRANSPORT]);

    const io = new Server();
    assert.equal(io.serveClient(), true);
    assert.equal(io.serveClient(false), io);
    assert.equal(io.serveClient(), false);
    const late = await startServer(t);
    late.io.serveClient(false);
    assert.ok(isFile(await get(late.port, "/socket.io/socket.io.js")));
  });

  for (const [path, prefix, stored] of [
    ["/foo/bar", "/foo/bar", "/foo/bar"],
    ["/foo/bar/", "/foo/bar", "/foo/bar"],
    ["/a.b", "/a.b", "/a.b"],
    ["/", "", ""],
    ["", "/socket.io", "/socket.io"],
  ]) {
    it(`are under the path ${JSON.stringify(path)}, literally, with the engine [HTTP-30, HTTP-31, HTTP-32, HTTP-33, HTTP-73]`, async (t) => {
      const { io, port } = await startServer(t, { path });
      assert.equal(io.path(), stored);
      assert.ok(isFile(await get(port, `${prefix}/socket.io.js`)));
      assert.ok(isHandshake(await get(port, `${prefix}/?EIO=4&transport=polling`)));
    });
  }

  it("stay in place without the engine's trailing slash [HTTP-31]", async (t) => {
    const { port } = await startServer(t, { addTrailingSlash: false });
    assert.ok(isFile(await get(port, "/socket.io/socket.io.js")));
    assert.ok(isHandshake(await get(port, "/socket.io?EIO=4&transport=polling")));
  });

  it("are at the path set before attaching, unless there is an option [HTTP-30, HTTP-35, SRV-10]", async (t) => {
    const attach = (httpServer, options) => {
      const io = new Server(options);
      assert.equal(io.path("/set/"), io);
      return io.attach(httpServer);
    };
    const plain = await startServer(t, {}, { attach });
    assert.ok(isFile(await get(plain.port, "/set/socket.io.js")));
    assert.ok(isHandshake(await get(plain.port, "/set/?EIO=4&transport=polling")));
  });

  it("are under the path given to attach, too [HTTP-35, HTTP-36, SRV-23]", async (t) => {
    const { port } = await startServer(t, {}, { attach: (httpServer) => new Server().attach(httpServer, { path: "/x" }) });
    assert.ok(isHandshake(await get(port, "/x/?EIO=4&transport=polling")));
    const atAttachPath = await get(port, "/x/socket.io.js");
    ours("the original serves the files under io.path() only", () => assert.ok(isFile(atAttachPath)));
  });

  it("share the server's CORS option, and nothing else of the engine [HTTP-20, HTTP-21, HTTP-76]", async (t) => {
    const Origin = "https://app.example";
    let engineRan = 0;
    const { io, port } = await startServer(t, {
      cors: { origin: Origin },
      cookie: true,
      allowRequest: (req, callback) => callback("no", engineRan++),
    });
    io.engine.use((req, res, next) => next(engineRan++));
    io.engine.on("headers", () => engineRan++);
    for (const file of ["socket.io.js", "socket.io.esm.min.js"]) {
      const { headers } = await get(port, `/socket.io/${file}`, { headers: { Origin } });
      assert.equal(headers["access-control-allow-origin"], Origin);
      assert.equal(headers["set-cookie"], undefined);
    }
    const preflight = await get(port, "/socket.io/socket.io.js", {
      method: "OPTIONS",
      headers: { Origin, "Access-Control-Request-Method": "GET" },
    });
    assert.equal(preflight.status, 204);
    assert.equal(engineRan, 0);
    const bare = await startServer(t);
    assert.equal(
      (await get(bare.port, "/socket.io/socket.io.js", { headers: { Origin } })).headers["access-control-allow-origin"],
      undefined,
    );
  });

  it("are not left by a path with .. [HTTP-3, HTTP-75]", async (t) => {
    const { port } = await startServer(t);
    for (const target of [
      "/socket.io/../package.json",
      "/socket.io/socket.io.js/../../package.json",
      "/socket.io/%2e%2e/package.json",
      "/socket.io/..%2fpackage.json",
      "/socket.io/..\\package.json",
    ]) {
      assert.match(await statusLine(port, target), /^HTTP\/1.1 400 /, target);
    }
  });
});

describe("an application beside it", () => {
  it("gets what is neither a file nor the engine's, in order, as the server's listener [HTTP-40, HTTP-41, HTTP-42, HTTP-74, SRV-25]", async (t) => {
    const order = [];
    const httpServer = createServer(function (req) {
      order.push(["first", req.url, this === httpServer]);
    });
    httpServer.on("request", function (req, res) {
      order.push(["second", req.url, this === httpServer]);
      res.setHeader("x-app", "yes").writeHead(404).end("application");
    });
    const { port } = await startServer(t, {}, { http: httpServer });
    const late = [];
    httpServer.on("request", (req) => late.push(req.url));

    for (const path of ["/nope", "/socket.io", "/socket.iox"]) {
      const { status, headers, body } = await get(port, path);
      assert.deepEqual([status, headers["x-app"], body], [404, "yes", "application"]);
      assert.deepEqual(order.splice(0), [
        ["first", path, true],
        ["second", path, true],
      ]);
    }
    for (const path of ["/socket.io/socket.io.js", "/socket.io/?EIO=4&transport=polling", "/socket.io/own-route"]) {
      assert.equal((await get(port, path)).headers["x-app"], undefined);
      assert.deepEqual(order, []);
    }
    assert.deepEqual(late, [
      "/nope",
      "/socket.io",
      "/socket.iox",
      "/socket.io/socket.io.js",
      "/socket.io/?EIO=4&transport=polling",
      "/socket.io/own-route",
    ]);
  });

  it("may be another Socket.IO server with another path [HTTP-48]", async (t) => {
    const httpServer = createServer();
    const first = new Server(httpServer, { path: "/one" });
    const second = new Server(httpServer, { path: "/two" });
    const { port } = await startHttp(t, httpServer, () => Promise.all([first.close(), second.close()]));
    for (const path of ["/one", "/two"]) {
      assert.ok(isFile(await get(port, `${path}/socket.io.js`)));
      assert.ok(isHandshake(await get(port, `${path}/?EIO=4&transport=polling`)));
    }
  });

  it("is a function by mistake: said so [HTTP-44, SRV-5]", () => {
    const message = /^You are trying to attach \S+ to an express request handler function/i;
    const app = () => {};
    assert.throws(() => new Server(app), { message });
    assert.throws(() => new Server().attach(app), { message });
    assert.throws(() => new Server().listen(app), { message });
  });
});

describe("a server of its own", () => {
  it("listens on the port, and answers everything else with an empty 404 [HTTP-45, HTTP-46, SRV-4, SRV-21]", async (t) => {
    const io = new Server(0);
    t.after(() => io.close());
    if (!io.httpServer.listening) await within(new Promise((resolve) => io.httpServer.once("listening", resolve)), "listening");
    const { port } = io.httpServer.address();
    assert.ok(isFile(await get(port, "/socket.io/socket.io.js")));
    const { status, body } = await get(port, "/anything");
    assert.deepEqual([status, body], [404, ""]);
    assert.equal(new Server().httpServer, undefined);
  });

  it("is told from options by its listen method [HTTP-47, SRV-2]", async (t) => {
    assert.equal(new Server({ path: "/options" }).path(), "/options");
    const httpServer = createServer();
    const io = new Server(httpServer);
    t.after(() => io.close());
    assert.equal(io.httpServer, httpServer);
  });

  it("may speak HTTP/2 or HTTPS [HTTP-43]", async (t) => {
    const { port } = await startServer(t, {}, { http2: true });
    const session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
    t.after(() => session.destroy());
    const stream = session.request({ ":path": "/socket.io/socket.io.js", "accept-encoding": "br" });
    const [headers] = await within(new Promise((resolve) => stream.once("response", (...args) => resolve(args))), "the response");
    stream.resume();
    assert.equal(headers[":status"], 200);
    assert.equal(headers["content-encoding"], "br");
  });
});

it("closes the HTTP server it was given, and says when that was not running [HTTP-49, SRV-61, SRV-62]", async (t) => {
  const { io, httpServer } = await startServer(t);
  await within(io.close(), "closing");
  assert.equal(httpServer.listening, false);
  const idle = new Server(createServer());
  const error = await within(new Promise((resolve) => idle.close(resolve)), "closing");
  assert.equal(error.code, "ERR_SERVER_NOT_RUNNING");
});
