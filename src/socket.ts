/* Tools patch `dist/socket.js` by path: what is exported here is the class itself, loaded by the entry. */
export { Socket } from "./server/socket";
