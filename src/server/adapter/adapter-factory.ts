// Creates the adapter of a namespace from the option `adapter`, and checks what the class or function returned.
import { UsageError } from "../../errors";
import type { Adapter } from "./adapter";

/**
 * Creates the adapter of a namespace.
 * @param factory  a class or a function: called with `new` where JavaScript allows it, else (arrow functions) without
 * @throws UsageError RC_ERR_OPTION if the result lacks a method that every adapter must have
 */
export function createAdapter(factory: unknown, namespace: object): Adapter {
  const adapter: unknown = isConstructor(factory) // OPT-3, ADP-1
    ? new (factory as new (nsp: object) => unknown)(namespace)
    : (factory as (nsp: object) => unknown)(namespace);
  expectAdapter(adapter);
  return adapter as Adapter;
}

/** The methods that every server calls (ROB-400). The other methods are needed only where a program uses them. */
const REQUIRED_METHODS = ["init", "close", "addAll", "del", "delAll", "broadcast"];

function expectAdapter(value: unknown): void {
  const isObject = typeof value === "object" && value !== null;
  const hasMethod = (name: string): boolean => typeof (value as Record<string, unknown>)[name] === "function";
  const missing = isObject ? REQUIRED_METHODS.filter((name) => !hasMethod(name)) : REQUIRED_METHODS;
  if (missing.length === 0) return;
  const met = isObject ? `an object without ${missing.join(", ")}` : value === null ? "null" : typeof value;
  throw new UsageError(
    "RC_ERR_OPTION",
    `option adapter: expected a class that extends Adapter of roomcast/adapter, or a function that gives an instance of one, met ${met}`,
  );
}

/** Whether `new candidate()` is allowed. The candidate itself is not called. */
function isConstructor(candidate: unknown): boolean {
  try {
    Reflect.construct(Object, [], candidate as new () => object);
    return true;
  } catch {
    return false; // Reflect.construct throws for a candidate that is no constructor, before it runs any code
  }
}
