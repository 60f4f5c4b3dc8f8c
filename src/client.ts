/* `Client` at the path from which programs import its type, `dist/client`. */
export { Client } from "./server/client/client";
