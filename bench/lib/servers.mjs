// The servers that are compared. `kind`: "api" runs the program of servers/api-server.mjs, "bare" is written by hand; `host`: what listens.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";

const root = new URL("../../", import.meta.url).pathname;
const bench = join(root, "bench");
const api = "servers/api-server.mjs";
const roomcast = join(root, "dist/index.js");
const original = join(bench, "node_modules/socket.io");
const adapters = { roomcast: join(root, "dist/public/adapter.js"), original: join(bench, "node_modules/socket.io-adapter") };

export const SERVERS = {
  roomcast: { title: "roomcast", kind: "api", host: "node", script: api, config: { module: roomcast, adapters: adapters.roomcast } },
  "roomcast-immediate": {
    title: 'roomcast, `flush: "immediate"`',
    kind: "api",
    host: "node",
    script: api,
    config: { module: roomcast, options: { flush: "immediate" } },
    onRequest: true,
  },
  "roomcast-stream": {
    title: 'roomcast, `sockets: "stream"`',
    kind: "api",
    host: "node",
    script: api,
    config: { module: roomcast, options: { sockets: "stream" } },
    onRequest: true,
  },
  "roomcast-uncompressed": {
    title: "roomcast, uncompressed",
    kind: "api",
    host: "node",
    script: api,
    config: { module: roomcast, options: { perMessageDeflate: false } },
    onRequest: true,
  },
  "socket.io": { title: "socket.io", kind: "api", host: "node", script: api, config: { module: original, adapters: adapters.original } },
  ws: { title: "bare ws", kind: "bare", host: "node", script: "servers/ws-server.mjs", config: { preframed: false } },
  preframed: { title: "bare ws, preframed", kind: "bare", host: "node", script: "servers/ws-server.mjs", config: { preframed: true } },
  "roomcast-uws": { title: "roomcast on uWebSockets.js", kind: "api", host: "uws", script: api, config: { module: roomcast, host: "uws" } },
  "socket.io-uws": {
    title: "socket.io on uWebSockets.js",
    kind: "api",
    host: "uws",
    script: api,
    config: { module: original, host: "uws" },
  },
  uws: { title: "bare uWebSockets.js", kind: "bare", host: "uws", script: "servers/uws-server.mjs" },
};

/** socket.io on the same HTTP server. */
export const baseOf = (name) => (SERVERS[name].host === "uws" ? "socket.io-uws" : "socket.io");

/** The same server of the build that `addEarlier` added. */
export const earlierOf = (name) =>
  name === "roomcast" ? "roomcast-earlier" : name === "roomcast-uws" ? "roomcast-earlier-uws" : undefined;

/**
 * Adds the servers of another build of roomcast, for example of an earlier commit.
 * @param directory  a checkout that was built
 * @returns their names
 */
export function addEarlier(directory) {
  const module = resolve(directory, "dist/index.js");
  if (!existsSync(module)) throw new Error(`--against ${directory}: ${module} is missing, build it first`);
  const config = { module, adapters: resolve(directory, "dist/public/adapter.js") };
  SERVERS["roomcast-earlier"] = { title: "roomcast, earlier", kind: "api", host: "node", script: api, config };
  SERVERS["roomcast-earlier-uws"] = {
    title: "roomcast on uWebSockets.js, earlier",
    kind: "api",
    host: "uws",
    script: api,
    config: { ...config, host: "uws" },
  };
  return ["roomcast-earlier", "roomcast-earlier-uws"];
}

/** @param list  names with commas, or "all" */
export function chooseServers(list) {
  if (list === "all") return Object.keys(SERVERS).filter((name) => !SERVERS[name].onRequest);
  const names = list.split(",").map((name) => name.trim().replaceAll(" ", "-"));
  for (const name of names) if (!(name in SERVERS)) throw new Error(`no server "${name}"; there are: ${Object.keys(SERVERS).join(", ")}`);
  return names;
}

/** Installs the compared packages once; uWebSockets.js only with `uws`. Prints why it is missing. */
export function installRivals({ uws }) {
  install(bench, "socket.io");
  if (uws) install(join(bench, "uws"), "uwebsockets");
}

export const hasUws = () => existsSync(join(bench, "uws/node_modules/uwebsockets"));

/** Installs the packages of a directory, unless `proof` is there. */
export function install(directory, proof) {
  if (existsSync(join(directory, "node_modules", proof))) return;
  console.error(`installing ${proof} into ${directory.slice(root.length)}`);
  const { status } = spawnSync("npm", ["ci", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: directory,
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (status !== 0) throw new Error(`npm ci failed in ${directory}`);
}

/** The newest long-term support line of Node.js among those that the tests run on. */
export function currentLongTermNode() {
  const directory = join(root, ".ci/node-versions");
  if (!existsSync(join(directory, "node_modules"))) spawnSync("npm", ["ci", "--loglevel=error"], { cwd: directory, stdio: "inherit" });
  const { dependencies, optionalDependencies } = JSON.parse(spawnSync("npm", ["pkg", "get"], { cwd: directory, encoding: "utf8" }).stdout);
  const binaries = Object.keys({ ...dependencies, ...optionalDependencies })
    .map((name) => join(directory, "node_modules", name, "bin/node"))
    .filter((path) => existsSync(path));
  const versions = binaries.map((binary) => {
    const { stdout } = spawnSync(binary, ["-p", "JSON.stringify([process.release.lts ?? '', process.version])"], { encoding: "utf8" });
    const [line, version] = JSON.parse(stdout);
    return { binary, line, version, major: Number(version.slice(1).split(".")[0]) };
  });
  const longTerm = versions.filter(({ line }) => line !== "").sort((a, b) => b.major - a.major);
  if (longTerm.length === 0) throw new Error("no long-term Node.js is installed in .ci/node-versions");
  return longTerm[0];
}
