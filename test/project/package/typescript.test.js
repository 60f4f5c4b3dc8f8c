import assert from "node:assert/strict";
import { test } from "node:test";
import { createProject, manifest, run, runJson, subpaths, toolPath, writeFiles } from "./support/project.js";
import { expectedResults } from "./support/programs.js";

/** A typed program with module augmentation; `assertType` lines fail to compile when a type is lost on the way. */
const program = `
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Server, Socket, Namespace } from "socket.io";
import type { BroadcastOperator, DefaultEventsMap, DisconnectReason, Event, ExtendedError, RemoteSocket, ServerOptions } from "socket.io";
import { io as connect } from "socket.io-client";

declare module "socket.io" {
  interface Socket {
    userId: string;
  }
}

interface ClientToServer {
  question(text: string, callback: (answer: string, rooms: number) => void): void;
}
interface ServerToClient {
  welcome(message: { bytes: Buffer }): void;
}
interface Data {
  name: string;
}

const options: Partial<ServerOptions> = { cors: { origin: "*" } };
const httpServer = createServer();
const io = new Server<ClientToServer, ServerToClient, DefaultEventsMap, Data>(httpServer, options);
const namespace: Namespace<ClientToServer, ServerToClient, DefaultEventsMap, Data> = io.of("/");
namespace.use((socket, next) => {
  const error: ExtendedError = new Error("unauthorized");
  error.data = { retry: false };
  next(socket.handshake.auth.token === "secret" ? undefined : error);
});
io.on("connection", (socket) => {
  socket.userId = socket.id;
  const id: string = socket.userId;
  const name: string = (socket.data.name = "x" + id);
  const own: Socket<ClientToServer, ServerToClient, DefaultEventsMap, Data> = socket;
  void own.join("room" + name.slice(0, 0));
  socket.on("question", (text, callback) => callback(text.toUpperCase(), socket.rooms.size));
  socket.on("disconnect", (reason: DisconnectReason) => reason.length);
  socket.use((event: Event, next) => (event[0] === "" ? next(new Error("empty")) : next()));
  // @ts-expect-error no such event
  socket.emit("welcom", { bytes: Buffer.alloc(0) });
  const target: BroadcastOperator<any, any> = io.to("room");
  void target;
  io.to("room").emit("welcome", { bytes: Buffer.from([1, 2, 3]) });
});

async function main(): Promise<void> {
  await new Promise<void>((resolve) => httpServer.listen(0, "127.0.0.1", resolve));
  const { port } = httpServer.address() as AddressInfo;
  const results: object[] = [];
  for (const transports of [["polling"], ["websocket"]]) {
    const client = connect("http://127.0.0.1:" + port, { transports, auth: { token: "secret" } });
    const welcome = new Promise<{ bytes: Buffer }>((resolve) => client.once("welcome", resolve));
    const answer = new Promise((resolve) => client.emit("question", "hello", (...values: unknown[]) => resolve(values)));
    results.push({ bytes: [...(await welcome).bytes], answer: await answer, transport: client.io.engine.transport.name });
    const remote: RemoteSocket<ServerToClient, Data>[] = await io.fetchSockets();
    remote.map((one) => one.data.name.length);
    client.disconnect();
  }
  await io.close();
  console.log(JSON.stringify({ name: LOADED.name, version: LOADED.version, results }));
}
void main();
`;
const commonJs = program.replaceAll("LOADED", '(require("socket.io/package.json") as { name: string; version: string })');
const esModule = `import { createRequire } from "node:module";\n${program.replaceAll("LOADED", 'createRequire(import.meta.url)("socket.io/package.json")')}`;

/** Every subpath resolves and is a module; the deep path of old programs too. */
const everySubpath = [
  ...subpaths.map((subpath, index) => `import * as door${index} from "socket.io${subpath.slice(1)}";`),
  `import type { DefaultEventsMap } from "socket.io/dist/typed-events";`,
  `export type Doors = [${subpaths.map((_, index) => `typeof door${index}`).join(", ")}, DefaultEventsMap];`,
].join("\n");

const common = { strict: true, target: "es2022", lib: ["es2022"], types: ["node"], esModuleInterop: true, noEmit: true };
const resolutions = {
  node10: { compilerOptions: { ...common, module: "commonjs", moduleResolution: "node" }, files: ["commonjs.ts", "doors.ts"] },
  node16: {
    compilerOptions: { ...common, module: "node16", moduleResolution: "node16" },
    files: ["commonjs.cts", "esm.mts", "doors.cts", "doors.mts"],
  },
  bundler: { compilerOptions: { ...common, module: "esnext", moduleResolution: "bundler" }, files: ["esm.ts", "doors.ts"] },
};

/**
 * Which compilers meet which versions of @types/node, in which resolutions: each compiler in all it has, each version of the types with an old
 * and a new compiler. TypeScript 4.9 does not have the resolution of bundlers yet, TypeScript 7 no longer has the old one; @types/node 24
 * excludes the old compilers itself.
 */
const compilersByTypes = {
  16: { 4.9: ["node10", "node16"], 5.9: ["node16"], 7: ["bundler"] },
  18: { "5.0": ["node10", "node16", "bundler"] },
  20: { 4.9: ["node16"], 5.9: ["node10", "node16", "bundler"], 7: ["node16"] },
  24: { 5.9: ["node10", "node16"], 7: ["node16", "bundler"] },
};

const files = {
  "commonjs.ts": commonJs,
  "commonjs.cts": commonJs,
  "esm.ts": esModule,
  "esm.mts": esModule,
  "doors.ts": everySubpath,
  "doors.cts": everySubpath,
  "doors.mts": everySubpath,
  ...Object.fromEntries(Object.entries(resolutions).map(([mode, config]) => [`tsconfig.${mode}.json`, JSON.stringify(config)])),
};

for (const [typesOfNode, compilers] of Object.entries(compilersByTypes)) {
  test(`compiles typed programs with @types/node ${typesOfNode}, libraries checked [MOD-4, MOD-5, TYP-17, ROB-573, ROB-572]`, async (t) => {
    const directory = await createProject(t, { files, dependencies: { "@types/node": typesOfNode } });
    for (const [version, modes] of Object.entries(compilers)) {
      const tsc = toolPath(`typescript-${version}`, "bin/tsc");
      for (const mode of modes) {
        await t.test(`TypeScript ${version}, ${mode} resolution`, async () => {
          const { stdout } = await run(process.execPath, [tsc, "-p", `tsconfig.${mode}.json`], { cwd: directory, allowFailure: true });
          assert.deepEqual(oursAmong(stdout), []);
        });
      }
    }
  });
}

/** Errors in declaration files of other packages are not ours to judge; every other one counts. */
function oursAmong(output) {
  return output.split("\n").filter((line) => line.trim() !== "" && !/^(\s|node_modules\/(?!socket\.io\/))/.test(line));
}

test("runs what TypeScript 5.9 emits, as CommonJS and as ES modules [TYP-17]", async (t) => {
  const directory = await createProject(t, { files, dependencies: { "@types/node": "20" } });
  const config = { ...resolutions.node16, files: ["commonjs.cts", "esm.mts"] };
  config.compilerOptions = { ...config.compilerOptions, noEmit: false, outDir: "out", skipLibCheck: true };
  await writeFiles(directory, { "tsconfig.json": JSON.stringify(config) });
  await run(process.execPath, [toolPath("typescript-5.9", "bin/tsc")], { cwd: directory });
  for (const file of ["out/commonjs.cjs", "out/esm.mjs"]) {
    assert.deepEqual(await runJson(directory, [file]), { name: "roomcast", version: manifest.version, results: expectedResults }, file);
  }
});
