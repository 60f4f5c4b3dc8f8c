/**
 * Writes the ES module entries. Each public entry gets an `.mjs` file that re-exports the CommonJS exports by name, and a `.d.mts` file with the
 * types, so that `import` and `require` give the same instance. Each file is then imported and compared with its CommonJS entry.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { doors, root } from "./doors.mjs";

const require = createRequire(import.meta.url);
const identifier = /^[A-Za-z_$][\w$]*$/;

rmSync(join(root, "dist/esm"), { recursive: true, force: true });
for (const door of doors) {
  try {
    await writeEntry(door);
  } catch (error) {
    console.error(`write-esm: ${door.specifier} has no ES entry: ${error.message.split("\n")[0]}`);
    process.exitCode = 1;
  }
}

async function writeEntry({ specifier, cjs, esm, esmTypes }) {
  const file = join(root, esm);
  const target = relativeSpecifier(file, join(root, cjs));
  const door = require(join(root, cjs));
  const hidden = ["default", "__esModule", "length", "name", "prototype"];
  const names = Object.getOwnPropertyNames(door).filter((name) => !hidden.includes(name) && identifier.test(name));

  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `// The same instance that \`require("${specifier}")\` gives, by name.\n${reexport(door, names, target)}`);
  writeFileSync(join(root, esmTypes), `export * from "${target}";\n`);

  const entry = await import(pathToFileURL(file).href);
  for (const name of names) {
    if (entry[name] !== door[name]) throw new Error(`export ${name} differs between import and require`);
  }
}

/**
 * A compiled ES module is re-exported name by name, since bundlers resolve its default import differently from Node.js.
 * An entry that replaces `module.exports` has only a default import.
 */
function reexport(door, names, target) {
  if (names.length === 0) return "export {};\n";
  const list = names.join(", ");
  if (door.__esModule) return `export { ${list} } from "${target}";\n`;
  return `import door from "${target}";\n\nexport const { ${list} } = door;\n`;
}

function relativeSpecifier(from, to) {
  const path = relative(dirname(from), to).replaceAll("\\", "/");
  return path.startsWith(".") ? path : `./${path}`;
}
