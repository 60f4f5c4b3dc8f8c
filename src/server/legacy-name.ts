/**
 * Splits what clients of Socket.IO 2 send as a namespace: `/admin?token=a` is the namespace `/admin` with `auth.token`.
 * @returns values are texts, the last one counts where a name is given twice
 */
export function parseLegacyName(target: string): { name: string; auth: Record<string, string> } {
  const start = target.indexOf("?");
  if (start === -1) return { name: target, auth: {} };
  // fromEntries defines own properties: a pair named "__proto__" is one, too.
  return { name: target.slice(0, start), auth: Object.fromEntries(new URLSearchParams(target.slice(start + 1))) };
}

/** The name as older servers understood it: percent-encoded, `..` resolved. `null` when it makes no path. */
export function normaliseLegacyName(name: string): string | null {
  try {
    return new URL(name, "http://localhost").pathname;
  } catch {
    return null; // URL has no other way to say that it cannot parse
  }
}

/** The id of a socket of such a client, which computes it by itself. */
export function legacyId(namespace: string, engineId: string): string {
  return namespace === "/" ? engineId : `${namespace}#${engineId}`;
}
