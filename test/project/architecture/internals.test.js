/** Undocumented members of Node.js and `ws` stand in one ledger, questions for replaced methods in one list. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { scenarios } from "../../../bench/load/scenarios.mjs";
import { REPLACED_METHODS } from "../../../dist/support/replaced-methods.js";
import { root, sources, ts } from "./sources.js";

const LEDGER = "support/node-internals.ts";
const LIST = "support/replaced-methods.ts";
const FIELDS = ["Entry", "Members", "Used for", "Probe", "Fallback", "Node majors"];

/** Members without an underscore in front that no documentation of Node.js or `ws` names; `symbol` ones are found by these, too. */
const UNDOCUMENTED = new Set(
  `writeLatin1String writeUtf8String writeAsciiString writeUcs2String writev writeQueueSize useUserBuffer oncomplete getAsyncId
  getOwnPropertySymbols binding chunkedEncoding setSocket latin1Slice latin1Write utf8Slice utf8Write base64urlSlice base64Slice asciiSlice
  asciiWrite hexSlice hexWrite ucs2Slice ucs2Write`.split(/\s+/),
);
/** What implementers of streams write, by the documentation. */
const STREAM_METHODS = new Set(["_read", "_write", "_writev", "_final", "_destroy"]);

const trees = sources.map(({ path, text }) => ({ path, tree: ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true) }));
const outside = trees.filter(({ path }) => path !== LEDGER);

function* nodesOf(node) {
  yield node;
  for (const child of node.getChildren()) yield* nodesOf(child);
}

/** The name of a member that a node reads, writes or looks for. */
function memberOf(node) {
  if (ts.isPropertyAccessExpression(node)) return node.name.text;
  if (ts.isElementAccessExpression(node) && ts.isStringLiteralLike(node.argumentExpression)) return node.argumentExpression.text;
  if (ts.isBindingElement(node) && ts.isObjectBindingPattern(node.parent)) return (node.propertyName ?? node.name).text;
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.InKeyword && ts.isStringLiteralLike(node.left))
    return node.left.text;
  return undefined;
}

const isDeclaration = (node) =>
  ts.isClassElement(node) || ((ts.isPropertySignature(node) || ts.isMethodSignature(node)) && ts.isInterfaceDeclaration(node.parent));

test("every entry of the ledger says what it is for, how it is probed, what is done without it, and where it was tested", () => {
  const ledger = sources.find(({ path }) => path === LEDGER).text;
  const { optionalDependencies } = JSON.parse(readFileSync(join(root, ".ci/node-versions/package.json"), "utf8"));
  const majors = [...new Set(Object.keys(optionalDependencies).map((name) => parseInt(name.slice("node-".length))))].join(", ");
  const entries = [...ledger.matchAll(/\/\*\n \* Entry:[^]*?\*\//g)].map(([comment]) => comment);
  assert.ok(entries.length > 0, "there is no entry");
  for (const entry of entries) {
    for (const field of FIELDS) assert.match(entry, new RegExp(`^ \\* ${field}: \\S`, "m"), entry);
    assert.ok(entry.includes(` * Node majors: ${majors}`), `${entry}\nis tested on ${majors}`);
    const scenario = /Scenario "([^"]+)"/.exec(entry)?.[1];
    if (scenario === undefined) assert.match(entry, /\bROB-\d+\b/, `${entry}\nneeds a scenario that it makes faster, or a rule`);
    else
      assert.ok(
        scenarios.some(({ title }) => title === scenario),
        `there is no scenario "${scenario}"`,
      );
  }
  assert.ok(ledger.includes(`TESTED_MAJORS: readonly number[] = [${majors}]`), `the majors of .ci/node-versions are ${majors}`);
});

test("no source but the ledger touches undocumented members of Node.js or ws", () => {
  const declared = new Set(outside.flatMap(({ tree }) => [...nodesOf(tree)].filter(isDeclaration).map((node) => node.name?.getText())));
  for (const name of STREAM_METHODS) declared.delete(name);
  const touched = outside.flatMap(
    ({ path, tree }) =>
      [...nodesOf(tree)]
        .map(memberOf)
        .filter((name) => name !== undefined && (UNDOCUMENTED.has(name) || (/^_[a-z]/.test(name) && !declared.has(name))))
        .map((name) => `${path}: ${name}`)
        .filter((use) => use !== "engine/hosts/node/http2.ts: _write"), // of a stream of our own
  );
  assert.deepEqual(touched, []);
});

test("methods are compared with the original ones by one list, of which each entry is used and says who needs it", () => {
  const compared = outside.flatMap(({ path, tree }) => [...nodesOf(tree)].filter(isComparison).map((node) => `${path}: ${node.getText()}`));
  assert.deepEqual(compared, []);
  const asked = new Set(
    sources.filter(({ path }) => path !== LIST).flatMap(({ text }) => [...text.matchAll(/isReplaced\("([^"]+)"/g)].map(([, name]) => name)),
  );
  assert.deepEqual([...asked].sort(), Object.keys(REPLACED_METHODS).sort());
  for (const reason of Object.values(REPLACED_METHODS)) assert.match(reason, /\[[A-Z]+-\d+\]$/);
});

/** Whether a node compares something with a method of a prototype, or with what is called an original. */
function isComparison(node) {
  const { EqualsEqualsEqualsToken, ExclamationEqualsEqualsToken } = ts.SyntaxKind;
  if (!ts.isBinaryExpression(node) || ![EqualsEqualsEqualsToken, ExclamationEqualsEqualsToken].includes(node.operatorToken.kind))
    return false;
  return [node.left, node.right].some((side) => /(?<!\bObject)\.prototype\.\w+$|^original[A-Z]\w*$/.test(side.getText()));
}
