import { UsageError } from "../errors";

/*
 * What programs written for the 2.x API may still use. Nothing of it works: each call fails with an error that names
 * the way of today. The stand-ins are not enumerable, and none has a name that somebody looks for in a 4.x server.
 */

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
  origins: CREDENTIALS,
  handlePreflightRequest: "the option cors",
  cookieName: "the option cookie ({ name })",
  cookieHttpOnly: "the option cookie ({ httpOnly })",
  cookiePath: "the option cookie ({ path })",
};

/** Puts the failing stand-ins on the prototypes of the classes, given by name. */
export function installRemovedMembers(classes: Record<string, { prototype: object }>): void {
  for (const [className, { prototype }] of Object.entries(classes)) {
    for (const [method, instead] of Object.entries(REMOVED_METHODS[className] ?? {})) {
      define(prototype, method, { value: () => fail(`${method}()`, instead), writable: true });
    }
    define(prototype, "json", { get: () => jsonFlag });
  }
}

/** Warns of each removed option that is set; it is ignored otherwise. */
export function warnRemovedOptions(options: object): void {
  for (const [name, instead] of Object.entries(REMOVED_OPTIONS)) {
    if (!(name in options)) continue;
    process.emitWarning(`the option ${name} was removed, use ${instead}`, { code: "ROOMCAST_REMOVED_OPTION" });
  }
}

let hasWarnedOfCallback = false;

/** Warns, once, that `join` and `leave` call nobody back. */
export function warnJoinCallback(method: "join" | "leave"): void {
  if (hasWarnedOfCallback) return;
  hasWarnedOfCallback = true;
  process.emitWarning(`socket.${method}() takes no callback, use its return value: await socket.${method}(room)`, {
    code: "ROOMCAST_REMOVED_CALLBACK",
  });
}

/** `socket.json.emit()`: the flag was a getter, so what fails is the method behind it. */
const jsonFlag: object = Object.freeze(
  Object.fromEntries(["emit", "send", "write", "to", "in"].map((method) => [method, () => fail(`json.${method}()`, `${method}()`)])),
);

function define(prototype: object, name: string, descriptor: PropertyDescriptor): void {
  Object.defineProperty(prototype, name, { configurable: true, enumerable: false, ...descriptor });
}

function fail(what: string, instead: string): never {
  throw new UsageError("RC_ERR_REMOVED", `${what} was removed, use ${instead}`);
}
