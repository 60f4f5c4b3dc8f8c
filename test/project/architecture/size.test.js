import assert from "node:assert/strict";
import { test } from "node:test";
import { sources } from "./sources.js";

const MAX_LINES = 450;

test("no source is longer than 450 lines", () => {
  const long = sources
    .map(({ path, text }) => ({ path, lines: text.split("\n").length - 1 }))
    .filter(({ lines }) => lines > MAX_LINES)
    .map(({ path, lines }) => `${path}: ${lines}`);
  assert.deepEqual(long, []);
});

test("no source switches off the compiler or the linter", () => {
  const suppressed = sources.filter(({ text }) => /@ts-(ignore|nocheck|expect-error)|eslint-disable/.test(text)).map(({ path }) => path);
  assert.deepEqual(suppressed, []);
});

test("no source makes code of texts: it runs where eval is forbidden [ROB-794]", () => {
  const evaluating = sources.filter(({ text }) => /\beval\(|new Function\(|node:vm|setTimeout\(["'`]/.test(text)).map(({ path }) => path);
  assert.deepEqual(evaluating, []);
});
