import assert from "node:assert/strict";
import { builtinModules } from "node:module";
import { test } from "node:test";
import { circlesOf } from "./circles.js";
import { importGraph, importsOf, manifest, resolveImport, sources } from "./sources.js";

const DOOR = 6;
const floors = [
  [/^(errors\.ts$|support\/)/, 0],
  [/^protocol\//, 1],
  [/^engine\//, 2],
  [/^server\//, 3],
  [/^(cluster|metrics)\//, 4],
  [/^(cli|dashboard|testing)\//, 5],
  [/^((index|socket|socket-types|broadcast-operator|namespace|parent-namespace|client|typed-events)\.ts$|public\/)/, DOOR],
];

function floorOf(path) {
  return floors.find(([pattern]) => pattern.test(path))?.[1];
}

const relativeImports = sources.flatMap((source) =>
  importsOf(source)
    .filter((specifier) => specifier.startsWith("."))
    .map((specifier) => ({ from: source.path, specifier, to: resolveImport(source.path, specifier) })),
);

test("every source stands on a floor", () => {
  const homeless = sources.map(({ path }) => path).filter((path) => floorOf(path) === undefined);
  assert.deepEqual(homeless, []);
});

test("every relative import names a source", () => {
  assert.ok(relativeImports.length > 0, "no relative import was found at all");
  const dangling = relativeImports.filter(({ to }) => to === undefined).map(({ from, specifier }) => `${from} → ${specifier}`);
  assert.deepEqual(dangling, []);
});

test("imports go down or stay on their floor", () => {
  const upward = relativeImports
    .filter(({ from, to }) => to !== undefined && floorOf(to) > floorOf(from))
    .map(({ from, to }) => `${from} (${floorOf(from)}) → ${to} (${floorOf(to)})`);
  assert.deepEqual(upward, []);
});

test("no sources need each other when the program runs", () => {
  assert.deepEqual(circlesOf(importGraph({ types: false })), []);
});

test("finds a circle, and nothing else", () => {
  const graph = new Map(Object.entries({ a: ["b", "e"], b: ["c"], c: ["d", "a"], d: ["e"], e: [], f: ["e"] }));
  assert.deepEqual(circlesOf(graph), [["a", "b", "c"]]);
});

test("packages that are imported are dependencies, and Node's own modules carry their prefix", () => {
  const allowed = new Set([...Object.keys(manifest.dependencies), ...Object.keys(manifest.peerDependencies ?? {})]);
  const wrong = sources.flatMap((source) =>
    importsOf(source)
      .filter((specifier) => !specifier.startsWith(".") && !specifier.startsWith("node:"))
      .map((specifier) => ({ specifier, name: specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/") }))
      .filter(({ name }) => builtinModules.includes(name) || !allowed.has(name))
      .map(({ specifier }) => `${source.path} → ${specifier}`),
  );
  assert.deepEqual(wrong, []);
});
