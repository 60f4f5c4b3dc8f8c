/**
 * Test reporter: one line per test file that passed, every failure in full as soon as it is known, a list of failures at the end.
 * Leaves the counts of leaf tests in the file named by `ROOMCAST_TEST_COUNTS`.
 */
import { writeFileSync } from "node:fs";
import { relative } from "node:path";
import { inspect } from "node:util";

const verbose = process.env.ROOMCAST_TEST_VERBOSE === "1";

export default async function* report(source) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const files = new Map();
  const failures = [];
  const path = [];

  for await (const { type, data } of source) {
    if (type === "test:stderr" || type === "test:stdout") {
      if (verbose || type === "test:stderr") yield data.message;
      continue;
    }
    if (type === "test:start") {
      path.length = data.nesting;
      path[data.nesting] = data.name;
      continue;
    }
    if (type !== "test:pass" && type !== "test:fail") continue;
    path.length = data.nesting + 1;
    path[data.nesting] = data.name;
    if (isFileWrapper(data)) {
      if (type === "test:pass") continue;
      if (files.get(data.file ?? data.name)?.failed > 0 && data.details.error?.failureType === "subtestsFailed") continue;
    }
    if (data.details.type === "suite" && (type === "test:pass" || onlyChildrenFailed(data))) continue;
    if (type === "test:fail" && onlyChildrenFailed(data)) continue;

    const outcome = type === "test:fail" ? (data.todo !== undefined ? "skipped" : "failed") : data.skip !== undefined ? "skipped" : "passed";
    counts[outcome] += 1;
    const file = data.file ?? data.name;
    const own = files.get(file) ?? { passed: 0, failed: 0, skipped: 0, ms: 0 };
    own[outcome] += 1;
    own.ms += data.details.duration_ms;
    files.set(file, own);

    const title = path.join(" › ");
    if (outcome === "failed") {
      failures.push({ file, line: data.line, title });
      yield `✖ ${place(file, data.line)} ${title}\n${indent(describe(data.details.error))}\n`;
    } else if (verbose || outcome === "skipped") {
      yield `${outcome === "passed" ? "✔" : "−"} ${place(file)} ${title}${typeof data.skip === "string" ? ` # ${data.skip}` : ""}\n`;
    }
  }

  for (const [file, own] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const mark = own.failed > 0 ? "✖" : "✔";
    const extra = (own.failed > 0 ? `, ${own.failed} failed` : "") + (own.skipped > 0 ? `, ${own.skipped} skipped` : "");
    yield `${mark} ${place(file)}: ${own.passed} passed${extra} (${Math.round(own.ms)} ms)\n`;
  }
  if (failures.length > 0) {
    yield `\nfailed:\n${failures.map(({ file, line, title }) => `  ${place(file, line)} ${title}`).join("\n")}\n`;
  }
  if (process.env.ROOMCAST_TEST_COUNTS) writeFileSync(process.env.ROOMCAST_TEST_COUNTS, JSON.stringify(counts));
}

/** Node reports each file as a test of its own around the tests in it. */
function isFileWrapper({ nesting, name }) {
  return nesting === 0 && name.endsWith(".test.js");
}

function onlyChildrenFailed({ details }) {
  return details.error?.failureType === "subtestsFailed";
}

function describe(error) {
  const cause = error?.cause ?? error;
  return cause instanceof Error ? (cause.stack ?? cause.message) : typeof cause === "string" ? cause : inspect(cause);
}

function place(file, line) {
  return relative(process.cwd(), file ?? "") + (line ? `:${line}` : "");
}

function indent(text) {
  return text.replace(/^/gm, "    ");
}
