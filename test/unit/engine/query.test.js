/** What `_query` of a request holds: by Node's rules for query strings, flat. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "node:querystring";
import fc from "fast-check";
import { parseQuery } from "../../../dist/engine/request.js";

const piece = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom("a", "b", "sid", "__proto__", "é", "=", "=", "&", "&", "?") },
  { weight: 1, arbitrary: fc.constantFrom("%41", "%e2", "%", "+", "#") },
);
const queries = fc.array(piece, { maxLength: 24 }).map((pieces) => pieces.join(""));

test("names and values as by node:querystring, the last value of repeated names, nothing after a # [ENG-205]", () => {
  fc.assert(
    fc.property(queries, (query) => {
      const expected = Object.entries(parse(query.split("#")[0])).map(([name, value]) => [name, [value].flat().at(-1)]);
      assert.deepEqual(Object.entries(parseQuery(`/socket.io/?${query}`)), expected);
    }),
    { numRuns: 20_000 },
  );
});

test("a request target without a query has none, and no query has a prototype [ENG-205]", () => {
  for (const [url, expected] of [
    ["/socket.io/", []],
    ["/socket.io/?", []],
    [
      "/socket.io/?EIO=4&transport=polling",
      [
        ["EIO", "4"],
        ["transport", "polling"],
      ],
    ],
    ["/socket.io/?name=%41da", [["name", "Ada"]]],
  ]) {
    const query = parseQuery(url);
    assert.equal(Object.getPrototypeOf(query), null, url);
    assert.deepEqual(Object.entries(query), expected, url);
  }
});

test("reads at most a thousand names [ENG-205]", () => {
  const url = `/socket.io/?${Array.from({ length: 1500 }, (_, i) => `n${i}=1`).join("&")}`;
  assert.equal(Object.keys(parseQuery(url)).length, 1000);
});
