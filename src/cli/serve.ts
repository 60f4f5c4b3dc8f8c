// `roomcast serve`: a static folder and a relay server, for trying.
import { constants, createReadStream, realpathSync, statSync, type Stats } from "node:fs";
import { access, realpath, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, relative, sep } from "node:path";
import { pipeline } from "node:stream";
import { standInFront } from "../engine/hosts/node/http";
import { Server } from "../server/server";
import type { Socket } from "../server/socket/socket";
import { isLoopback, isLoopbackHost } from "../support/loopback";
import {
  coloured,
  integerOf,
  interrupted,
  onlyOne,
  print,
  printable,
  printJson,
  readArgs,
  ArgumentError,
  type Command,
  type ExitCode,
} from "./command";

const HELP = `Usage: roomcast serve DIR [options]

Serves the files of a folder, and relays what clients send, for trying and for demonstrations. Every event goes to all other clients that
are in one of the sender's rooms, or, while the sender is in none, to all others in the namespace. Any namespace may be joined.

  socket.emit("join", room)       joins a room, "leave" leaves it
  socket.emit(event, ...args)     is relayed; an acknowledgement gets { relayed: true }

Pages load the client from /socket.io/socket.io.js.

Options:
  -p, --port NUMBER    default: the environment variable PORT, else 3000
      --host ADDRESS   default: 127.0.0.1, this machine alone: then requests must be for localhost, *.localhost or such an address
      --cors ORIGIN    pages of this origin may connect, too, of any with "*"; may be repeated. Pages of other origins are refused
      --json           prints one JSON object per line
      --quiet          prints the address alone
  -h, --help

Examples:
  npx roomcast serve public
  npx roomcast serve . --port 8080 --host 0.0.0.0

Exit codes: 0 ended by a signal, 1 the port cannot be used, 2 wrong arguments.
`;

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".gif": "image/gif",
  ".html": "text/html; charset=utf-8",
  ".ico": "image/x-icon",
  ".jpg": "image/jpeg",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".mjs": "text/javascript; charset=utf-8",
  ".mp3": "audio/mpeg",
  ".mp4": "video/mp4",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
  ".webp": "image/webp",
  ".woff2": "font/woff2",
};

const OTHER_HOST =
  "403: this server is for its own machine alone, and answers requests for localhost, 127.0.0.1 and [::1]. To serve other names: roomcast serve --host ADDRESS\n";

export const serve: Command = { help: HELP, run };

async function run(args: string[]): Promise<ExitCode> {
  const { values, positionals } = readArgs(args, {
    port: { type: "string", short: "p" },
    host: { type: "string", default: "127.0.0.1" },
    cors: { type: "string", multiple: true, default: [] },
    json: { type: "boolean", default: false },
    quiet: { type: "boolean", default: false },
  });
  const directory = folderOf(onlyOne("serve", "folder", positionals));
  const port =
    values.port === undefined
      ? integerOf("the environment variable PORT", process.env["PORT"] || "3000", 0, 65_535)
      : integerOf("--port", values.port, 0, 65_535);
  const log = (event: string, details: Record<string, unknown>): void => {
    if (values.quiet) return;
    if (values.json) printJson({ event, ...details });
    else print(`${coloured(event.padEnd(10), "dim")} ${printable(Object.values(details).map(String).join(" "))}`);
  };

  let isLocal = false;
  /** Against pages of names that resolve to this machine (DNS rebinding). */
  const isForThisHost = ({ headers }: IncomingMessage): boolean => !isLocal || isLoopbackHost(headers.host);
  const httpServer = createServer((request, response) => void answer(directory, request, response));
  const io = new Server(httpServer, {
    ...(values.cors.length === 0 ? {} : { cors: { origin: values.cors.includes("*") ? "*" : values.cors } }),
    allowRequest: (request, decide) => decide(null, isForThisHost(request) && isAllowed(request, values.cors)),
  });
  io.of(/^\/.*$/).on("connection", (socket) => relay(socket, log));
  io.on("connection", (socket) => relay(socket, log));
  standInFront(httpServer, (request, response) => {
    const isRefused = !isForThisHost(request);
    if (isRefused) refuse(response, 403, OTHER_HOST);
    return isRefused;
  });
  try {
    await new Promise<void>((resolve, reject) => httpServer.once("error", reject).listen(port, values.host, resolve));
  } catch (error) {
    process.stderr.write(`roomcast: serve: ${(error as Error).message}\n`);
    return 1;
  }
  const { address, port: taken } = httpServer.address() as AddressInfo;
  isLocal = isLoopback(address);
  const host = address.includes(":") ? `[${address}]` : address;
  const url = `http://${/^(0\.0\.0\.0|\[::\])$/.test(host) ? "localhost" : host}:${taken}`;
  if (values.json) printJson({ event: "listening", url, directory });
  else print(`roomcast serves ${directory} on ${coloured(url, "bold")}`);
  await interrupted();
  await io.close();
  return 0;
}

/** CORS keeps pages of other origins from reading responses, but not from WebSockets. */
function isAllowed({ headers }: IncomingMessage, origins: readonly string[]): boolean {
  const { origin, host } = headers;
  if (origin === undefined || origins.includes("*") || origins.includes(origin)) return true;
  return URL.canParse(origin) && new URL(origin).host === host;
}

function relay(socket: Socket, log: (event: string, details: Record<string, unknown>) => void): void {
  const { id, nsp } = socket;
  log("connect", { namespace: nsp.name, id });
  socket.on("disconnect", (reason) => log("disconnect", { namespace: nsp.name, id, reason }));
  socket.onAny((event: string, ...args: unknown[]) => {
    const last = args.at(-1);
    const acknowledge = typeof last === "function" ? (last as (answer: unknown) => void) : null;
    if (acknowledge !== null) args.pop();
    if (event === "join" && typeof args[0] === "string") void socket.join(args[0]);
    else if (event === "leave" && typeof args[0] === "string") void socket.leave(args[0]);
    else socket.to([...socket.rooms].filter((room) => room !== id)).emit(event, ...args);
    log(event === "join" || event === "leave" ? event : "event", {
      namespace: nsp.name,
      id,
      event: JSON.stringify(event),
      values: args.length,
    });
    acknowledge?.({ relayed: true });
  });
}

function folderOf(directory: string): string {
  let found: Stats;
  try {
    found = statSync(directory);
  } catch {
    throw new ArgumentError(`serve: there is no folder ${JSON.stringify(directory)}`);
  }
  if (!found.isDirectory()) throw new ArgumentError(`serve: expected a folder, met the file ${JSON.stringify(directory)}`);
  return realpathSync(directory);
}

async function answer(directory: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== "GET" && request.method !== "HEAD") return refuse(response, 405);
  const file = await fileOf(directory, request.url!);
  if (typeof file === "number") return refuse(response, file);
  if ("location" in file) return void response.writeHead(301, { Location: file.location, "Cache-Control": "no-cache" }).end();
  response.writeHead(200, {
    "Content-Type": TYPES[extname(file.path).toLowerCase()] ?? "application/octet-stream",
    "Content-Length": file.size,
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
  });
  if (request.method === "HEAD" || file.size === 0) return void response.end();
  // A file that grows meanwhile is cut where its length said; the descriptor is closed when the client leaves, too.
  pipeline(createReadStream(file.path, { end: file.size - 1 }), response, () => {});
}

function refuse(response: ServerResponse, status: number, text = `${status}\n`): void {
  response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8" }).end(text);
}

function isHidden(path: string): boolean {
  return /(^|[/\\])\./.test(path);
}

/**
 * The file that a request target names, or where it is: pages of folders have relative links.
 * @returns 404 for what is not in the folder and for hidden files, also through a link; 403 for a file that may not be read
 */
async function fileOf(directory: string, target: string): Promise<{ path: string; size: number } | { location: string } | 403 | 404> {
  try {
    const name = decodeURIComponent(target.split(/[?#]/)[0]);
    if (isHidden(name) || name.includes("\0")) return 404;
    let path = await realpath(join(directory, name));
    let found = await stat(path);
    const isFolder = found.isDirectory();
    if (isFolder) {
      path = await realpath(join(path, "index.html"));
      found = await stat(path);
    }
    const isInside = path.startsWith(directory.endsWith(sep) ? directory : directory + sep);
    if (!isInside || isHidden(relative(directory, path)) || !found.isFile()) return 404;
    if (isFolder && !name.endsWith("/")) return { location: folderUrl(name, target) };
    if (!(await mayRead(path))) return 403;
    return { path, size: found.size };
  } catch {
    return 404;
  }
}

/** With one slash at the beginning, whatever was asked for: two would name another host. */
function folderUrl(name: string, target: string): string {
  const parts = name.split("/").filter(Boolean).map(encodeURIComponent);
  return `/${parts.join("/")}/${/\?[^#]*/.exec(target)?.[0] ?? ""}`;
}

function mayRead(path: string): Promise<boolean> {
  return access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
}
