/* The event-map types at the path from which programs import them, `dist/typed-events`. */
export type * from "./server/events";
