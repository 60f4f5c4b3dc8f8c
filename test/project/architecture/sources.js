/** The TypeScript sources as the architecture tests read them: path, text, and the imports of each. */
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
export const ts = require("typescript");
/** The checkout that is looked at: this one, or another named by the environment variable ARCHITECTURE_ROOT. */
export const root = process.env.ARCHITECTURE_ROOT ?? fileURLToPath(new URL("../../..", import.meta.url));
export const manifest = require("../../../package.json");

/** Paths are relative to src/, with forward slashes. */
export const sources = readdirSync(join(root, "src"), { recursive: true })
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => path.endsWith(".ts"))
  .sort()
  .map((path) => ({ path, text: readFileSync(join(root, "src", path), "utf8") }));

/** What a source imports, types included: `import`, `export … from`, `import()`, `require()` and `import("…")` in types. */
export function importsOf(source) {
  return [...new Set(importNodesOf(source).map(({ specifier }) => specifier))];
}

/**
 * Which source imports which.
 * @param types  whether imports count that the compiler removes
 * @returns      path → paths
 */
export function importGraph({ types }) {
  const graph = new Map();
  for (const source of sources) {
    const imports = importNodesOf(source).filter(({ specifier, isType }) => specifier.startsWith(".") && (types || !isType));
    graph.set(source.path, [...new Set(imports.map(({ specifier }) => resolveImport(source.path, specifier)))]);
  }
  return graph;
}

const importNodes = new Map();

function importNodesOf(source) {
  if (!importNodes.has(source)) importNodes.set(source, readImportNodes(source));
  return importNodes.get(source);
}

function readImportNodes({ path, text }) {
  const found = [];
  const visit = (node) => {
    const specifier = specifierOf(node);
    if (specifier && ts.isStringLiteralLike(specifier)) found.push({ specifier: specifier.text, isType: isTypeOnly(node) });
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, false));
  return found;
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

/** Whether nothing of an import is left when the program runs. */
function isTypeOnly(node) {
  if (ts.isImportTypeNode(node)) return true;
  const clause = ts.isImportDeclaration(node) ? node.importClause : ts.isExportDeclaration(node) ? node : undefined;
  if (clause === undefined) return false;
  const named = ts.isImportDeclaration(node) ? clause.namedBindings?.elements : clause.exportClause?.elements;
  return clause.isTypeOnly || (clause.name === undefined && named?.length > 0 && named.every((each) => each.isTypeOnly));
}

/** The source that a relative specifier names, or undefined. */
export function resolveImport(from, specifier) {
  const target = posix.join(dirname(from), specifier);
  return sources.find(({ path }) => path === `${target}.ts` || path === `${target}/index.ts`)?.path;
}

/** The source of the class that the class in `path` extends, where that is one of ours: its path, or undefined. */
export function baseOf({ path, text }) {
  const base = /\bclass \w+(?:<[^{]*?>)? extends (\w+)/.exec(text)?.[1];
  const specifier = base && new RegExp(`import [^;]*\\b${base}\\b[^;]* from "(\\.[^"]*)"`).exec(text)?.[1];
  return specifier && resolveImport(path, specifier);
}

/** The names of the members that an interface of a source asks for. */
export function membersOf({ path, text }, name) {
  const declared = ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, false).statements.find((each) => each.name?.text === name);
  return declared && ts.isInterfaceDeclaration(declared)
    ? declared.members.filter((member) => !member.questionToken).map((member) => member.name.text)
    : [];
}
