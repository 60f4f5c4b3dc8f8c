// Warnings about options that are valid but likely to be mistakes (ROB-381, ROB-382).
import type { AttachOptions, EngineOptions } from "./options";

/** Longest time a timer of Node can wait. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

/** The names of all options. A new option must be added here, else a similar known name is suggested. */
const NAMES: Record<keyof EngineOptions | keyof AttachOptions, true> = {
  path: true,
  addTrailingSlash: true,
  destroyUpgrade: true,
  destroyUpgradeTimeout: true,
  pingTimeout: true,
  pingInterval: true,
  upgradeTimeout: true,
  maxHttpBufferSize: true,
  httpRequestBodyTimeout: true,
  maxBufferedChunks: true,
  maxPacketsPerPayload: true,
  allowRequest: true,
  transports: true,
  allowUpgrades: true,
  perMessageDeflate: true,
  httpCompression: true,
  wsEngine: true,
  initialPacket: true,
  cookie: true,
  cors: true,
  allowPrivateNetwork: true,
  origins: true,
  jsonp: true,
  allowEIO3: true,
  limits: true,
  trustedProxies: true,
  keepRequest: true,
  flush: true,
  receive: true,
  sockets: true,
};
const UWS_NAMES = ["compression", "idleTimeout", "maxBackpressure"];
const CORS_NAMES = [
  "origin",
  "methods",
  "allowedHeaders",
  "exposedHeaders",
  "credentials",
  "maxAge",
  "preflightContinue",
  "optionsSuccessStatus",
];
/** Names of all transports. */
export const TRANSPORT_NAMES = ["polling", "websocket", "webtransport"];
const WITH_PATH = /^([a-z][a-z0-9+.-]*:\/\/[^/]+)\/.*$/i;

/**
 * Texts about likely mistakes in the options of an engine, which can't be refused, since programs work with them.
 * @param given  the options of the program, after their validation
 */
export function adviceOn(given: EngineOptions): string[] {
  return [
    ...adviceOnNames("option ", given, [...Object.keys(NAMES), ...UWS_NAMES]),
    ...adviceOnTransports(given.transports),
    ...adviceOnNumbers(given),
    ...adviceOnCors(given.cors),
  ];
}

/** Texts about unknown names that are one edit away from a known one (ROB-382). */
export function adviceOnNames(prefix: string, given: object, known: readonly string[]): string[] {
  const advice: string[] = [];
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || known.includes(name)) continue;
    const meant = known.find((candidate) => isOneEditAway(name, candidate));
    if (meant !== undefined) advice.push(`${prefix}${name}: unknown, has no effect; did you mean ${meant}?`);
  }
  return advice;
}

function adviceOnTransports(transports: readonly string[] | undefined): string[] {
  const unknown = (transports ?? []).filter((name) => !TRANSPORT_NAMES.includes(name));
  return unknown.map(
    (name) => `option transports: expected ${TRANSPORT_NAMES.join(", ")}, met ${JSON.stringify(name)}, which has no effect`,
  );
}

function adviceOnNumbers({ pingInterval, upgradeTimeout, maxHttpBufferSize }: EngineOptions): string[] {
  const advice: string[] = [];
  if (isGiven(pingInterval) && Number(pingInterval) === 0)
    advice.push("option pingInterval: expected 1 or more, met 0, which pings all the time");
  if (Number(pingInterval) === Infinity) {
    advice.push(`option pingInterval: expected at most ${MAX_TIMER_MS}, met Infinity, which pings all the time`);
  }
  if (Number(upgradeTimeout) > MAX_TIMER_MS) {
    advice.push(`option upgradeTimeout: expected at most ${MAX_TIMER_MS}, met ${upgradeTimeout}, which gives upgrades no time`);
  }
  if (isGiven(maxHttpBufferSize) && Number(maxHttpBufferSize) === 0) {
    advice.push(
      "option maxHttpBufferSize: expected 1 or more, met 0, with which every POST is refused, and WebSocket messages have no limit",
    );
  }
  return advice;
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function adviceOnCors(cors: unknown): string[] {
  if (!cors || typeof cors === "function") return [];
  if (typeof cors === "string" || Array.isArray(cors)) return adviceOnOrigins(cors);
  const advice = adviceOnNames("option cors.", cors, CORS_NAMES);
  const { origin } = cors as { origin?: unknown };
  if (advice.length > 0 && origin === undefined)
    advice.push("option cors: without cors.origin the pages of every origin may read responses");
  return [...advice, ...adviceOnOrigins(origin)];
}

function adviceOnOrigins(origin: unknown): string[] {
  const advice: string[] = [];
  for (const entry of Array.isArray(origin) ? (origin as unknown[]) : [origin]) {
    const match = typeof entry === "string" ? WITH_PATH.exec(entry) : null;
    if (match !== null)
      advice.push(`option cors.origin: expected an origin such as "${match[1]}", met "${entry as string}", which no page has`);
  }
  return advice;
}

/** Whether two names differ by one missing, added or changed character, two swapped ones, or upper and lower case. */
function isOneEditAway(met: string, known: string): boolean {
  if (met.toLowerCase() === known.toLowerCase()) return true;
  const [short, long] = met.length <= known.length ? [met, known] : [known, met];
  if (long.length - short.length > 1) return false;
  let at = 0;
  while (at < short.length && short[at] === long[at]) at++;
  if (short.length < long.length) return short.slice(at) === long.slice(at + 1);
  if (short.slice(at + 1) === long.slice(at + 1)) return true;
  return short[at] === long[at + 1] && short[at + 1] === long[at] && short.slice(at + 2) === long.slice(at + 2);
}
