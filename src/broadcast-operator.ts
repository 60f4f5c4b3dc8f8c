/* `BroadcastOperator` at the path at which tools patch it, `dist/broadcast-operator.js`; loaded by the entry. */
export { BroadcastOperator } from "./server/broadcast/broadcast-operator";
