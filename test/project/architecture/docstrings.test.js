import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { manifest, root, ts } from "./sources.js";

/** The source behind each public door, read from where its compiled form lies. */
const doors = Object.entries(manifest.exports)
  .filter(([, target]) => typeof target === "object")
  .map(([subpath, target]) => ({ subpath, file: join(root, target.require.default.replace("./dist/", "src/").replace(/\.js$/, ".ts")) }));

const program = ts.createProgram(
  doors.map(({ file }) => file),
  ts.parseJsonConfigFileContent(ts.readConfigFile(join(root, "tsconfig.json"), ts.sys.readFile).config, ts.sys, root).options,
);
const checker = program.getTypeChecker();

for (const { subpath, file } of doors) {
  test(`every export of ${subpath} says what it gives`, () => {
    assert.ok(existsSync(file), `${file} does not exist`);
    const door = checker.getSymbolAtLocation(program.getSourceFile(file));
    const exported = checker.getExportsOfModule(door);
    assert.ok(exported.length > 0, "the door exports nothing");
    assert.deepEqual(exported.filter((symbol) => !isDocumented(symbol)).map(nameWithPlace), []);
  });
}

function isDocumented(symbol) {
  const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  return [symbol, target].some((each) => ts.displayPartsToString(each.getDocumentationComment(checker)).trim() !== "");
}

function nameWithPlace(symbol) {
  const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  const declaration = target.declarations?.[0];
  return `${symbol.name} (${declaration ? declaration.getSourceFile().fileName.replace(root, "") : "unresolved"})`;
}
