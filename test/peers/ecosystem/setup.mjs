/** Puts the built package into node_modules/socket.io of this family. Run by scripts/test.mjs before the tests. */
import { fileURLToPath } from "node:url";
import { placePacked } from "../../support/packed.js";

placePacked(fileURLToPath(new URL("node_modules/socket.io", import.meta.url)));
