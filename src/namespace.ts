/* `Namespace` at the path from which programs import its types, `dist/namespace`. */
export { Namespace, type ExtendedError, type NamespaceReservedEventsMap, type ServerReservedEventsMap } from "./server/namespace";
