import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { interfaces, named, walks } from "./document.js";
import { baseOf, importGraph, membersOf, root, sources } from "./sources.js";
import { measureWalks, turnsUpward } from "./walks.js";

const imports = importGraph({ types: true });
const sourceOf = new Map(sources.map((source) => [source.path, source]));

/** A file and those of the classes that it extends. */
function withBases(path) {
  const base = baseOf(sourceOf.get(path));
  return base === undefined ? [path] : [path, ...withBases(base)];
}

/** Whether one file calls the next through its import, or through an interface that the document names. */
function meet(from, to) {
  if (imports.get(from).includes(to)) return true;
  const files = withBases(from);
  return interfaces.some(({ declaredIn, others }) => {
    const isKnown = files.some((path) => path === declaredIn || imports.get(path).includes(declaredIn));
    return isKnown && others.includes(to);
  });
}

test("every file that ARCHITECTURE.md names exists", () => {
  const missing = named.filter((path) => !existsSync(join(root, "src", path)) && !existsSync(join(root, path)));
  assert.deepEqual(missing, []);
});

test("every interface of ARCHITECTURE.md is declared and implemented where it says", () => {
  assert.ok(interfaces.length > 0);
  for (const { name, declaredIn, others } of interfaces) {
    const declaring = sourceOf.get(declaredIn);
    assert.match(declaring.text, new RegExp(`export (abstract class|class|interface|type) ${name}\\b`), declaredIn);
    for (const path of others) {
      const text = withBases(path).map((each) => sourceOf.get(each).text);
      const missing = membersOf(declaring, name).filter((member) => !new RegExp(`\\b${member}\\b`).test(text.join("\n")));
      assert.deepEqual(missing, [], `members of ${name} in ${path}`);
    }
  }
});

test("a message passes the files that ARCHITECTURE.md names, in that order", async (t) => {
  const measured = await measureWalks(t);

  for (const name of ["Frame in", "Poll in", "Emit out", "Broadcast out", "Cluster message in"]) {
    await t.test(name, (t) => {
      const { walk, entered } = measured[name];
      t.diagnostic(`${name}: ${new Set(walk).size} files, ${turnsUpward(measured[name])} turns upward`);
      const steps = walks[name];
      assert.deepEqual(
        steps.map(({ file }) => file),
        walk,
      );
      const unused = steps.flatMap(({ uses }) => uses).filter((path) => !entered.has(path));
      assert.deepEqual(unused, [], "named in a step, but not used on the way");
      for (const [index, file] of walk.slice(1).entries()) assert.ok(meet(walk[index], file), `${walk[index]} → ${file}`);
    });
  }
});
