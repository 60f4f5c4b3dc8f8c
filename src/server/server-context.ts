// The interface that connections need of their server; `Server` implements it.
import type { Limits } from "../engine/limits";
import type { Places } from "../support/places";
import type { Warnings } from "../support/warnings";
import type { PacketDecoder } from "../protocol/packet-decoder";
import type { PacketSource } from "./compat/custom-parser";
import type { ListenerErrors } from "./listener-errors";
import type { Namespace } from "./namespace";

type AnyNamespace = Namespace<any, any, any, any>;

export interface ServerContext {
  /** Encodes packets. @internal */
  readonly encoder: { encode(packet: any): any[] };
  /** Namespaces by name, without parent namespaces. @internal */
  readonly _nsps: ReadonlyMap<string, AnyNamespace>;
  /** Whether functions that were given to `io.of()` decide about namespaces. @internal */
  readonly _asksFunctions: boolean;
  /** @internal */
  readonly _limits: Limits;
  /** Joins that wait for middlewares or functions of `io.of()` (ROB-773). @internal */
  readonly _middlewarePlaces: Places;
  /** @internal */
  readonly _warnings: Warnings;
  /** Null without the option `captureRejections`. @internal */
  readonly _listenerErrors: ListenerErrors | null;
  /** Time that a client has to join a namespace, in milliseconds. @internal */
  readonly _connectTimeout: number;
  /** Whether `close` is in progress. @internal */
  readonly _isClosing: boolean;
  /** Creates a decoder that returns packets instead of emitting them; null with a custom parser. @internal */
  _createDirectDecoder(): PacketDecoder | null;
  /** Creates a decoder as the option `parser` describes it. @internal */
  _createDecoder(): PacketSource;
  /** Creates a namespace that a client asks for, if a parent namespace allows it. @internal */
  _checkNamespace(name: string, auth: { [key: string]: any }, done: (nsp: AnyNamespace | false) => void): void;
}
