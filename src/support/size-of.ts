// An estimate of the memory that a value takes.
/** Approximate bytes of each kind of value beside its contents (V8 on 64 bits). */
const OBJECT_BYTES = 56;
const ENTRY_BYTES = 16;
const STRING_BYTES = 24;
const NUMBER_BYTES = 16;

/**
 * Estimates how many bytes a value takes, together with everything reachable from it through own enumerable properties, arrays, Maps,
 * Sets and buffers. Each object counts once; getters are not called.
 * @param enoughBytes  counting stops when this number is reached; the result may then be too small
 */
export function sizeOf(value: unknown, enoughBytes: number): number {
  const seen = new Set<object>();
  const waiting: unknown[] = [value];
  let bytes = 0;
  while (waiting.length > 0 && bytes < enoughBytes) {
    const next = waiting.pop();
    if (typeof next === "string") bytes += STRING_BYTES + next.length;
    else if (typeof next !== "object" || next === null) bytes += NUMBER_BYTES;
    else if (!seen.has(next)) {
      seen.add(next);
      bytes += OBJECT_BYTES + sizeOfObject(next, waiting);
    }
  }
  return bytes;
}

/** The size of an object without its members, which are added to `waiting`. */
function sizeOfObject(object: object, waiting: unknown[]): number {
  if (ArrayBuffer.isView(object)) return object.byteLength;
  if (object instanceof ArrayBuffer) return object.byteLength;
  if (object instanceof Map) {
    for (const [key, value] of object) waiting.push(key, value);
    return object.size * 2 * ENTRY_BYTES;
  }
  if (object instanceof Set) {
    for (const value of object) waiting.push(value);
    return object.size * ENTRY_BYTES;
  }
  if (Array.isArray(object)) {
    for (const value of object) waiting.push(value);
    return object.length * ENTRY_BYTES;
  }
  let bytes = 0;
  for (const key of Object.keys(object)) {
    bytes += ENTRY_BYTES + key.length;
    const property = Object.getOwnPropertyDescriptor(object, key);
    if (property !== undefined && "value" in property) waiting.push(property.value);
  }
  return bytes;
}
