// Binary values of a packet: extracted when it is encoded, restored when it is decoded (Socket.IO protocol, "Binary").
import { Blob } from "node:buffer";
import { ProtocolError } from "../errors";
import type { CollectionWatch } from "./encoding-hints";
import { isBinary } from "./engine-packet";
import { MAX_SEARCH_DEPTH } from "./packet";

/** A binary value as programs pass it to `emit`. */
export type BinaryValue = ArrayBuffer | ArrayBufferView | Blob;

/**
 * Whether a value contains a binary value at any depth: in arrays, own properties, and results of `toJSON` (SIO-16). Hot: once per emit.
 * @throws RangeError on cyclic data
 */
export function hasBinary(value: unknown, watch: CollectionWatch | null = null): boolean {
  return typeof value === "object" && value !== null && objectHasBinary(value, watch, false, 0);
}

function objectHasBinary(value: object, watch: CollectionWatch | null, isConverted: boolean, depth: number): boolean {
  if (depth > MAX_SEARCH_DEPTH) throw tooDeepError();
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const item: unknown = value[index];
      if (typeof item === "object" && item !== null && objectHasBinary(item, watch, false, depth + 1)) return true;
    }
    return false;
  }
  // Most objects are plain ones: they can be neither binary nor Blob nor Date.
  if (Object.getPrototypeOf(value) !== Object.prototype) {
    if (isBinary(value) || value instanceof Blob) return true;
    if (value instanceof Date) return false;
    watch?.check(value);
  }
  if (!isConverted && typeof (value as Convertible).toJSON === "function") {
    const converted = (value as Required<Convertible>).toJSON();
    return typeof converted === "object" && converted !== null && objectHasBinary(converted, watch, true, depth + 1);
  }
  for (const key in value) {
    if (!Object.prototype.hasOwnProperty.call(value, key)) continue;
    const item = (value as Record<string, unknown>)[key];
    if (typeof item === "object" && item !== null && objectHasBinary(item, watch, false, depth + 1)) return true;
  }
  return false;
}

interface Convertible {
  toJSON?(): unknown;
}

function tooDeepError(): RangeError {
  return new RangeError(`cannot send cyclic data, or data nested deeper than ${MAX_SEARCH_DEPTH}`);
}

/**
 * Returns a copy of `value` with a placeholder in place of each binary value (SIO-17).
 * @param attachments  receives the binary values, in depth-first order of appearance
 * @throws RangeError on cyclic data
 */
export function takeOut(value: unknown, attachments: BinaryValue[], watch: CollectionWatch | null = null): unknown {
  return copyOf(value, attachments, watch, false, 0);
}

function copyOf(value: unknown, attachments: BinaryValue[], watch: CollectionWatch | null, isConverted: boolean, depth: number): unknown {
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  if (isBinary(value) || value instanceof Blob) return { _placeholder: true, num: attachments.push(value) - 1 };
  if (depth > MAX_SEARCH_DEPTH) throw tooDeepError();
  if (Array.isArray(value)) {
    const items: unknown[] = [];
    for (let index = 0; index < value.length; index++) items.push(copyOf(value[index], attachments, watch, false, depth + 1));
    return items;
  }
  watch?.check(value);
  if (!isConverted && typeof (value as Convertible).toJSON === "function") {
    return copyOf((value as Required<Convertible>).toJSON(), attachments, watch, true, depth + 1);
  }
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    const item = copyOf((value as Record<string, unknown>)[key], attachments, watch, false, depth + 1);
    // JSON omits functions. A copied `toJSON` would be called a second time.
    if (typeof item !== "function") setOwn(copy, key, item);
  }
  return copy;
}

/** Sets an own property, also one named `__proto__` (SIO-31). */
export function setOwn(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key === "__proto__") Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  else target[key] = value;
}

/**
 * Replaces placeholders by their attachments (SIO-28). Iterates over a list instead of recursing, because the peer chooses the depth.
 * @param value          the result of `JSON.parse`; changed in place
 * @param maxReferences  greatest number of placeholders: each becomes an attachment of its own when the value is sent on (ROB-145)
 * @throws ProtocolError RC_ERR_ATTACHMENTS on a placeholder with a number out of range, or more placeholders
 */
export function putBack(value: unknown, attachments: readonly unknown[], maxReferences: number): unknown {
  const root = { value };
  // A Set is iterated in the order of insertion, also over what is added meanwhile. A reviver may have made cyclic data.
  const walk: Walk = { containers: new Set<object>([root]), attachments, referencesLeft: maxReferences };
  for (const container of walk.containers) {
    if (Array.isArray(container)) {
      for (let index = 0; index < container.length; index++) container[index] = replacementOf(container[index], walk);
      continue;
    }
    for (const key of Object.keys(container)) {
      const item = (container as Record<string, unknown>)[key];
      const replacement = replacementOf(item, walk);
      if (replacement !== item) setOwn(container as Record<string, unknown>, key, replacement);
    }
  }
  return root.value;
}

interface Walk {
  readonly containers: Set<object>;
  readonly attachments: readonly unknown[];
  referencesLeft: number;
}

/** The attachment that the placeholder `item` names, or `item` itself; added to the walk if it may contain placeholders. */
function replacementOf(item: unknown, walk: Walk): unknown {
  if (typeof item !== "object" || item === null) return item;
  if ((item as Placeholder)._placeholder === true && Object.hasOwn(item, "_placeholder")) {
    const { num } = item as Placeholder;
    if (walk.referencesLeft-- === 0) throw new ProtocolError("RC_ERR_ATTACHMENTS", "too many attachments");
    if (typeof num === "number" && Number.isInteger(num) && num >= 0 && num < walk.attachments.length) return walk.attachments[num];
    throw new ProtocolError("RC_ERR_ATTACHMENTS", "illegal attachments");
  }
  walk.containers.add(item);
  return item;
}

/** The placeholder of a binary value. */
interface Placeholder {
  readonly _placeholder?: unknown;
  readonly num?: unknown;
}
