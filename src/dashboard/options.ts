// The options of the dashboard, and their validation.
import type { IncomingMessage } from "node:http";
import { expectOption } from "../metrics/expect-option";
import { adviceOnNames } from "../engine/option-advice";

/** What the page can do to sockets. */
export type DashboardAction = "disconnect" | "join" | "leave" | "send";

export const ACTIONS: readonly DashboardAction[] = ["disconnect", "join", "leave", "send"];

/** Name and password of the login. */
export interface DashboardCredentials {
  username: string;
  password: string;
}

/** An action, a login, or the refusal of one. Values of events are never part of it. */
export interface DashboardLogEntry {
  /** Milliseconds since 1970. */
  at: number;
  /** What was asked for. */
  action: DashboardAction | "login" | "logout";
  /** `done`; `refused`: not allowed, or a wrong password; `failed`: it could not be done, `error` tells why. */
  outcome: "done" | "refused" | "failed";
  /** Who logged in; null on loopback and with a function as `auth`. */
  user: string | null;
  /** The address at the other end of the connection: behind a proxy, that of the proxy. */
  address: string;
  /** Namespace of the sockets. */
  namespace?: string;
  /** Id of a socket, or a room: the action is for its members on all servers. */
  target?: string;
  /** The room that was joined or left. */
  room?: string;
  /** The event that was sent. */
  event?: string;
  /** Number of sockets that the target had. */
  sockets?: number;
  /** Why it failed or was refused. */
  error?: string;
}

/** Options of `dashboard`. */
export interface DashboardOptions {
  /** Where the page is mounted. Default `/dashboard`. */
  path?: string;
  /**
   * Who may look: a name and a password, for which the page shows a login; or a function that decides about each request, for example by the session
   * of the program. Without it, only requests of this machine are answered.
   * @example
   * auth: { username: "ops", password: process.env.DASHBOARD_PASSWORD }
   */
  auth?: DashboardCredentials | ((request: IncomingMessage) => boolean | Promise<boolean>);
  /**
   * Whether requests of this machine get in without `auth`: those from a loopback address, for `localhost` or such an address, that no proxy has
   * marked. Default true without `auth`, else false, since a proxy of this machine may mark nothing: then its visitors pass for this machine.
   */
  loopback?: boolean;
  /** What the page may do to sockets. Default `[]`: it only shows. */
  allow?: readonly DashboardAction[];
  /** How old figures may be, in milliseconds, from 100 on; pages ask in this interval. Default 1000. */
  intervalMs?: number;
  /** Gets every action and login; of attempts above the limit the first of a minute. Each is also written to the log `socket.io:dashboard` of `debug`. */
  log?: (entry: DashboardLogEntry) => unknown;
}

/** The options with their defaults. */
export interface ResolvedOptions {
  readonly path: string;
  readonly auth: DashboardCredentials | ((request: IncomingMessage) => boolean | Promise<boolean>) | null;
  readonly loopback: boolean;
  readonly allow: ReadonlySet<DashboardAction>;
  readonly intervalMs: number;
  readonly log: ((entry: DashboardLogEntry) => unknown) | null;
}

const NAMES = ["path", "auth", "loopback", "allow", "intervalMs", "log"];
const INTERVAL_MIN_MS = 100;
const INTERVAL_MAX_MS = 60_000;

/** @throws UsageError RC_ERR_OPTION */
export function resolveOptions(given: DashboardOptions = {}): ResolvedOptions {
  const isObject = typeof given === "object" && given !== null;
  expectOption("dashboard", isObject, "an object with options", given);
  const unknown = Object.keys(given).find((name) => !NAMES.includes(name));
  const [advice = unknown] = adviceOnNames("option ", given, NAMES);
  expectOption("dashboard", advice === undefined, `options ${NAMES.join(", ")}`, advice);
  const { path = "/dashboard", auth = null, loopback = auth === null, allow = [], intervalMs = 1000, log = null } = given;
  const isPath = typeof path === "string" && /^(\/(?!\.{1,2}(\/|$))[\w.~-]+)+$/.test(path);
  expectOption("dashboard, path", isPath, 'a path such as "/dashboard"', path);
  if (typeof auth !== "function" && auth !== null) expectCredentials(auth);
  expectOption("dashboard, loopback", typeof loopback === "boolean", "true or false", loopback);
  const areActions = Array.isArray(allow) && allow.every((action) => ACTIONS.includes(action));
  expectOption("dashboard, allow", areActions, `a list of ${ACTIONS.join(", ")}`, allow);
  const isInterval = typeof intervalMs === "number" && intervalMs >= INTERVAL_MIN_MS && intervalMs <= INTERVAL_MAX_MS;
  expectOption("dashboard, intervalMs", isInterval, `${INTERVAL_MIN_MS} to ${INTERVAL_MAX_MS} milliseconds`, intervalMs);
  expectOption("dashboard, log", log === null || typeof log === "function", "a function", log);
  return { path, auth, loopback, allow: new Set(allow), intervalMs, log };
}

/** The message names the type of a password, never its text. */
function expectCredentials(auth: unknown): void {
  const { username, password } = (typeof auth === "object" ? auth : {}) as Partial<DashboardCredentials>;
  const isName = typeof username === "string" && username !== "";
  expectOption(
    "dashboard, auth",
    isName,
    "a function, or an object with username and password",
    typeof auth === "object" ? username : auth,
  );
  const isPassword = typeof password === "string" && password !== "";
  const met = password === "" ? "an empty text" : typeof password;
  expectOption("dashboard, auth.password", isPassword, "a text that is not empty", met);
}
