// Clients of Socket.IO 2 (protocol revision 4): namespace names with a query, and socket ids.
/**
 * Splits a namespace name with a query: `/admin?token=a` is the namespace `/admin` with `auth.token` (SIO-72).
 * @returns `auth`: values are strings; of equal names the last value counts
 */
export function parseLegacyName(target: string): { name: string; auth: Record<string, string> } {
  const start = target.indexOf("?");
  if (start === -1) return { name: target, auth: {} };
  // EIO3-4: `fromEntries` defines own properties, also for the name "__proto__".
  return { name: target.slice(0, start), auth: Object.fromEntries(new URLSearchParams(target.slice(start + 1))) };
}

/** The name as servers of Socket.IO 2 read it: percent-encoded, `..` resolved; null if it is not a valid path (SIO-73). */
export function normaliseLegacyName(name: string): string | null {
  try {
    return new URL(name, "http://localhost").pathname;
  } catch {
    return null; // `new URL` throws if it cannot parse the name
  }
}

/**
 * The namespace and the auth of a packet of such a client: it sends a query with the name, and may spell the name in its URL-normalised form
 * (SIO-72, SIO-73).
 */
export function readLegacyTarget(target: string, known: ReadonlyMap<string, unknown>): { name: string; auth: Record<string, string> } {
  const { name, auth } = parseLegacyName(target);
  if (known.has(name)) return { name, auth };
  const normalised = normaliseLegacyName(name);
  return { name: normalised !== null && known.has(normalised) ? normalised : name, auth };
}

/** The id of a socket of such a client. The client computes the same (SIO-71). */
export function legacyId(namespace: string, engineId: string): string {
  return namespace === "/" ? engineId : `${namespace}#${engineId}`;
}
