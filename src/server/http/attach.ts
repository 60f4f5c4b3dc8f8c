// Attaching to HTTP servers: which server is meant, and the client files in front of its request listeners.
import { createServer, type IncomingMessage, type Server as HTTPServer, type ServerResponse } from "node:http";
import type { Http2SecureServer, Http2Server } from "node:http2";
import type { Server as HTTPSServer } from "node:https";
import { corsMiddleware } from "../../engine/cors";
import { corsOptionsOf, type EngineOptions } from "../../engine/options";
import { standInFront } from "../../engine/hosts/node/http";
import type { TemplatedApp } from "../../engine/hosts/uws/api";
import { routeGet } from "../../engine/hosts/uws/server";
import { UsageError } from "../../errors";
import type { Warnings } from "../../support/warnings";
import { CLIENT_FILE_NAMES, ClientFiles, type CorsMiddleware } from "./client-files";

/** The servers that Socket.IO can be attached to. */
export type TServerInstance = HTTPServer | HTTPSServer | Http2SecureServer | Http2Server;

/**
 * Gives the HTTP server to attach to.
 * @param target  an HTTP server; or a port: a new HTTP server starts to listen on it at once (SRV-21)
 * @throws UsageError RC_ERR_ARGUMENT on a request handler, such as an Express application
 */
export function httpServerOf(target: TServerInstance | number | string): TServerInstance {
  if (typeof target === "function") {
    // SRV-5, ROB-600
    throw new UsageError(
      "RC_ERR_ARGUMENT",
      "You are trying to attach roomcast to an Express request handler function. Please pass a http.Server instance, such as http.createServer(app).",
    );
  }
  const port = typeof target === "string" && target.trim() !== "" ? Number(target) : target;
  if (typeof port !== "number") return target as TServerInstance;
  if (Number.isNaN(port)) throw new UsageError("RC_ERR_ARGUMENT", `expected an HTTP server or a port, met ${JSON.stringify(target)}`);
  return createServer(answerNotFound).listen(port);
}

/** Whether the first argument of the constructor is the options, not a server (SRV-2). */
export function isOptions(target: unknown): boolean {
  return typeof target === "object" && target !== null && !("listen" in target && target.listen);
}

/** Completes the option `path`: falsy means the default; one trailing slash is removed (OPT-1). */
export function pathOf(path: string | undefined): string {
  return (path || "/socket.io").replace(/\/$/, "");
}

/** Answers requests that are not for Socket.IO, on a server that was created for a port. */
function answerNotFound(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(404).end();
}

/** Where client files are served, and how. */
export interface ClientFilesSettings {
  /** Without trailing slash. */
  readonly paths: readonly string[];
  readonly cors: EngineOptions["cors"];
  readonly allowPrivateNetwork: boolean;
  readonly warnings: Warnings;
}

/**
 * Serves the client files before the request listeners that a server has now (SRV-25).
 * @returns ends that
 */
export function serveClientFiles(server: TServerInstance, settings: ClientFilesSettings): () => void {
  const files = clientFiles(settings);
  return standInFront(server as HTTPServer, (request, response) => files.handle(request, response));
}

/** Serves the client files on an app of uWebSockets.js. Other paths are left to its other routes. */
export function routeClientFiles(app: TemplatedApp, settings: ClientFilesSettings): void {
  const files = clientFiles(settings);
  for (const path of settings.paths) {
    for (const name of CLIENT_FILE_NAMES) routeGet(app, `${path}/${name}`, (request, response) => files.handle(request, response));
  }
}

function clientFiles({ paths, cors, allowPrivateNetwork, warnings }: ClientFilesSettings): ClientFiles {
  const onFailure = (error: unknown): void => warnings.warn("ROOMCAST_CALLBACK_FAILED", "a function of the option cors failed", error);
  return new ClientFiles(paths, corsMiddleware(corsOptionsOf(cors), { onFailure, allowPrivateNetwork }) as CorsMiddleware | null);
}
