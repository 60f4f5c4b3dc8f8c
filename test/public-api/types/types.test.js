/**
 * What programs may write, and what the compiler must refuse: the files in `cases/` are compiled against the built
 * declarations, as a program would that has this package installed as `socket.io`.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import ts from "typescript";
import { makeProject, STRICT } from "./project.js";

const cases = [
  ["maps.ts", "take event maps in four places, with defaults, and stay assignable [SRV-8, TYP-1, TYP-2, TYP-11, TYP-15, EX-217]"],
  ["listening.ts", "know what may be listened to, and with which arguments [TYP-3, TYP-4, TYP-13, TYP-14, EX-214]"],
  [
    "emitting.ts",
    "know what may be emitted, and what comes back [TYP-5, TYP-6, TYP-7, TYP-8, TYP-9, TYP-10, EX-210, EX-211, EX-212, EX-213, EX-215, EX-216]",
  ],
  ["options.ts", "know the options, the errors, and which adapters can be used [TYP-12, TYP-13, TYP-16, ROB-430, ROB-431]"],
  ["limits.ts", "know the limits, and what io.stats() says about them [ROB-770, ROB-776, ROB-779, ROB-780, ROB-790]"],
  ["back-pressure.ts", "know drained() and the policies for slow readers [ROB-745, ROB-746, ROB-752]"],
  ["cluster.ts", "know the options of createAdapter() for the workers of one machine [ROB-866]"],
  ["metrics.ts", "know the metrics, and the messages of diagnostics channels [ROB-935, ROB-940, ROB-941]"],
  ["dashboard.ts", "know the options of the dashboard, and what it logs [ROB-970, ROB-973]"],
  ["redis.ts", "know the adapters over Redis and their options [SHR-3, ROB-830]"],
  ["testing.ts", "know test servers, their clients by the event maps of the server, and the suites [ROB-955, ROB-958, ROB-964]"],
  ["official-adapter.ts", "take the adapter class of socket.io-adapter for ours, and ours for it [ROB-570]"],
];

describe("types", () => {
  const names = cases.map(([name]) => name);
  const project = makeProject({ after }, names);
  const { options } = ts.convertCompilerOptionsFromJson(STRICT, project);
  options.typeRoots = [join(project, "node_modules/@types")];
  const host = hostThatReadsOnce(options);

  for (const [name, title] of cases) {
    it(title, () => {
      const program = ts.createProgram({ rootNames: [join(project, name)], options, host });
      assert.equal(ts.formatDiagnostics(ts.getPreEmitDiagnostics(program), host), "");
    });
  }
});

/** A compiler host that parses each file once for all programs; every program is checked by itself. */
function hostThatReadsOnce(options) {
  const host = ts.createCompilerHost(options);
  const parsed = new Map();
  const parse = host.getSourceFile;
  host.getSourceFile = (path, ...rest) => {
    if (!parsed.has(path)) parsed.set(path, parse.call(host, path, ...rest));
    return parsed.get(path);
  };
  return host;
}
