// Binary values of a packet: taken out on the way out, put back on the way in (Socket.IO protocol, "Binary").
import { Blob } from "node:buffer";
import { ProtocolError } from "../errors";
import { isBinary } from "./engine-packet";

/** Nesting up to which values are searched on the way out. Deeper means cyclic, and JSON would give up little later. */
const MAX_SEARCH_DEPTH = 5000;

/** A binary value as users hand it over. */
export type BinaryValue = ArrayBuffer | ArrayBufferView;

/**
 * Whether a value holds binary at any depth: in arrays, own properties, and what `toJSON` gives. Hot: once per emit.
 * @throws RangeError on cyclic data; TypeError on a Blob
 */
export function hasBinary(value: unknown): boolean {
  return typeof value === "object" && value !== null && objectHasBinary(value, false, 0);
}

function objectHasBinary(value: object, isConverted: boolean, depth: number): boolean {
  if (depth > MAX_SEARCH_DEPTH) throw tooDeepError();
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const item: unknown = value[index];
      if (typeof item === "object" && item !== null && objectHasBinary(item, false, depth + 1)) return true;
    }
    return false;
  }
  // Most objects are plain ones: they can be neither binary nor Blob nor Date.
  if (Object.getPrototypeOf(value) !== Object.prototype) {
    if (isBinary(value)) return true;
    if (value instanceof Date) return false;
    refuseBlob(value);
  }
  if (!isConverted && typeof (value as Convertible).toJSON === "function") {
    const converted = (value as Required<Convertible>).toJSON();
    return typeof converted === "object" && converted !== null && objectHasBinary(converted, true, depth + 1);
  }
  for (const key in value) {
    if (!Object.prototype.hasOwnProperty.call(value, key)) continue;
    const item = (value as Record<string, unknown>)[key];
    if (typeof item === "object" && item !== null && objectHasBinary(item, false, depth + 1)) return true;
  }
  return false;
}

interface Convertible {
  toJSON?(): unknown;
}

/** @throws TypeError on a Blob, whose bytes only a promise gives */
export function refuseBlob(value: object): void {
  if (value instanceof Blob)
    throw new TypeError("a Blob cannot be sent: it cannot be read synchronously; send its bytes (await blob.arrayBuffer())");
}

function tooDeepError(): RangeError {
  return new RangeError(`cannot send cyclic data, or data nested deeper than ${MAX_SEARCH_DEPTH}`);
}

/**
 * Gives a copy of `value` with a placeholder for each binary value.
 * @param attachments  gets the binary values, in depth-first order of appearance
 * @throws RangeError on cyclic data; TypeError on a Blob
 */
export function takeOut(value: unknown, attachments: BinaryValue[]): unknown {
  return copyOf(value, attachments, false, 0);
}

function copyOf(value: unknown, attachments: BinaryValue[], isConverted: boolean, depth: number): unknown {
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  if (isBinary(value)) return { _placeholder: true, num: attachments.push(value) - 1 };
  if (depth > MAX_SEARCH_DEPTH) throw tooDeepError();
  if (Array.isArray(value)) {
    const items: unknown[] = [];
    for (let index = 0; index < value.length; index++) items.push(copyOf(value[index], attachments, false, depth + 1));
    return items;
  }
  refuseBlob(value);
  if (!isConverted && typeof (value as Convertible).toJSON === "function") {
    return copyOf((value as Required<Convertible>).toJSON(), attachments, true, depth + 1);
  }
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    const item = copyOf((value as Record<string, unknown>)[key], attachments, false, depth + 1);
    // JSON leaves functions out; `toJSON` must not come to life again in the copy.
    if (typeof item !== "function") setOwn(copy, key, item);
  }
  return copy;
}

/** Sets an own property, `__proto__` too. */
export function setOwn(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key === "__proto__") Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  else target[key] = value;
}

/**
 * Puts attachments in the place of their placeholders. Walks with a list, not by recursion: the depth is the peer's choice.
 * @param value  what `JSON.parse` gave; changed in place
 * @throws ProtocolError RC_ERR_ATTACHMENTS on a number out of range
 */
export function putBack(value: unknown, attachments: readonly unknown[]): unknown {
  const root = { value };
  // A set keeps the order of insertion and grows while it is walked; what a reviver made may be cyclic.
  const containers = new Set<object>([root]);
  for (const container of containers) {
    if (Array.isArray(container)) {
      for (let index = 0; index < container.length; index++) container[index] = replacementOf(container[index], attachments, containers);
      continue;
    }
    for (const key of Object.keys(container)) {
      const item = (container as Record<string, unknown>)[key];
      const replacement = replacementOf(item, attachments, containers);
      if (replacement !== item) setOwn(container as Record<string, unknown>, key, replacement);
    }
  }
  return root.value;
}

/** The attachment that `item` stands for, or `item` itself, remembered for the walk if it may hold placeholders. */
function replacementOf(item: unknown, attachments: readonly unknown[], containers: Set<object>): unknown {
  if (typeof item !== "object" || item === null) return item;
  if ((item as Placeholder)._placeholder === true && Object.hasOwn(item, "_placeholder")) {
    const { num } = item as Placeholder;
    if (typeof num === "number" && Number.isInteger(num) && num >= 0 && num < attachments.length) return attachments[num];
    throw new ProtocolError("RC_ERR_ATTACHMENTS", "illegal attachments");
  }
  containers.add(item);
  return item;
}

/** What stands in a payload for a binary value. */
interface Placeholder {
  readonly _placeholder?: unknown;
  readonly num?: unknown;
}
