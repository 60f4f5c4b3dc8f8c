/** The handler for client files alone, on Node's servers; the whole server is in client-files-server.test.js. */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { connect as connectHttp2, createSecureServer } from "node:http2";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { brotliDecompressSync, gunzipSync, inflateSync } from "node:zlib";
import cors from "cors";
import { ClientFiles } from "../../../dist/server/http/client-files.js";
import { startHttp, tlsFixture } from "../../support/server.js";
import { within } from "../../support/wait.js";

const manifest = createRequire(import.meta.url).resolve("socket.io-client/package.json");
const { version } = JSON.parse(readFileSync(manifest, "utf8"));
const original = (name) => readFileSync(join(dirname(manifest), "dist", name));

const NAMES = ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js"].flatMap((name) => [
  name,
  `${name}.map`,
]);

/** Starts a server whose requests go to the client files, then to an application that answers 418. */
async function start(t, { paths = ["/socket.io"], corsOptions } = {}) {
  const files = new ClientFiles(paths, corsOptions ? cors(corsOptions) : null);
  const { port } = await startHttp(
    t,
    createServer((req, res) => {
      if (!files.handle(req, res)) res.writeHead(418).end();
    }),
  );
  return (target, options = {}) => fetchRaw(port, target, options);
}

/** One request, nothing normalised, nothing decompressed. */
function fetchRaw(port, path, { method = "GET", headers = {} } = {}) {
  return within(
    new Promise((resolve, reject) => {
      const req = request({ port, host: "127.0.0.1", path, method, headers, agent: false }, (res) => {
        const chunks = [];
        res.on("data", (chunk) => chunks.push(chunk));
        res.on("end", () => resolve({ status: res.statusCode, headers: res.headers, body: Buffer.concat(chunks) }));
        res.on("error", reject);
      });
      req.on("error", reject);
      req.end();
    }),
    `${method} ${path}`,
  );
}

describe("client files", () => {
  for (const name of NAMES) {
    it(`serves ${name} as it is in the package [HTTP-1, HTTP-6, HTTP-10, HTTP-11, HTTP-12, HTTP-16, HTTP-70]`, async (t) => {
      const fetch = await start(t);
      const { status, headers, body } = await fetch(`/socket.io/${name}`);
      assert.equal(status, 200);
      assert.ok(body.equals(original(name)));
      if (name.endsWith(".js")) assert.equal(body.toString("latin1", 0, 3), "/*!");
      assert.equal(
        headers["content-type"],
        name.endsWith(".map") ? "application/json; charset=utf-8" : "application/javascript; charset=utf-8",
      );
      assert.equal(headers["cache-control"], "public, max-age=0");
      assert.equal(headers.etag, `"${version}"`);
      assert.equal(headers["content-length"], String(body.length));
      assert.equal(headers["content-encoding"], undefined);
      assert.equal(headers["transfer-encoding"], undefined);
    });

    it(`serves ${name} compressed [HTTP-14, HTTP-16, HTTP-71]`, async (t) => {
      const fetch = await start(t);
      for (const [encoding, decode] of [
        ["br", brotliDecompressSync],
        ["gzip", gunzipSync],
        ["deflate", inflateSync],
      ]) {
        const { headers, body } = await fetch(`/socket.io/${name}`, { headers: { "Accept-Encoding": encoding } });
        assert.equal(headers["content-encoding"], encoding);
        assert.equal(headers["content-length"], String(body.length));
        assert.ok(decode(body).equals(original(name)));
      }
    });
  }

  it("names each map where its script says it is [HTTP-7]", async (t) => {
    const fetch = await start(t);
    for (const name of NAMES.filter((file) => file.endsWith(".js"))) {
      const { body } = await fetch(`/socket.io/${name}`);
      const [, map] = /\/\/# sourceMappingURL=(\S+)\s*$/.exec(body.toString());
      assert.equal((await fetch(`/socket.io/${map}`)).status, 200);
    }
  });

  it("ignores the query [HTTP-3]", async (t) => {
    const fetch = await start(t);
    assert.equal((await fetch("/socket.io/socket.io.js?v=1&x=/y")).status, 200);
    assert.equal((await fetch("/socket.io/socket.io.js?")).status, 200);
  });

  it("leaves every other target alone [HTTP-2, HTTP-3, HTTP-4, HTTP-5, HTTP-75]", async (t) => {
    const fetch = await start(t);
    for (const target of [
      "/socket.io",
      "/socket.io/",
      "/socket.io/?EIO=4&transport=polling",
      "/socket.io/socket.io.esm.js",
      "/socket.io/socket.io.msgpack.js",
      "/socket.io/socket.io.slim.js",
      "/socket.io/sub/socket.io.js",
      "/socket.io//socket.io.js",
      "/socket.io/socket.io.js/",
      "/socket.io/socket.io%2Ejs",
      "/socket.io/SOCKET.IO.JS",
      "/SOCKET.IO/socket.io.js",
      "/socket.ioXsocket.io.js",
      "/socket.io?socket.io.js",
      "/socket.io/socket.io.js%23x",
      "/socket.io/socket.io.js#x",
      "/socket.io/../package.json",
      "/socket.io/socket.io.js/../../package.json",
      "/socket.io/%2e%2e/package.json",
      "/socket.io/..%2fpackage.json",
      "/socket.io/__proto__",
      "/socket.io/constructor",
      "http://127.0.0.1/socket.io/socket.io.js",
    ]) {
      const { status, body } = await fetch(target);
      assert.equal(status, 418, target);
      assert.equal(body.length, 0);
    }
  });

  for (const [accepted, encoding] of [
    [undefined, undefined],
    ["", undefined],
    ["identity", undefined],
    ["zstd", undefined],
    ["*", "br"],
    ["gzip, deflate, br", "gzip"],
    ["br, gzip", "br"],
    ["deflate, gzip;q=1.0, *;q=0.5", "deflate"],
    ["gzip;q=0.5, br", "br"],
    ["gzip;q=1, br;q=0.5", "gzip"],
    ["br;q=0, gzip;q=0.1", "gzip"],
    ["*;q=0", undefined],
  ]) {
    it(`answers "Accept-Encoding: ${accepted ?? "(none)"}" with ${encoding ?? "the plain file"} [HTTP-14, HTTP-15]`, async (t) => {
      const fetch = await start(t);
      const { status, headers } = await fetch("/socket.io/socket.io.min.js", {
        headers: accepted === undefined ? {} : { "Accept-Encoding": accepted },
      });
      assert.equal(status, 200);
      assert.equal(headers["content-encoding"], encoding);
      assert.equal(headers.vary, "Accept-Encoding");
    });
  }

  for (const [given, status] of [
    [`"${version}"`, 304],
    [`W/"${version}"`, 304],
    ["*", 304],
    [`"a", "${version}"`, 304],
    [`"a",W/"${version}"`, 304],
    [`"0.0.1"`, 200],
    [version, 200],
    ["", 200],
  ]) {
    it(`answers "If-None-Match: ${given}" with ${status} [HTTP-13, HTTP-72]`, async (t) => {
      const fetch = await start(t);
      const { status: actual, headers, body } = await fetch("/socket.io/socket.io.js", { headers: { "If-None-Match": given } });
      assert.equal(actual, status);
      assert.equal(headers.etag, `"${version}"`);
      assert.equal(headers["cache-control"], "public, max-age=0");
      assert.equal(headers.vary, "Accept-Encoding");
      assert.equal(body.length > 0, status === 200);
      if (status === 304) assert.equal(headers["content-type"], undefined);
    });
  }

  it("answers HEAD like GET, without the body [HTTP-17]", async (t) => {
    const fetch = await start(t);
    const head = await fetch("/socket.io/socket.io.js", { method: "HEAD" });
    const get = await fetch("/socket.io/socket.io.js");
    assert.equal(head.status, 200);
    assert.equal(head.body.length, 0);
    for (const name of ["content-type", "content-length", "etag", "cache-control", "vary"])
      assert.equal(head.headers[name], get.headers[name]);
  });

  it("refuses other methods [HTTP-17]", async (t) => {
    const fetch = await start(t);
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
      const { status, headers, body } = await fetch("/socket.io/socket.io.js", { method });
      assert.equal(status, 405);
      assert.equal(headers.allow, "GET, HEAD");
      assert.equal(body.length, 0);
    }
  });

  it("ignores ranges [HTTP-18]", async (t) => {
    const fetch = await start(t);
    const { status, body } = await fetch("/socket.io/socket.io.js", { headers: { Range: "bytes=0-9" } });
    assert.equal(status, 200);
    assert.equal(body.length, original("socket.io.js").length);
  });

  it("serves under each of its paths, taken literally [HTTP-31, HTTP-32, HTTP-33, HTTP-36, HTTP-73]", async (t) => {
    const fetch = await start(t, { paths: ["/a.b", "/c/d", ""] });
    for (const target of ["/a.b/socket.io.js", "/c/d/socket.io.js", "/socket.io.js"]) assert.equal((await fetch(target)).status, 200);
    for (const target of ["/aXb/socket.io.js", "/c/socket.io.js", "/c/d"]) assert.equal((await fetch(target)).status, 418);
  });
});

describe("client files with CORS", () => {
  const Origin = "https://app.example";

  it("carry its headers, also unchanged ones [HTTP-13, HTTP-15, HTTP-20]", async (t) => {
    const fetch = await start(t, { corsOptions: { origin: [Origin], credentials: true } });
    for (const headers of [{ Origin }, { Origin, "If-None-Match": `"${version}"` }]) {
      const response = await fetch("/socket.io/socket.io.esm.min.js", { headers });
      assert.equal(response.headers["access-control-allow-origin"], Origin);
      assert.equal(response.headers["access-control-allow-credentials"], "true");
      assert.equal(response.headers.vary, "Origin, Accept-Encoding");
    }
  });

  it("answer preflight requests [HTTP-17, HTTP-20]", async (t) => {
    const preflight = { method: "OPTIONS", headers: { Origin, "Access-Control-Request-Method": "GET" } };
    const fetch = await start(t, { corsOptions: { origin: Origin } });
    const { status, headers } = await fetch("/socket.io/socket.io.js", preflight);
    assert.equal(status, 204);
    assert.equal(headers["access-control-allow-origin"], Origin);
    const continued = await start(t, { corsOptions: { origin: Origin, preflightContinue: true } });
    assert.equal((await continued("/socket.io/socket.io.js", preflight)).status, 204);
  });

  it("come without its headers where the origin is refused, and where there is none [HTTP-20]", async (t) => {
    const origin = (given, callback) => (given === Origin ? callback(null, true) : callback(new Error("not allowed")));
    const fetch = await start(t, { corsOptions: { origin } });
    for (const headers of [{ Origin: "https://evil.example" }, {}]) {
      const response = await fetch("/socket.io/socket.io.js", { headers });
      assert.equal(response.status, 200);
      assert.equal(response.headers["access-control-allow-origin"], undefined);
    }
  });
});

it("survives clients that leave at once, over HTTP/1.1 and HTTP/2 [HTTP-19, HTTP-43]", async (t) => {
  const files = new ClientFiles(["/socket.io"]);
  const httpServer = createSecureServer({ ...tlsFixture, allowHTTP1: true }, (req, res) => void files.handle(req, res));
  const { port } = await startHttp(t, httpServer);
  const session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
  t.after(() => session.destroy());
  for (let i = 0; i < 50; i++) {
    const stream = session.request({ ":path": `/socket.io/${NAMES[i % NAMES.length]}`, "accept-encoding": i % 2 ? "gzip" : "deflate" });
    stream.on("error", () => {}); // what a reset stream says
    stream.resume(); // a stream with unread data doesn't close
    if (i % 3 === 0) stream.close();
    else stream.once("response", () => stream.close());
    await within(new Promise((resolve) => stream.once("close", resolve)), "the stream to close");
  }
  const stream = session.request({ ":path": "/socket.io/socket.io.js" });
  const chunks = [];
  stream.on("data", (chunk) => chunks.push(chunk));
  await within(new Promise((resolve) => stream.once("end", resolve)), "the file");
  assert.ok(Buffer.concat(chunks).equals(original("socket.io.js")));
});
