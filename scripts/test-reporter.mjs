/**
 * Test reporter: prints each failure in full when it happens, then one line per test file; with `ROOMCAST_TEST_VERBOSE=1` all that tests say, too.
 * Writes the counts of leaf tests, and the titles of those that failed with their reasons, to the file named by `ROOMCAST_TEST_COUNTS`.
 */
import { writeFileSync } from "node:fs";
import { relative, resolve } from "node:path";
import { inspect } from "node:util";

const verbose = process.env.ROOMCAST_TEST_VERBOSE === "1";

export default async function* report(source) {
  const counts = { passed: 0, failed: 0, skipped: 0, failures: [] };
  const files = new Map();
  const paths = new Map();

  for await (const { type, data } of source) {
    if (type === "test:stderr" || type === "test:stdout") {
      if (verbose || type === "test:stderr") yield data.message;
      continue;
    }
    if (verbose && type === "test:diagnostic") yield `  ${data.message}\n`;
    if (type !== "test:start" && type !== "test:pass" && type !== "test:fail") continue;
    const path = pathOf(paths, data);
    if (type === "test:start" || isGroup(type, data)) continue;

    const outcome =
      type === "test:fail" ? (data.todo !== undefined ? "skipped" : "failed") : data.skip !== undefined ? "skipped" : "passed";
    const title = path.join(" › ");
    counts[outcome] += 1;
    const file = resolve(data.file ?? data.name);
    const own = files.get(file) ?? { passed: 0, failed: 0, skipped: 0, ms: 0 };
    own[outcome] += 1;
    own.ms += data.details.duration_ms;
    files.set(file, own);
    if (outcome === "failed") counts.failures.push(`${place(file, data.line)} ${title}: ${onOneLine(textOf(data.details.error))}`);
    saveCounts(counts);

    if (outcome === "failed") {
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
}

/** Called after every test, so that the counts exist even if the run is killed. */
function saveCounts(counts) {
  if (process.env.ROOMCAST_TEST_COUNTS) writeFileSync(process.env.ROOMCAST_TEST_COUNTS, JSON.stringify(counts));
}

/** Names of the groups around a test and of the test itself; kept per file, since files run in parallel. */
function pathOf(paths, { file, nesting, name }) {
  const path = paths.get(file) ?? [];
  paths.set(file, path);
  path.length = nesting;
  path[nesting] = name;
  return path;
}

/** Whether an event is about a group or file, which counts only if it failed by itself and not through a test in it. */
function isGroup(type, { nesting, name, details }) {
  if (type === "test:fail") return details.error?.failureType === "subtestsFailed";
  return details.type === "suite" || (nesting === 0 && name.endsWith(".test.js"));
}

function describe(error) {
  // Of a file whose tests have passed there is nothing else to tell.
  const { exitCode, signal } = error ?? {};
  const end = exitCode !== undefined || signal ? ` (the process ended with ${signal ?? exitCode})` : "";
  return textOf(error) + end;
}

function textOf(error) {
  const cause = error?.cause ?? error;
  return cause instanceof Error ? (cause.stack ?? cause.message) : typeof cause === "string" ? cause : inspect(cause);
}

function onOneLine(text) {
  return text.replaceAll(/\s+/g, " ").slice(0, 300);
}

function place(file, line) {
  return relative(process.cwd(), file ?? "") + (line ? `:${line}` : "");
}

function indent(text) {
  return text.replace(/^/gm, "    ");
}
