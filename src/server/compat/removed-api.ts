// The API of Socket.IO 2 that no longer exists: errors and warnings that name the replacement (LEG-1 to LEG-12).
import { isAnyOrigin } from "../../engine/origins";
import { UsageError } from "../../errors";

// The methods are not enumerable, and none has a name by which programs detect a 4.x server.

const CREDENTIALS = "the option cors ({ origin }), or the option allowRequest for a check of your own";
const SOCKETS = "fetchSockets()";
const BINARY = "an emit: binary values are found by themselves; or a custom parser";

/** By class: removed method, what to use instead. */
const REMOVED_METHODS: Record<string, Record<string, string>> = {
  Server: { origins: CREDENTIALS, set: "the options of the constructor, or io.use()", clients: SOCKETS, binary: BINARY },
  Namespace: { clients: SOCKETS, binary: BINARY },
  BroadcastOperator: { clients: SOCKETS, binary: BINARY },
  Socket: { binary: BINARY },
};

const REMOVED_OPTIONS: Record<string, string> = {
  handlePreflightRequest: "the option cors",
  cookieName: "the option cookie ({ name })",
  cookieHttpOnly: "the option cookie ({ httpOnly })",
  cookiePath: "the option cookie ({ path })",
};

/** Defines the removed methods, which throw, on the prototypes of the classes. */
export function installRemovedMembers(classes: Record<string, { prototype: object }>): void {
  for (const [className, { prototype }] of Object.entries(classes)) {
    for (const [method, instead] of Object.entries(REMOVED_METHODS[className] ?? {})) {
      define(prototype, method, { value: () => fail(`${method}()`, instead), writable: true });
    }
    define(prototype, "json", { get: () => jsonFlag });
  }
}

/** Warns of each removed option that is set; apart from that it is ignored. Also warns of `origins: "*"`, the default of Socket.IO 2 (ROB-190). */
export function warnRemovedOptions(options: object): void {
  if (isAnyOrigin((options as { origins?: unknown }).origins)) {
    process.emitWarning(`the option origins lets every page in by itself: leave it out. What pages may read is told by ${CREDENTIALS}`, {
      code: "ROOMCAST_REMOVED_OPTION",
    });
  }
  for (const [name, instead] of Object.entries(REMOVED_OPTIONS)) {
    if (!(name in options)) continue;
    process.emitWarning(`the option ${name} was removed, use ${instead}`, { code: "ROOMCAST_REMOVED_OPTION" });
  }
}

let hasWarnedOfCallback = false;

/** Warns once per process that `join` and `leave` take no callback (LEG-4). */
export function warnJoinCallback(method: "join" | "leave"): void {
  if (hasWarnedOfCallback) return;
  hasWarnedOfCallback = true;
  process.emitWarning(`socket.${method}() takes no callback, use its return value: await socket.${method}(room)`, {
    code: "ROOMCAST_REMOVED_CALLBACK",
  });
}

/** The value of `socket.json`: reading it must not throw, so its methods throw (LEG-9). */
const jsonFlag: object = Object.freeze(
  Object.fromEntries(["emit", "send", "write", "to", "in"].map((method) => [method, () => fail(`json.${method}()`, `${method}()`)])),
);

function define(prototype: object, name: string, descriptor: PropertyDescriptor): void {
  Object.defineProperty(prototype, name, { configurable: true, enumerable: false, ...descriptor });
}

function fail(what: string, instead: string): never {
  throw new UsageError("RC_ERR_REMOVED", `${what} was removed, use ${instead}`);
}
