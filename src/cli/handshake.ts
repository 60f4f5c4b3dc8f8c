// What the commands need of the handshake of Engine.IO, checked: it comes from a peer.

/** Above this, timers of Node.js fire at once. */
const MAX_DELAY_MS = 2_147_483_647;

/** The handshake of a server. Times are in milliseconds, and their sum is a delay that a timer can wait. */
export interface Handshake {
  readonly sid: string;
  readonly upgrades: readonly string[];
  readonly pingInterval: number;
  readonly pingTimeout: number;
  readonly maxPayload?: number;
}

/** @returns null for what no server of Engine.IO sends */
export function handshakeOf(json: string): Handshake | null {
  try {
    const { sid, upgrades, pingInterval, pingTimeout, maxPayload } = JSON.parse(json) as Record<string, unknown>;
    if (typeof sid !== "string" || !Array.isArray(upgrades) || !isPositive(pingInterval) || !isPositive(pingTimeout)) return null;
    const interval = Math.min(pingInterval, MAX_DELAY_MS);
    return {
      sid,
      upgrades: upgrades.map(String),
      pingInterval: interval,
      pingTimeout: Math.min(pingTimeout, MAX_DELAY_MS - interval),
      ...(isPositive(maxPayload) ? { maxPayload } : {}),
    };
  } catch {
    return null;
  }
}

/** The handshake at the begin of a polling response, of either revision. */
export function handshakeIn(body: string): Handshake | null {
  const [, json] = /^(?:\d+:)?0(\{[^\u001e]*\})/.exec(body) ?? [];
  return json === undefined ? null : handshakeOf(json);
}

function isPositive(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value > 0;
}
