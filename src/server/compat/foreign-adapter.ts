// The type of `namespace.adapter`, which TypeScript also accepts as the `Adapter` class of `socket.io-adapter` (ROB-570).
import type { Adapter as OfficialAdapter } from "socket.io-adapter";
import type { Adapter } from "../adapter/adapter";

// Both classes have private members, so TypeScript takes them for incompatible, although each can replace the other at run time.

/** Whether a type is `any`, as the type of an import that was not found is. In tuples, since `any extends …` gives both branches. */
type IsAny<T> = [0] extends [1 & T] ? true : false;

/** `Adapter` and `T` at once; only `Adapter` if the package of `T` is not installed. */
type AlsoAs<T> = IsAny<T> extends true ? Adapter : Adapter & T;

/** An adapter that is also accepted as an adapter of `socket.io-adapter`. */
export type AnyAdapter = AlsoAs<OfficialAdapter>;
