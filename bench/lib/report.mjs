// What is written down: results as data, as a table, as a chart, and the README's section.
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

/** The machine in general words, and the versions that were run. */
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

/** Writes data, table and chart; scenarios that were not run this time keep what an earlier run found on the same Node.js line. */
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
  const kept = old.rows.filter((row) => placeOf(row) !== -1 && !measured.has(placeOf(row))); // as a whole: ratios compare servers of one run
  const servers = [...old.servers, ...fresh.servers.filter(({ name }) => !old.servers.some((server) => server.name === name))];
  return { ...fresh, servers, rows: [...kept, ...fresh.rows].sort((a, b) => placeOf(a) - placeOf(b)) };
}

/** Where the scenario of a row stands among the scenarios; -1: it is no more. */
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

/** What has to be reached, and whether it is; `npm run bench:targets` says the same of all results. */
function targetsOf(rows) {
  const tables = checkTargets(rows);
  return [...summariseTargets(tables).map((line) => `${line.trim()}.`), "", ...describeTargets(tables)];
}

const many = (count, thing) => `${count} ${thing}${count === 1 ? "" : "s"}`;

/** Scenarios may come from different runs. */
function describeRun({ rounds, turns, warmupMs, scale, date }) {
  const times = turns > 1 ? `${many(rounds, "round")} of ${many(turns, "turn")}` : many(rounds, "round");
  return `${date}: ${times}, warm-up ${warmupMs} ms per process${scale === 1 ? "" : `, load ${scale} of the usual`}.`;
}

/** Puts the results into README.md, between the markers; without markers, as a section of its own before the table of what is run. */
export function writeReadme() {
  const section = readmeSection();
  if (section === null) throw new Error("there are no results in bench/results yet");
  const file = join(root, "README.md");
  const text = readFileSync(file, "utf8");
  const from = text.indexOf(START);
  const to = text.indexOf(END);
  const before = text.indexOf("\n## What is run against it");
  let next;
  if (from !== -1 && to > from) next = text.slice(0, from) + section + text.slice(to + END.length);
  else if (before !== -1) next = `${text.slice(0, before)}\n## Measured\n\n${section}\n${text.slice(before)}`;
  else next = `${text.trimEnd()}\n\n## Measured\n\n${section}\n`;
  writeFileSync(file, next);
}

/** The fewest that a scenario of several rounds was run. */
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
  const links = [first, ...others].map(({ name, machine }) => `[Node.js ${machine.version}](bench/results/${name}.md)`);
  return [
    START,
    `\`npm run bench\` on Node.js ${first.machine.version}; ${first.machine.kind}; ${first.machine.pinned}; loopback; ${Object.entries(
      first.machine.versions,
    )
      .map(([name, version]) => `${name} ${version}`)
      .join(", ")}; ${first.machine.date}.`,
    `Server CPU time (user + system) per unit, medians of ${roundsOf(first)} rounds in turns; in brackets how many times less than socket.io.`,
    `Everything, with hand-written servers beside it, latencies and the spread: ${links.join(", ")}; how it is measured: [docs/performance.md](docs/performance.md).`,
    "",
    `![How many times less than socket.io](bench/results/${first.name}.svg)`,
    "",
    `| scenario | unit | ${titles.join(" | ")} |`,
    `|---|---|${shown.map(() => "--:").join("|")}|`,
    ...first.rows.map((row) => `| ${row.scenario} | ${unitOf(row)} | ${shown.map((name) => cell(row, name)).join(" | ")} |`),
    END,
  ].join("\n");
}
