// Texts by which a tracer continues a trace, such as `traceparent`, as they come from a peer, a program or a tracer.

const ENTRIES_MAX = 8;
const CHARACTERS_MAX = 512;

/**
 * What may be passed on of a table: its texts of at most 512 characters, the first 8 of them, `traceparent` before all others (ROB-938). One entry
 * that is too long, such as `baggage`, costs only itself.
 * @returns undefined if nothing is left, or it is no table
 */
export function traceTextsOf(table: unknown): Record<string, string> | undefined {
  if (typeof table !== "object" || table === null || Array.isArray(table)) return undefined;
  const texts: [string, string][] = [];
  for (const name of new Set(["traceparent", ...Object.keys(table)])) {
    if (texts.length === ENTRIES_MAX) break;
    const text: unknown = Object.hasOwn(table, name) ? (table as Record<string, unknown>)[name] : undefined;
    if (typeof text === "string" && text.length <= CHARACTERS_MAX) texts.push([name, text]);
  }
  return texts.length === 0 ? undefined : Object.fromEntries(texts);
}
