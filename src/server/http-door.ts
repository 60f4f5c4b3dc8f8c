import { createServer, type IncomingMessage, type Server as HTTPServer, type ServerResponse } from "node:http";
import type { Http2SecureServer, Http2Server } from "node:http2";
import type { Server as HTTPSServer } from "node:https";
import { corsMiddleware } from "../engine/cors";
import { corsOptionsOf } from "../engine/options";
import type { TemplatedApp } from "../engine/hosts/uws/api";
import { routeGet } from "../engine/hosts/uws/server";
import { UsageError } from "../errors";
import { CLIENT_FILE_NAMES, ClientFiles, type CorsMiddleware } from "./client-files";
import type { ServerOptions } from "./options";

/** The servers that Socket.IO can be attached to. */
export type TServerInstance = HTTPServer | HTTPSServer | Http2SecureServer | Http2Server;

/**
 * Gives the HTTP server to attach to.
 * @param target  a server, or a port to listen on, at once, with one of our own
 * @throws UsageError RC_ERR_ARGUMENT on a request handler, such as an Express application
 */
export function httpServerOf(target: TServerInstance | number | string): TServerInstance {
  if (typeof target === "function") {
    throw new UsageError(
      "RC_ERR_ARGUMENT",
      "You are trying to attach socket.io to an express request handler function. Please pass a http.Server instance.",
    );
  }
  const port = typeof target === "string" && target.trim() !== "" ? Number(target) : target;
  if (typeof port !== "number") return target as TServerInstance;
  if (Number.isNaN(port)) throw new UsageError("RC_ERR_ARGUMENT", `expected an HTTP server or a port, met ${JSON.stringify(target)}`);
  return createServer(refuse).listen(port);
}

/** Whether the first argument of a constructor is options rather than something to attach to. */
export function isOptions(target: unknown): target is Partial<ServerOptions> {
  return typeof target === "object" && target !== null && !("listen" in target && target.listen);
}

/** What isn't ours, on a server of our own. */
function refuse(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(404).end();
}

/** Puts the client files in front of the listeners that a server has. */
export function serveClientFiles(server: TServerInstance, paths: readonly string[], corsOption: ServerOptions["cors"]): void {
  const files = clientFiles(paths, corsOption);
  const host = server as HTTPServer;
  const listeners = host.listeners("request").slice();
  host.removeAllListeners("request");
  host.on("request", (request, response) => {
    if (files.handle(request, response)) return;
    for (const listener of listeners) listener.call(host, request, response);
  });
}

/** Serves the client files at an app of uWebSockets.js; other names are left to its other routes. */
export function routeClientFiles(app: TemplatedApp, paths: readonly string[], corsOption: ServerOptions["cors"]): void {
  const files = clientFiles(paths, corsOption);
  for (const path of paths) {
    for (const name of CLIENT_FILE_NAMES) routeGet(app, `${path}/${name}`, (request, response) => files.handle(request, response));
  }
}

function clientFiles(paths: readonly string[], corsOption: ServerOptions["cors"]): ClientFiles {
  return new ClientFiles(paths, corsMiddleware(corsOptionsOf(corsOption)) as CorsMiddleware | null);
}
