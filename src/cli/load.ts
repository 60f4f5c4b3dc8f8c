// `roomcast load`: many clients, and what the server makes of them.
import { accessSync, constants, existsSync, statSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import {
  headersOf,
  integerOf,
  jsonOf,
  lineOf,
  namespaceOf,
  numberOf,
  onlyOne,
  pathOf,
  print,
  printable,
  progress,
  readArgs,
  shownUrl,
  toJson,
  transportOf,
  urlOf,
  ArgumentError,
  valuesOf,
  type Command,
  type CommandIo,
  type ExitCode,
} from "./command";
import { runLoad, type LoadOptions, type LoadReport, type Percentiles, type Script } from "./load-run";

const HELP = `Usage: roomcast load URL [options]

Connects many clients, lets each send an event at an even pace, and measures. Any Socket.IO server of version 3 or 4 will do. The path of URL
is the namespace. The model is open: an event is sent when it is due, whatever became of earlier ones, and its time counts from then.

Options:
      --clients NUMBER     default 100
      --ramp SECONDS       in which they connect; default 5
      --duration SECONDS   from when all are connected, or have failed; default 20
      --warm-up SECONDS    at the beginning of the duration: answers are counted, but not in the percentiles, since fresh processes are slow;
                           default 1, at most a tenth of the duration; with --script 0
      --ask EVENT          the event that each client sends, with an acknowledgement, which is measured
      --emit EVENT         the same without an acknowledgement
      --data JSON          values of the event, one after another
      --rate NUMBER        events of each client per second; default 1
      --first LINE         an event that each client sends once connected, as in: join "tea"; may be repeated
      --transport NAMES    websocket (default), polling, or both with a comma: the clients take turns
      --script FILE        a module whose default export is called for each client once all are connected, see docs/cli.md
      --max-p99 MS         ends with 1 when an acknowledgement takes longer at the 99th percentile
      --auth JSON, --header "N: V", --path PATH, --insecure   as of roomcast tap
      --timeout SECONDS    for connections and for the last answers; default 10
      --report FILE        writes the report there, too: Markdown, or JSON where the name ends so
      --json               prints JSON
  -h, --help

Examples:
  npx roomcast load http://localhost:3000 --clients 500 --ask ping --rate 2
  npx roomcast load https://chat.example.com/room --first 'join "tea"' --emit message --data '"hello"' --report load.md

Exit codes: 0 all clients connected, stayed and got their answers, 1 not so, 2 wrong arguments.
`;

export const load: Command = { help: HELP, run };

/** Above this, what is measured may be the lateness of this process. */
const OWN_LAG_MS = 20;
const DEFAULT_WARM_UP_MS = 1_000;

async function run(args: string[], io: CommandIo): Promise<ExitCode> {
  const { values, positionals } = readArgs(args, {
    clients: { type: "string", default: "100" },
    ramp: { type: "string", default: "5" },
    duration: { type: "string", default: "20" },
    "warm-up": { type: "string" },
    ask: { type: "string" },
    emit: { type: "string" },
    data: { type: "string", default: "" },
    rate: { type: "string", default: "1" },
    first: { type: "string", multiple: true, default: [] },
    transport: { type: "string", default: "websocket" },
    script: { type: "string" },
    "max-p99": { type: "string" },
    auth: { type: "string" },
    header: { type: "string", multiple: true, default: [] },
    path: { type: "string", default: "/socket.io/" },
    timeout: { type: "string", default: "10" },
    insecure: { type: "boolean", default: false },
    report: { type: "string" },
    json: { type: "boolean", default: false },
  });
  const url = urlOf("load", onlyOne("load", "URL", positionals));
  if (values.ask !== undefined && values.emit !== undefined) throw new ArgumentError("load: expected --ask or --emit, met both");
  const event = values.ask ?? values.emit;
  const limitMs = values["max-p99"] === undefined ? null : numberOf("--max-p99", values["max-p99"], 0, 1e6);
  if (limitMs !== null && values.ask === undefined && values.script === undefined)
    throw new ArgumentError("--max-p99: expected --ask or --script, whose answers are measured");
  if (values.report !== undefined) checkReport(values.report);
  const durationMs = numberOf("--duration", values.duration, 0, 86_400) * 1_000;
  const options: LoadOptions = {
    client: {
      url,
      path: pathOf(values.path),
      namespace: namespaceOf("load", url),
      auth: values.auth === undefined ? undefined : jsonOf("--auth", values.auth),
      headers: headersOf(values.header),
      insecure: values.insecure,
      timeoutMs: numberOf("--timeout", values.timeout, 0.1, 3_600) * 1_000,
    },
    script: values.script === undefined ? null : await scriptOf(values.script, io),
    transports: values.transport.split(",").map(transportOf),
    clients: integerOf("--clients", values.clients, 1, 100_000),
    rampMs: numberOf("--ramp", values.ramp, 0, 86_400) * 1_000,
    durationMs,
    warmUpMs: warmUpMsOf(values["warm-up"], durationMs, values.script !== undefined),
    message:
      event === undefined
        ? null
        : {
            data: [event, ...valuesOf(values.data, "--data")],
            kind: values.ask === undefined ? "event" : "question",
            perSecond: numberOf("--rate", values.rate, 0, 100_000),
          },
    first: values.first.map((text) => {
      const { kind, data } = lineOf(text, "--first");
      if (kind !== "event") throw new ArgumentError(`--first: expected an event without ? or !, met ${JSON.stringify(text)}`);
      return data;
    }),
  };
  let stopped = 0;
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.on(signal, () => {
      if (++stopped > 1) process.exit(1);
    });
  const report = await runLoad(options, progress, () => stopped > 0);
  progress("");
  const asJson = toJson({ url: shownUrl(url), ...report }, 2);
  const asMarkdown = markdownOf(url, values.transport, options, report);
  print(values.json ? asJson : asMarkdown);
  if (values.report !== undefined) writeFileSync(values.report, `${values.report.endsWith(".json") ? asJson : asMarkdown}\n`);
  const isLate = limitMs !== null && (report.answerMs === null || report.answerMs.p99 > limitMs);
  const isWell = report.connected === report.clients && Object.keys(report.errors).length === 0 && report.unanswered === 0;
  return isWell && !isLate ? 0 : 1;
}

/** The default leaves out what fresh processes answer; a script may ask once, at its beginning. */
function warmUpMsOf(seconds: string | undefined, durationMs: number, hasScript: boolean): number {
  if (seconds === undefined) return hasScript ? 0 : Math.min(DEFAULT_WARM_UP_MS, durationMs / 10);
  const ms = numberOf("--warm-up", seconds, 0, 86_400) * 1_000;
  if (ms > 0 && ms >= durationMs)
    throw new ArgumentError(`--warm-up: expected less than --duration, ${durationMs / 1_000}, met ${seconds}`);
  return ms;
}

/** The run may take long: better said before. */
function checkReport(file: string): void {
  if (file === "") throw new ArgumentError('--report: expected a file, met ""');
  const found = statSync(file, { throwIfNoEntry: false });
  if (found?.isDirectory()) throw new ArgumentError(`--report: expected a file, met the folder ${JSON.stringify(file)}`);
  const target = found === undefined ? dirname(resolve(file)) : file;
  try {
    accessSync(target, constants.W_OK);
  } catch {
    throw new ArgumentError(
      `--report: expected a ${found === undefined ? "folder" : "file"} that can be written to, met ${JSON.stringify(target)}`,
    );
  }
}

async function scriptOf(file: string, { load }: CommandIo): Promise<Script> {
  const path = resolve(file);
  if (!existsSync(path)) throw new ArgumentError(`--script: there is no file ${JSON.stringify(file)}`);
  const script = (await load(pathToFileURL(path).href))["default"];
  if (typeof script !== "function") throw new ArgumentError(`--script: expected a function as the default export, met ${typeof script}`);
  return script as Script;
}

/** The report for people: Markdown whose tables are aligned, so that a terminal shows them well, too. */
function markdownOf(url: URL, transports: string, options: LoadOptions, report: LoadReport): string {
  const { clients, connected, seconds, sent, answered, unanswered, received, connectMs, answerMs, errors, ownLagMs } = report;
  const counted = (name: string, count: number): string[] => [name, String(count), seconds > 0 ? (count / seconds).toFixed(1) : ""];
  const asks = answered + unanswered > 0;
  const counts = [
    counted("events sent", sent),
    ...(asks ? [counted("answered", answered), ["not answered", String(unanswered), ""]] : []),
    counted("events received", received),
  ];
  const times = [rowOf("to connect", connectMs), rowOf("to an answer, from when the event was due", answerMs)].filter(
    (row) => row !== null,
  );
  const kinds = Object.entries(errors).map(([kind, count]) => [printable(kind).replaceAll("|", "\\|"), String(count)]);
  const sections = [
    `# Load on ${shownUrl(url)}`,
    `${connected} of ${clients} clients connected over ${transports.replaceAll(",", " and ")}. ${connected === 0 ? "So nothing was measured." : `${loadOf(options)} for ${seconds.toFixed(1)} s.`}`,
    tableOf(["", "Count", "Per second"], counts),
    ...(times.length > 0 ? [tableOf(["Milliseconds", "p50", "p90", "p95", "p99", "p99.9", "max"], times)] : []),
    kinds.length > 0 ? tableOf(["Error", "Clients"], kinds) : "No errors.",
  ];
  if (ownLagMs > OWN_LAG_MS)
    sections.push(
      `This process was late itself (${ownLagMs.toFixed(0)} ms at the 99th percentile): the times say little about the server.`,
    );
  sections.push(`${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC, Node.js ${process.version}.`);
  return sections.join("\n\n");
}

/** What each client was told to do. */
function loadOf({ message, script }: LoadOptions): string {
  if (script !== null) return "Each ran the script";
  if (message === null) return "They listened";
  const verb = message.kind === "question" ? "asked" : "sent";
  return `Each ${verb} \`${printable(String(message.data[0]))}\` ${message.perSecond} time${message.perSecond === 1 ? "" : "s"} per second`;
}

function rowOf(name: string, percentiles: Percentiles | null): string[] | null {
  if (percentiles === null) return null;
  const { p50, p90, p95, p99, p999, max } = percentiles;
  return [name, ...[p50, p90, p95, p99, p999, max].map((value) => (value < 10 ? value.toFixed(2) : value.toFixed(1)))];
}

/** The first column is text, the others are numbers. */
function tableOf(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) => Math.max(4, title.length, ...rows.map((row) => row[column].length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join(" | ")} |`;
  const rule = widths.map((width, column) => (column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`));
  return [line(header), line(rule), ...rows.map(line)].join("\n");
}
