/* The event-map types under the path that programs import them from. */
export type * from "./server/events";
