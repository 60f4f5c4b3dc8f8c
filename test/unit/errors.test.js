import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ClusterError, EncodingError, ERROR_CODES, LimitError, ProtocolError, RoomcastError, UsageError } from "../../dist/errors.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Headings of docs/errors.md that are codes, with the text below them in one line. */
const entries = new Map(
  readFileSync(join(root, "docs/errors.md"), "utf8")
    .split(/^### /m)
    .slice(1)
    .map((entry) => [entry.slice(0, entry.indexOf("\n")), entry.slice(entry.indexOf("\n")).replace(/\s+/g, " ").trim()]),
);

test("every code has an entry in docs/errors.md, and every entry a code", () => {
  assert.deepEqual([...entries.keys()].sort(), Object.keys(ERROR_CODES).sort());
});

test("every entry begins with the text of the table", () => {
  const begins = ([code, meaning]) => entries.get(code).toLowerCase().startsWith(meaning.toLowerCase());
  assert.deepEqual(
    Object.entries(ERROR_CODES).filter((entry) => !begins(entry)),
    [],
  );
});

test("every code is written RC_ERR_<NOUN> and used by a source", () => {
  const sources = readdirSync(join(root, "src"), { recursive: true })
    .filter((path) => path.endsWith(".ts") && path !== "errors.ts")
    .map((path) => readFileSync(join(root, "src", path), "utf8"));
  for (const code of Object.keys(ERROR_CODES)) {
    assert.match(code, /^RC_ERR_[A-Z]+(_[A-Z]+)*$/);
    assert.ok(
      sources.some((text) => text.includes(`"${code}"`)),
      `${code} is used nowhere`,
    );
  }
});

test("every warning's code has its row in docs/errors.md, and every row a warning [ROB-813]", () => {
  const [, section] = readFileSync(join(root, "docs/errors.md"), "utf8").split(/^## Process warnings$/m);
  const documented = [...section.matchAll(/^\| (`ROOMCAST_[^|]*) \|/gm)].flatMap(([, codes]) => codes.match(/ROOMCAST_\w+/g));
  const used = readdirSync(join(root, "src"), { recursive: true })
    .filter((path) => path.endsWith(".ts"))
    .flatMap((path) => readFileSync(join(root, "src", path), "utf8").match(/"ROOMCAST_\w+"/g) ?? [])
    .map((code) => code.slice(1, -1));
  assert.deepEqual(documented.sort(), [...new Set(used)].sort());
});

test("every error is a RoomcastError with code, message and cause", () => {
  const cause = new Error("why");
  for (const Class of [RoomcastError, ProtocolError, UsageError, ClusterError]) {
    const error = new Class("RC_ERR_OPTION", "what", cause);
    assert.ok(error instanceof RoomcastError && error instanceof Error);
    assert.deepEqual([error.code, error.message, error.cause], ["RC_ERR_OPTION", "what", cause]);
  }
  assert.equal(Object.hasOwn(new ProtocolError("RC_ERR_PAYLOAD", "what"), "cause"), false);
});

test("the error of a value that cannot be encoded is a TypeError with code, message and cause [ROB-420]", () => {
  const cause = new Error("why");
  const error = new EncodingError("RC_ERR_ENCODING", "what", cause);
  assert.ok(error instanceof TypeError);
  assert.deepEqual([error.name, error.code, error.message, error.cause], ["TypeError", "RC_ERR_ENCODING", "what", cause]);
});

test("a LimitError has the limit and the value that exceeded it", () => {
  const error = new LimitError("RC_ERR_STALLED", "what", 10, 11);
  assert.ok(error instanceof RoomcastError);
  assert.deepEqual([error.limit, error.met], [10, 11]);
});
