/* `ParentNamespace` at the path from which programs import its type, `dist/parent-namespace`. */
export { ParentNamespace } from "./server/parent-namespace";
