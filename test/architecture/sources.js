/** The TypeScript sources as the architecture tests read them: path, text, and the imports of each. */
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
export const ts = require("typescript");
export const root = fileURLToPath(new URL("../..", import.meta.url));
export const manifest = require("../../package.json");

/** Paths are relative to src/, with forward slashes. */
export const sources = readdirSync(join(root, "src"), { recursive: true })
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => path.endsWith(".ts"))
  .sort()
  .map((path) => ({ path, text: readFileSync(join(root, "src", path), "utf8") }));

/** What a source imports, types included: `import`, `export … from`, `import()`, `require()` and `import("…")` in types. */
export function importsOf({ path, text }) {
  const specifiers = new Set();
  const visit = (node) => {
    const specifier = specifierOf(node);
    if (specifier && ts.isStringLiteralLike(specifier)) specifiers.add(specifier.text);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, false));
  return [...specifiers];
}

function specifierOf(node) {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return node.moduleSpecifier;
  if (ts.isExternalModuleReference(node)) return node.expression;
  if (ts.isImportTypeNode(node)) return node.argument.literal;
  if (!ts.isCallExpression(node)) return undefined;
  const isImport = node.expression.kind === ts.SyntaxKind.ImportKeyword;
  const isRequire = ts.isIdentifier(node.expression) && /^require/.test(node.expression.text);
  return isImport || isRequire ? node.arguments[0] : undefined;
}

/** The source that a relative specifier names, or undefined. */
export function resolveImport(from, specifier) {
  const target = posix.join(dirname(from), specifier);
  return sources.find(({ path }) => path === `${target}.ts` || path === `${target}/index.ts`)?.path;
}
