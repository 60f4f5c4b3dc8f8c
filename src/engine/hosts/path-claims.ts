// The paths of an HTTP server (or app of uWebSockets.js) that engines answer at (ROB-370 to ROB-372).
import { UsageError } from "../../errors";
import { matchesPath } from "../options";

/** Registered globally: a program may have loaded several copies of this package. */
const kClaims = Symbol.for("roomcast.paths");

interface Claim {
  /** A result of `resolvePath`. */
  readonly path: string;
  readonly engine: object;
}

type Claimed = { [kClaims]?: Claim[] };

/**
 * Claims a path of an HTTP server or app for an engine; the claim is stored on the server.
 * @throws UsageError RC_ERR_ARGUMENT when the path is claimed already: each WebSocket would be answered twice (ROB-370)
 */
export function claimPath(server: object, path: string, engine: object): void {
  const claims = ((server as Claimed)[kClaims] ??= []);
  const name = withoutSlash(path);
  if (claims.some((claim) => withoutSlash(claim.path) === name)) {
    throw new UsageError(
      "RC_ERR_ARGUMENT",
      `attach: an engine answers at ${JSON.stringify(path)} of this server already. Attach once (new Server(httpServer) does it by itself), ` +
        "use namespaces (io.of), give one of them another option path, or close the other one first",
    );
  }
  claims.push({ path, engine });
}

/** Releases the paths of an engine that was closed. It goes on answering there until another engine claims them (ROB-372). */
export function releasePaths(server: object, engine: object): void {
  const claims = (server as Claimed)[kClaims];
  if (claims !== undefined) (server as Claimed)[kClaims] = claims.filter((claim) => claim.engine !== engine);
}

/** Whether a request target belongs to another engine: the longest path that matches counts (ROB-371). */
export function isClaimedByOther(server: object, url: string, engine: object): boolean {
  const claims = (server as Claimed)[kClaims]!;
  if (claims.length === 1 && claims[0].engine === engine) return false;
  let longest: Claim | null = null;
  for (const claim of claims) {
    if (matchesPath(claim.path, url) && (longest === null || claim.path.length > longest.path.length)) longest = claim;
  }
  return longest !== null && longest.engine !== engine;
}

function withoutSlash(path: string): string {
  return path.replace(/\/$/, "");
}
