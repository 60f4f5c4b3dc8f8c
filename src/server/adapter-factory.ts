import type { Adapter } from "./adapter";
import type { Namespace } from "./namespace";

/** What the option `adapter` takes: a class, or a function that gives an adapter. */
export type AdapterConstructor = typeof Adapter | ((nsp: Namespace) => Adapter);

/**
 * Makes the adapter of a namespace.
 * @param factory  called with `new` if that is possible, so that both classes and functions do; arrow functions are called
 */
export function createAdapter(factory: AdapterConstructor, namespace: object): Adapter {
  if (isConstructor(factory)) return new (factory as typeof Adapter)(namespace);
  return (factory as (nsp: object) => Adapter)(namespace);
}

/** Whether `new` is possible, found out without calling it. */
function isConstructor(candidate: unknown): boolean {
  try {
    Reflect.construct(Object, [], candidate as new () => object);
    return true;
  } catch {
    return false; // Reflect.construct refuses what is no constructor before it runs anything of it
  }
}
