// Binary values of a packet: taken out on the way out, put back on the way in (Socket.IO protocol, "Binary").
import { ProtocolError } from "../errors";
import { isBinary } from "./engine-packet";

/** Nesting up to which values are searched for binary on the way out; deeper means cyclic, or hostile. */
const MAX_SEARCH_DEPTH = 5000;

function checkBlob(value: object): void {
  if (typeof Blob !== "undefined" && value instanceof Blob) {
    throw new TypeError("a Blob cannot be sent: it cannot be read synchronously; send its bytes (await blob.arrayBuffer())");
  }
}

/**
 * Whether a value holds binary at any depth.
 * @throws RangeError on cyclic data; TypeError on a Blob
 */
export function hasBinary(value: unknown, mayConvert = true, depth = 0): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (isBinary(value)) return true;
  checkBlob(value);
  if (depth > MAX_SEARCH_DEPTH) throw new RangeError("cannot send cyclic or too deeply nested data");
  if (Array.isArray(value)) {
    for (const item of value) if (hasBinary(item, true, depth + 1)) return true;
    return false;
  }
  const toJSON: unknown = (value as { toJSON?: unknown }).toJSON;
  if (mayConvert && typeof toJSON === "function") {
    return value instanceof Date ? false : hasBinary((value as { toJSON(): unknown }).toJSON(), false, depth + 1);
  }
  for (const key in value) {
    if (Object.hasOwn(value, key) && hasBinary((value as Record<string, unknown>)[key], true, depth + 1)) return true;
  }
  return false;
}

/** Gives a copy of `value` with a placeholder for each binary value, which are appended to `buffers` in order of appearance. */
export function takeOut(value: unknown, buffers: (ArrayBuffer | ArrayBufferView)[], mayConvert = true): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (isBinary(value)) {
    buffers.push(value);
    return { _placeholder: true, num: buffers.length - 1 };
  }
  if (Array.isArray(value)) return value.map((item) => takeOut(item, buffers));
  if (value instanceof Date) return value;
  if (mayConvert && typeof (value as { toJSON?: unknown }).toJSON === "function") {
    return takeOut((value as { toJSON(): unknown }).toJSON(), buffers, false);
  }
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    const item = takeOut((value as Record<string, unknown>)[key], buffers);
    if (key === "__proto__") Object.defineProperty(copy, key, { value: item, enumerable: true, configurable: true, writable: true });
    else copy[key] = item;
  }
  return copy;
}

/**
 * Puts attachments in the place of their placeholders, in `value` itself, which came straight from `JSON.parse`.
 * @throws ProtocolError RC_ERR_ATTACHMENTS on a number out of range
 */
export function putBack(value: any, buffers: readonly unknown[]): any {
  if (typeof value !== "object" || value === null) return value;
  if (value._placeholder === true && Object.hasOwn(value, "_placeholder")) {
    const { num } = value;
    if (!Number.isInteger(num) || num < 0 || num >= buffers.length) throw new ProtocolError("RC_ERR_ATTACHMENTS", "illegal attachments");
    return buffers[num];
  }
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) value[index] = putBack(value[index], buffers);
    return value;
  }
  for (const key of Object.keys(value)) {
    const item = value[key];
    const put = putBack(item, buffers);
    if (put !== item) Object.defineProperty(value, key, { value: put, enumerable: true, configurable: true, writable: true });
  }
  return value;
}
