// Mounts the dashboard on the HTTP servers and apps of a Socket.IO server.
import { UsageError } from "../errors";
import type { Server } from "../server/server";
import { DashboardHandler } from "./handler";
import { resolveOptions, type DashboardOptions } from "./options";

const pathsByServer = new WeakMap<object, Set<string>>();

/**
 * Mounts a page on the HTTP servers, or apps of uWebSockets.js, that a server is attached to: sessions, namespaces, rooms, rates, latencies, waiting bytes, slow clients, limits,
 * the adapter and the servers of the cluster. Without options it only shows, and only to requests of this machine. It costs nothing while no page
 * is open. `io.close()` and `io.detach()` take it away.
 * @returns takes the page away
 * @throws UsageError RC_ERR_OPTION; RC_ERR_ARGUMENT without an HTTP server or an app of uWebSockets.js, and if the path is mounted already
 * @example
 * const io = new Server(httpServer);
 * dashboard(io, { auth: { username: "ops", password: process.env.DASHBOARD_PASSWORD }, allow: ["disconnect"] });
 */
export function dashboard(io: Server<any, any, any, any>, options?: DashboardOptions): () => void {
  if (typeof io?.stats !== "function")
    throw new UsageError("RC_ERR_ARGUMENT", `dashboard: expected a Server of roomcast, met ${typeof io}`);
  const resolved = resolveOptions(options);
  const { path } = resolved;
  const taken = io._attached.mountable.map(pathsAt);
  for (const mounted of taken.flatMap((paths) => [...paths]))
    if (isWithin(path, mounted) || isWithin(mounted, path))
      throw new UsageError("RC_ERR_ARGUMENT", `dashboard: expected a path of its own, met ${path}: ${mounted} is mounted already`);
  if (isWithin(io.path(), path) || isWithin(path, io.path()))
    throw new UsageError("RC_ERR_ARGUMENT", `dashboard: expected a path outside ${io.path() || "/"} of the server, met ${path}`);
  const handler = new DashboardHandler(io, resolved);
  const end = io._attached.mount(
    path,
    (request, response) => handler.handle(request, response),
    () => {
      handler.end();
      for (const paths of taken) paths.delete(path);
    },
  );
  if (end === null) {
    const expected = "a server that is attached to an HTTP server of Node.js or an app of uWebSockets.js";
    const met = io.engine === undefined ? "one that is not attached: call io.attach() first" : "one with an engine alone, by io.bind()";
    throw new UsageError("RC_ERR_ARGUMENT", `dashboard: expected ${expected}, met ${met}`);
  }
  for (const paths of taken) paths.add(path);
  return end;
}

/** The paths of dashboards at an HTTP server, of whatever Socket.IO server. */
function pathsAt(server: object): Set<string> {
  const known = pathsByServer.get(server) ?? new Set();
  pathsByServer.set(server, known);
  return known;
}

function isWithin(path: string, outer: string): boolean {
  return path === outer || path.startsWith(`${outer}/`);
}
