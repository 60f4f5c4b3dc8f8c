/* Tools patch `dist/broadcast-operator.js` by path: what is exported here is the class itself, loaded by the entry. */
export { BroadcastOperator } from "./server/broadcast";
