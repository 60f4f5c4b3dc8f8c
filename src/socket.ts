/* `Socket` at the path at which tools patch it, `dist/socket.js`; loaded by the entry. */
export { Socket } from "./server/socket/socket";
