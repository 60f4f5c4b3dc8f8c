/**
 * Writes the ES entries. Each public door gets one `.mjs` that re-exports by name what the CommonJS door exports, and one `.d.mts` beside it,
 * so that `import` and `require` give the same instance. Each entry is then imported and compared with its CommonJS door.
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
  const names = Object.keys(door).filter((name) => name !== "default" && name !== "__esModule" && identifier.test(name));

  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `// The same instance that \`require("${specifier}")\` gives, by name.\n${reexport(door, names, target)}`);
  writeFileSync(join(root, esmTypes), `export * from "${target}";\n`);

  const entry = await import(pathToFileURL(file).href);
  for (const name of names) {
    if (entry[name] !== door[name]) throw new Error(`export ${name} differs between import and require`);
  }
}

/**
 * A compiled ES module is re-exported name by name, since bundlers give its default import another meaning than Node;
 * a door that replaces `module.exports` is only seen whole, through its default import.
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
