/** `roomcast/metrics` takes the modules prom-client and @opentelemetry/api as their own types describe them. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const ts = createRequire(join(root, "package.json"))("typescript");

const PROGRAM = `
import * as api from "@opentelemetry/api";
import * as client from "prom-client";
import { Server } from "roomcast";
import { openTelemetryMetrics, openTelemetrySpans, prometheusMetrics } from "roomcast/metrics";

const io = new Server();
prometheusMetrics(io, { client });
prometheusMetrics(io, { client, registry: new client.Registry() });
openTelemetryMetrics(io, { api });
openTelemetrySpans(io, { api });
`;

test("takes both modules with their own types, as ES module and CommonJS [ROB-940, ROB-941]", (t) => {
  const project = mkdtempSync(join(tmpdir(), "roomcast-metrics-"));
  t.after(() => rmSync(project, { recursive: true, force: true }));
  mkdirSync(join(project, "node_modules"));
  symlinkSync(root, join(project, "node_modules/roomcast"), "dir");
  for (const name of ["@opentelemetry", "prom-client"]) {
    symlinkSync(fileURLToPath(new URL(`node_modules/${name}`, import.meta.url)), join(project, "node_modules", name), "dir");
  }
  const files = ["program.mts", "program.cts"].map((name) => join(project, name));
  for (const file of files) writeFileSync(file, PROGRAM);
  const options = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.Node16,
    moduleResolution: ts.ModuleResolutionKind.Node16,
    types: ["node"],
    typeRoots: [join(root, "node_modules/@types")],
  };
  const host = ts.createCompilerHost(options);
  const program = ts.createProgram(files, options, host);
  assert.equal(ts.formatDiagnostics(ts.getPreEmitDiagnostics(program), host), "");
});
