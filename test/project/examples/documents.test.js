/**
 * Every code block of the README and of the documents, by its language:
 * `js` is run, as an ES module where it imports or awaits, else as CommonJS; `ts` is type-checked, beside the blocks of
 * its document whose first line names their file; `json` is parsed; nginx checks `nginx`, and
 * HAProxy `haproxy`; of `sh` the syntax is checked, and that scripts and files exist; of `dockerfile`, `yaml` and `ini` the form of each line.
 * Blocks that load a package which is neither installed nor has a stand-in are only parsed. The README's server and page have tests of their own.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { hasHaproxy, hasNginx } from "../../support/proxies.js";
import { oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { emptyProject, root } from "./readme-program.js";

const ours = oursOnly("the documents are about roomcast");
const world = fileURLToPath(new URL("./fixtures/document-world.mjs", import.meta.url));
const typescript = join(root, "node_modules/typescript/bin/tsc");
const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const documents = [
  "README.md",
  "CONTRIBUTING.md",
  "examples/chat/README.md",
  ...["docs", "docs/guides"].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith(".md"))
      .map((name) => `${folder}/${name}`),
  ),
];
const findings = readFileSync(join(root, "src/cli/findings.ts"), "utf8");

/** Packages that some blocks load and that the quick families don't install: as much of each as a block touches. */
const standIns = {
  "uWebSockets.js": `
    exports.App = () => {
      const app = { listen: (port, callback) => callback({}), close() {}, numSubscribers: () => 0 };
      for (const name of ["any", "del", "get", "head", "options", "patch", "post", "put", "ws", "publish"]) app[name] = () => app;
      return app;
    };`,
  "prom-client": `
    class Metric {
      reset() {}
    }
    exports.Counter = exports.Gauge = exports.Histogram = Metric;
    exports.register = { contentType: "text/plain", metrics: async () => "", registerMetric() {}, getSingleMetric() {}, removeSingleMetric() {} };`,
  "@opentelemetry/api": `
    const instrument = { addCallback() {}, record() {} };
    const meter = { createObservableGauge: () => instrument, createObservableCounter: () => instrument, createHistogram: () => instrument };
    exports.metrics = { getMeter: () => meter };
    exports.trace = { getTracer: () => ({ startSpan() {} }), setSpan() {} };
    exports.context = { active() {}, with() {} };
    exports.propagation = { extract() {}, inject() {} };
    exports.SpanKind = exports.SpanStatusCode = {};`,
  express: `
    const router = () => Object.assign(() => {}, { use() {}, get() {}, post() {} });
    module.exports = Object.assign(router, { static: () => () => {}, json: () => () => {}, urlencoded: () => () => {} });`,
  "express-session": `module.exports = () => (req, res, next) => next();`,
  passport: `module.exports = { session: () => (req, res, next) => next(), authenticate: () => () => {}, use() {}, serializeUser() {}, deserializeUser() {} };`,
  fastify: `
    module.exports = () => ({ server: require("node:http").createServer(), addHook() {}, get() {}, listen: async () => "" });`,
  hono: `
    exports.Hono = class {
      fetch() {}
      get() {}
    };`,
  "@hono/node-server": `exports.serve = () => require("node:http").createServer();`,
  next: `module.exports = () => ({ prepare: async () => {}, getRequestHandler: () => () => {} });`,
  jose: `exports.jwtVerify = exports.createRemoteJWKSet = () => {};`,
  pg: `
    exports.Pool = class {
      totalCount = 0;
      on() {}
      query() {}
      async connect() {
        return { on() {}, query: async () => ({ rows: [{ found: true }] }), release() {} };
      }
    };`,
  redis: `
    exports.createClient = () => ({
      isReady: true,
      isOpen: true,
      on() {
        return this;
      },
      async connect() {
        return this;
      },
      async close() {},
      publish: async () => 1,
      subscribe: async () => {},
      pSubscribe: async () => {},
    });`,
  "@fails-components/webtransport": `
    exports.Http3Server = class {
      startServer() {}
      async *sessionStream() {}
    };`,
  "@nats-io/transport-node": `
    exports.connect = async () => ({
      publish() {},
      subscribe: () => ({ unsubscribe() {} }),
      flush: async () => {},
      async *status() {},
      closed: () => new Promise(() => {}),
      isClosed: () => false,
    });`,
};

/** @returns `{ language, code, place }` of each fenced block */
function blocksOf(document) {
  const blocks = [];
  const text = readFileSync(join(root, document), "utf8");
  for (const match of text.matchAll(/^```(\S*)\n([^]*?)^```$/gm)) {
    const line = text.slice(0, match.index).split("\n").length;
    blocks.push({ language: match[1], code: match[2], place: `${document}:${line}` });
  }
  return blocks;
}

/** The `ts` blocks of a document whose first line is the name of their file, which its other blocks import: `[name, code]` of each. */
function namedFilesOf(place) {
  return blocksOf(place.replace(/:\d+$/, "")).flatMap(({ language, code }) => {
    const [, name] = /^\/\/ (\w+\.ts)\n/.exec(code) ?? [];
    return language === "ts" && name ? [[name, code]] : [];
  });
}

/** Links the packages that a block loads into its folder. @returns whether all of them are there */
function lend(folder, code) {
  const specifiers = [...code.matchAll(/(?:\bfrom |^import |\brequire\()"([^".][^"]*)"/gm)].map(([, specifier]) => specifier);
  const names = new Set(specifiers.map((specifier) => /^(@[^/]+\/)?[^/]+/.exec(specifier)[0]));
  return [...names].every((name) => {
    if (name.startsWith("node:") || builtinModules.includes(name)) return true;
    const target = join(folder, "node_modules", name);
    if (existsSync(target)) return true;
    const source = join(root, "node_modules", name);
    if (!existsSync(source)) return false;
    mkdirSync(dirname(target), { recursive: true });
    symlinkSync(source, target, "dir");
    return true;
  });
}

/** Each line has the form of one of the patterns. */
function assertLines(code, ...patterns) {
  for (const line of code.split("\n")) assert.ok(line === "" || patterns.some((pattern) => pattern.test(line)), line);
}

/** How a block of each language is proved. */
const proofs = {
  async js(t, code) {
    const folder = emptyProject(t);
    for (const [name, source] of Object.entries(standIns)) {
      mkdirSync(join(folder, "node_modules", name), { recursive: true });
      writeFileSync(join(folder, "node_modules", name, "index.js"), source);
    }
    writeFileSync(join(folder, "index.html"), "<!doctype html>");
    const isModule = /^(import|export|for await|await) /m.test(code);
    assert.ok(!(isModule && /\brequire\(/.test(code)), "require in an ES module");
    const file = join(folder, isModule ? "block.mjs" : "block.cjs");
    if (!lend(folder, code)) {
      writeFileSync(file, code);
      const { status, stderr } = spawnSync(process.execPath, ["--check", file], { encoding: "utf8" });
      return assert.equal(status, 0, stderr);
    }
    // A block that declares tests ends by itself, when they are done; its status tells of failures.
    writeFileSync(file, code.includes('"node:test"') ? code : `${code}\n;reachedEnd();\n`);
    const child = spawn(process.execPath, ["--import", world, file], {
      cwd: folder,
      env: { ...process.env, DOCUMENTS_ROOT: root, PORT: "0", NODE_OPTIONS: "" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    t.after(() => child.kill("SIGKILL"));
    let printed = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (printed += text));
    const [status] = await within(once(child, "close"), "the block to reach its end", () => printed, 30_000);
    assert.equal(status, 0, printed);
    assert.doesNotMatch(printed, /Warning(?!: The MockTimers API)/);
  },

  ts(t, code, place) {
    const folder = emptyProject(t);
    for (const [name, source] of namedFilesOf(place)) writeFileSync(join(folder, name), source);
    const file = join(folder, "block.ts");
    const needsServer = /\bServer\b/.test(code) && !/^import .*\bServer\b/m.test(code);
    writeFileSync(file, `${needsServer ? 'import { Server } from "roomcast";\n' : ""}${code}\nexport {};\n`);
    const typeRoots = join(root, "node_modules/@types");
    // Of frameworks the types are not checked: their packages need settings of their own.
    const isParsedOnly = /from "(?!\.|node:|roomcast|socket\.io-client)/.test(code) || !lend(folder, code);
    const args = [
      typescript,
      "--noEmit",
      ...(isParsedOnly ? ["--noCheck", "--experimentalDecorators"] : []),
      "--strict",
      "--skipLibCheck",
      "--module",
      "node16",
      "--moduleResolution",
      "node16",
      "--target",
      "es2022",
    ];
    const { status, stdout } = spawnSync(process.execPath, [...args, "--typeRoots", typeRoots, "--types", "node", file], {
      encoding: "utf8",
    });
    assert.equal(status, 0, stdout);
  },

  json(t, code) {
    JSON.parse(code);
  },

  /** Contents of the block `http`. */
  nginx(t, code) {
    const folder = emptyProject(t);
    const file = join(folder, "nginx.conf");
    writeFileSync(file, `pid ${folder}/pid; error_log stderr; events {} http { ${code} }`);
    const { status, stderr } = spawnSync("nginx", ["-t", "-c", file, "-p", folder, "-e", "stderr"], { encoding: "utf8" });
    assert.equal(status, 0, stderr);
  },

  haproxy(t, code) {
    const file = join(emptyProject(t), "haproxy.cfg");
    writeFileSync(file, `${code}\n`);
    const { status, stderr } = spawnSync("haproxy", ["-c", "-f", file], { encoding: "utf8" });
    assert.equal(status, 0, stderr);
  },

  sh(t, code) {
    const { status, stderr } = spawnSync("bash", ["-n"], { input: code, encoding: "utf8" });
    assert.equal(status, 0, stderr);
    const commands = code
      .split("\n")
      .flatMap((line) => line.replace(/\s#.*|^#.*/, "").split("&&"))
      .map((command) => command.trim().replace(/^([A-Z_]+=\S* )+/, ""))
      .filter((command) => command !== "");
    for (const command of commands) {
      const [program, ...args] = command.split(/\s+/);
      if (program === "node") assert.ok(existsSync(join(root, args[0])), command);
      else if (program === "npm" && args[0] === "run") assert.ok(args[1] in scripts, command);
      else if (program === "npm" && ["start", "test"].includes(args[0])) assert.ok(args[0] in scripts, command);
      else if (program === "npx" && args[0] === "roomcast") assert.ok(existsSync(join(root, `src/cli/${args[1]}.ts`)), command);
      else assert.ok(program === "npm" && ["ci", "install", "pack"].includes(args[0]), `${command}: add it to this test`);
    }
    assert.ok(!/npm install (socket\.io@npm:)?roomcast\b/.test(code), "roomcast is not on the registry");
  },

  /** Lines of the log, which test/public-api/api/debug-log.test.js compares for docs/debugging.md, or what the doctor prints. */
  text(t, code) {
    if (!/^✖ /m.test(code)) return assert.match(code, /^(engine|socket\.io)[a-z:-]* /m);
    for (const [, id] of code.matchAll(/^✖ ([a-z-]+): /gm)) assert.match(findings, new RegExp(`^ {2}"?${id}"?: \\{`, "m"));
    for (const [, cause] of code.matchAll(/^✖ .*\n {2}(.*)$/gm)) assert.ok(findings.includes(cause), cause);
  },

  dockerfile(t, code) {
    assertLines(code, /^(#|FROM|WORKDIR|COPY|RUN|ENV|USER|EXPOSE|CMD) /);
    assert.match(code, /^FROM /);
  },

  yaml(t, code) {
    assertLines(code, /^( {2})*(- )?("[^"]+"|[\w./-]+):( \S.*)?$/, /^( {2})*- \S.*$/, /^ *# /);
  },

  ini(t, code) {
    assertLines(code, /^\[[A-Z][a-z]+\]$/, /^[A-Z][A-Za-z]+=\S.*$/, /^# /);
  },

  html(t, code) {
    assert.match(code, /^<!doctype html>/); // test/peers/browser/readme.test.js opens it
  },
};

for (const document of documents) {
  for (const { language, code, place } of blocksOf(document)) {
    const isUnproven = (language === "nginx" && !hasNginx) || (language === "haproxy" && !hasHaproxy);
    const reason = isUnproven ? ` (skipped: ${language} is not installed)` : "";
    test(`${place}: the ${language || "nameless"} block holds [ROB-812]${reason}`, isUnproven ? { skip: true } : ours, async (t) => {
      assert.ok(language in proofs, `expected a block of ${Object.keys(proofs).join(", ")}, met "${language}"`);
      await proofs[language](t, code, place);
    });
  }
}
