/** Puts the built package into node_modules of this family, under both names. Run by scripts/test.mjs before the tests. */
import { fileURLToPath } from "node:url";
import { placePacked } from "../../support/packed.js";

placePacked(...["roomcast", "socket.io"].map((name) => fileURLToPath(new URL(`node_modules/${name}`, import.meta.url))));
