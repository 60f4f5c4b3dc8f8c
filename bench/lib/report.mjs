// Writes results as data, as a table, as a chart, and as the section of the README.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { arch, availableParallelism, totalmem, type } from "node:os";
import { join } from "node:path";
import { scenarios } from "../load/scenarios.mjs";
import { canPin } from "./child.mjs";
import { baseOf } from "./servers.mjs";
import { ratioOf } from "./stats.mjs";
import { dotChart } from "./svg.mjs";
import { checkTargets, describeTargets, summariseTargets } from "./targets.mjs";

const root = new URL("../../", import.meta.url).pathname;
export const RESULTS = join(root, "bench/results");
const BASE = "socket.io";
const START = "<!-- bench:start -->";
const END = "<!-- bench:end -->";
/** The rows in the README; all others are in bench/results. */
const README_ROWS = [
  "connect, websocket only",
  "echo with ack, 1 in flight",
  "burst of 20 to one client",
  "broadcast 64 B to 1000",
  "long-polling echo",
  "idle memory, 10,000 clients: RSS",
];

/** The machine in general terms, and the versions that were run. */
export function describeMachine({ version, serverCore, loadCores }) {
  const gibibytes = Math.round(totalmem() / 2 ** 30);
  const versions = {};
  for (const [name, path] of [
    ["socket.io", "bench/node_modules/socket.io"],
    ["engine.io", "bench/node_modules/engine.io"],
    ["ws", "bench/node_modules/ws"],
    ["uwebsockets", "bench/uws/node_modules/uwebsockets"],
  ]) {
    const file = join(root, path, "package.json");
    if (existsSync(file)) versions[name] = JSON.parse(readFileSync(file, "utf8")).version;
  }
  const kind = `${availableParallelism()} cores (${arch()}), ${gibibytes} GiB, ${type()}`;
  const pinned = canPin
    ? `server on core ${serverCore}, load generators on core${loadCores.length > 1 ? "s" : ""} ${loadCores.join(", ")}`
    : "processes not pinned to cores";
  const packages = Object.entries(versions).map(([name, number]) => `${name} ${number}`);
  const date = new Date().toISOString().slice(0, 10);
  const summary = `Node.js ${version}; ${kind}; ${pinned}; loopback; ${packages.join(", ")}; ${date}`;
  return { version, kind, pinned, versions, date, summary };
}

/** Writes data, table and chart. Scenarios that were not run this time keep the result of an earlier run on the same Node.js line. */
export function writeReport(report) {
  mkdirSync(RESULTS, { recursive: true });
  const name = `node-${report.machine.version.slice(1).split(".")[0]}`;
  const file = join(RESULTS, `${name}.json`);
  const merged = existsSync(file) ? mergeReports(JSON.parse(readFileSync(file, "utf8")), report) : report;
  const onOneLine = (list) => list.replaceAll(/\s+/g, "");
  writeFileSync(file, JSON.stringify(merged, null, 1).replaceAll(/\[[-\d.e,\s]+\]/g, onOneLine) + "\n");
  writeFileSync(join(RESULTS, `${name}.md`), markdown(merged, name));
  writeFileSync(join(RESULTS, `${name}.svg`), chart(merged));
  writeReadme();
  console.log(`\nwritten: bench/results/${name}.json, .md, .svg, and the README's section`);
}

function mergeReports(old, fresh) {
  const measured = new Set(fresh.rows.map(placeOf));
  const kept = old.rows.filter((row) => placeOf(row) !== -1 && !measured.has(placeOf(row))); // whole rows: a ratio compares servers of one run
  const servers = [...old.servers, ...fresh.servers.filter(({ name }) => !old.servers.some((server) => server.name === name))];
  return { ...fresh, servers, rows: [...kept, ...fresh.rows].sort((a, b) => placeOf(a) - placeOf(b)) };
}

/** The index of a row's scenario; -1 if it no longer exists. */
const placeOf = ({ scenario }) =>
  scenarios.findIndex(({ title }) => scenario === title || scenario.startsWith(`${title}: `) || scenario.startsWith(`${title} (`));

const ratioIn = (row, name) => ratioOf(row.byServer[BASE], row.byServer[name]);

function chart(report) {
  const rows = report.rows
    .filter(({ figure }) => figure !== "") // plain counts
    .map((row) => ({
      label: row.scenario,
      dots: Object.fromEntries(report.servers.map(({ name }) => [name, ratioIn(row, name)]).filter(([, ratio]) => ratio !== undefined)),
    }))
    .filter(({ dots }) => Object.keys(dots).length > 1);
  return dotChart({
    title: `How many times less than ${BASE} (right is better), Node.js ${report.machine.version}`,
    servers: report.servers,
    rows,
  });
}

const unitOf = ({ figure, per }) => [figure, per].filter((word) => word !== "").join(" per ");

export function number(value) {
  if (value === undefined || value === null) return "–";
  if (Math.abs(value) >= 1000) return String(Math.round(value));
  return value.toFixed(Math.abs(value) >= 100 ? 1 : 2);
}

function cell(row, name) {
  const figures = row.byServer[name];
  if (figures === undefined) return "";
  if (figures.failed !== undefined) return "failed";
  const ratio = name === BASE || row.figure === "" ? undefined : ratioIn(row, name);
  return number(figures.median) + (ratio === undefined ? "" : ` (${ratio.toFixed(2)}×)`);
}

function markdown(report, name) {
  const { machine, servers, rows } = report;
  const lines = [
    `# Measured on Node.js ${machine.version}`,
    "",
    `${machine.kind}; ${machine.pinned}; loopback; ${Object.entries(machine.versions)
      .map(([pack, version]) => `${pack} ${version}`)
      .join(", ")}; ${machine.date}.`,
    "Servers take turns. A figure in µs is the server's CPU time (user + system) per unit, the median of all turns; in brackets how many times",
    `less it is than that of ${BASE}. What the servers and scenarios are: [docs/performance.md](../../docs/performance.md).`,
    "",
    `![How many times less than ${BASE}](${name}.svg)`,
    "",
    `| scenario | unit | ${servers.map(({ title }) => title).join(" | ")} |`,
    `|---|---|${servers.map(() => "--:").join("|")}|`,
    ...rows.map((row) => `| ${row.scenario} | ${unitOf(row)} | ${servers.map((server) => cell(row, server.name)).join(" | ")} |`),
    "",
    "## Targets",
    "",
    ...targetsOf(rows),
    "## Details",
    "",
    "`user` is the part of the CPU time outside the system. The ratio is to socket.io on the same HTTP server. `busy` is CPU time by wall time: of the",
    "server's process, and of the busiest load generator. Latencies are in µs; `sent late` is the part of the p99 that the load generators caused",
    "themselves: a disturbed machine shows there.",
  ];
  for (const row of rows) {
    lines.push(
      "",
      `### ${row.scenario}`,
      "",
      describeRun(row.run),
      "",
      `| server | ${unitOf(row)} | least – most | user | ratio | units per second | server busy | load busy | p50 | p99 |`,
      "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    );
    for (const { name: server, title } of servers) {
      const figures = row.byServer[server];
      if (figures === undefined) continue;
      if (figures.failed !== undefined) {
        lines.push(`| ${title} | failed: ${figures.failed} | | | | | | | | |`);
        continue;
      }
      const { min, max, user, perSecond, saturation, loadBusy, p50, p99, lag } = figures;
      const ratio = ratioOf(row.byServer[baseOf(server)], figures);
      const share = (value) => (value === undefined ? "–" : `${Math.round(value * 100)} %`);
      lines.push(
        `| ${title} | ${number(figures.median)} | ${number(min)} – ${number(max)} | ${number(user)} | ${ratio === undefined ? "–" : `${ratio.toFixed(2)}×`} | ${perSecond === undefined ? "–" : Math.round(perSecond)} | ${share(saturation)} | ${share(loadBusy)} | ${number(p50)} | ${number(p99)}${lag === undefined ? "" : ` (sent late: ${number(lag)})`} |`,
      );
    }
  }
  return lines.join("\n") + "\n";
}

/** The targets, and whether they are reached; `npm run bench:targets` prints the same for all results. */
function targetsOf(rows) {
  const tables = checkTargets(rows);
  return [...summariseTargets(tables).map((line) => `${line.trim()}.`), "", ...describeTargets(tables)];
}

const many = (count, thing) => `${count} ${thing}${count === 1 ? "" : "s"}`;

/** The dates of the runs: scenarios may come from different ones. */
function describeRun({ rounds, turns, warmupMs, scale, date }) {
  const times = turns > 1 ? `${many(rounds, "round")} of ${many(turns, "turn")}` : many(rounds, "round");
  return `${date}: ${times}, warm-up ${warmupMs} ms per process${scale === 1 ? "" : `, load ${scale} of the usual`}.`;
}

/** Writes selected rows and the chart of all into README.md, between the markers; without markers, as a new section at the end. */
export function writeReadme() {
  const section = readmeSection();
  if (section === null) throw new Error("there are no results in bench/results yet");
  const file = join(root, "README.md");
  const text = readFileSync(file, "utf8");
  const from = text.indexOf(START);
  const to = text.indexOf(END);
  let next;
  if (from !== -1 && to > from) next = text.slice(0, from) + section + text.slice(to + END.length);
  else next = `${text.trimEnd()}\n\n## Measured\n\n${section}\n`;
  writeFileSync(file, next);
}

/** The smallest number of rounds of a scenario that has several. */
function roundsOf(first) {
  return Math.min(first.rounds, ...first.rows.map(({ run }) => run.rounds).filter((rounds) => rounds > 1));
}

function readmeSection() {
  const names = ["node-20", "node-22", "node-24", "node-26", "node-28"].filter((name) => existsSync(join(RESULTS, `${name}.json`)));
  if (names.length === 0) return null;
  const [first, ...others] = names.map((name) => ({ name, ...JSON.parse(readFileSync(join(RESULTS, `${name}.json`), "utf8")) }));
  const shown = ["roomcast", "socket.io", "roomcast-uws", "socket.io-uws"].filter((name) =>
    first.servers.some((server) => server.name === name),
  );
  const titles = shown.map((name) => first.servers.find((server) => server.name === name).title);
  const versions = Object.entries(first.machine.versions).map(([name, version]) => `${name} ${version}`);
  const rows = README_ROWS.map((title) => first.rows.find(({ scenario }) => scenario === title)).filter((row) => row !== undefined);
  const links = [first, ...others].map(({ name, machine }) => `[Node.js ${machine.version}](bench/results/${name}.md)`);
  return [
    START,
    `Server CPU time (user + system) per unit, or memory; medians of ${roundsOf(first)} rounds in turns; in brackets how many times less than socket.io.`,
    `Node.js ${first.machine.version}; ${first.machine.kind}; loopback; ${versions.join(", ")}; ${first.machine.date}.`,
    "",
    `| scenario | unit | ${titles.join(" | ")} |`,
    `|---|---|${shown.map(() => "--:").join("|")}|`,
    ...rows.map((row) => `| ${row.scenario} | ${unitOf(row)} | ${shown.map((name) => cell(row, name)).join(" | ")} |`),
    "",
    `![How many times less than socket.io](bench/results/${first.name}.svg)`,
    "",
    `All ${first.rows.length} rows, with servers written by hand beside them, latencies and the spread: ${links.join(", ")}. How it is measured, and`,
    "`npm run bench` to repeat it: [docs/performance.md](docs/performance.md).",
    END,
  ].join("\n");
}
