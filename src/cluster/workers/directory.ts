// The directory of the sockets between the workers of one machine.
import cluster from "node:cluster";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { isMainThread } from "node:worker_threads";
import { UsageError } from "../../errors";

/** The name of a worker's socket. */
export const WORKER_ID = /^[0-9a-f]{16}$/;
/** Tells workers the directory: forks and threads inherit it. */
const VARIABLE = "RC_CLUSTER_DIRECTORY";
/** The path of a socket has at most 103 bytes on macOS, 107 on Linux; its name in the directory takes 18. */
const PATH_BYTES_MAX = 103 - 18;

/**
 * Makes the directory for the workers of this process, once. It is removed when this process exits.
 * @returns false if there was one already
 */
export function makeDirectory(): boolean {
  const prefix = join(tmpdir(), `roomcast-${process.pid}-`);
  if (process.env[VARIABLE]?.startsWith(prefix) === true) return false; // any other one was inherited, from the cluster that started this program
  const directory = mkdtempSync(prefix);
  expectShort(directory);
  process.env[VARIABLE] = directory;
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
  return true;
}

/**
 * Gives the directory that a worker uses; null outside of a cluster.
 * @param given  the option `directory`: made, with access for this user alone, if it is missing
 * @throws UsageError RC_ERR_OPTION
 */
export function directoryFor(given: unknown): string | null {
  if (given === undefined) {
    const inherited = process.env[VARIABLE];
    if (inherited === undefined && !cluster.isWorker && isMainThread) return null;
    if (inherited !== undefined) return expectPrivate(inherited);
    throw new UsageError(
      "RC_ERR_OPTION",
      "createAdapter: the workers have no directory for their sockets. Call setupPrimary() of roomcast/cluster in the primary before it forks, " +
        'or set the option directory. Beside a primary of @socket.io/cluster-adapter: createAdapter({ protocol: "ipc" })',
    );
  }
  if (typeof given !== "string" || given === "") throw invalid("a path", given);
  const directory = resolve(given);
  expectShort(directory);
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== "EEXIST") throw new UsageError("RC_ERR_OPTION", `option directory: it cannot be made: ${message}`, error);
  }
  return expectPrivate(directory);
}

/** The ids of the workers whose sockets are in the directory of this cluster. */
export function idsInDirectory(): string[] {
  const directory = process.env[VARIABLE];
  return directory === undefined ? [] : readdirSync(directory).filter((name) => WORKER_ID.test(name));
}

/** Whether the directory is the one of the primary of this worker, which hands connections over. */
export function isOfPrimary(directory: string | null): boolean {
  return cluster.isWorker && isMainThread && directory !== null && directory === process.env[VARIABLE];
}

/** The worker exits. Its primary would remove the directory, unless it was killed; the last worker does so then. */
export function leaveDirectory(directory: string): void {
  if (directory !== process.env[VARIABLE] || !cluster.isWorker || process.connected) return;
  try {
    rmdirSync(directory);
  } catch {
    // other workers are still there
  }
}

/** Any process that may write to the directory could pass for a worker. */
function expectPrivate(directory: string): string {
  let stats;
  try {
    stats = lstatSync(directory);
  } catch (error) {
    throw new UsageError("RC_ERR_OPTION", `option directory: ${(error as Error).message}; has the primary ended?`, error);
  }
  if (!stats.isDirectory()) throw invalid("a directory", directory);
  if (process.getuid === undefined)
    throw new UsageError("RC_ERR_OPTION", 'this system has no unix sockets: createAdapter({ protocol: "ipc" })');
  if (stats.uid !== process.getuid() || (stats.mode & 0o077) !== 0)
    throw invalid("a directory that belongs to this user, with access for nobody else (mode 0700)", directory);
  return directory;
}

function expectShort(directory: string): void {
  if (Buffer.byteLength(directory) > PATH_BYTES_MAX)
    throw invalid(`a path of at most ${PATH_BYTES_MAX} bytes, as paths of unix sockets are short; by default it is in TMPDIR`, directory);
}

function invalid(expected: string, met: unknown): UsageError {
  return new UsageError(
    "RC_ERR_OPTION",
    `option directory: expected ${expected}, met ${typeof met === "string" ? JSON.stringify(met) : typeof met}`,
  );
}
