// The targets: ratios to socket.io, on uWebSockets.js, to hand-written servers, and growth with clients and rooms.
import { SERVERS } from "./servers.mjs";
import { ratioOf } from "./stats.mjs";

/** Ratio of socket.io's cost to roomcast's: `must` be reached, and `goal`. */
const LESS_THAN_ORIGINAL = [
  ["connect, websocket only", 1.5, 2],
  ["connect, polling then upgrade", 1.3, 1.6],
  ["idle memory, 10,000 clients: RSS", 2.2, 2.8],
  ["idle memory, 10,000 clients: heap", 3, 4.5],
  ["echo with ack, 1 in flight", 1.7, 2.3],
  ["echo with ack, 8 in flight", 3.5, 4],
  ["ingest, 20 per chunk", 2.3, 3],
  ["burst of 20 to one client", 6, 8],
  ["broadcast 64 B to 1000", 1.45, 1.9],
  ["broadcast 64 B to 1000, 5 per tick", 3.5, 4.9],
  ["broadcast 16 KB to 1000", 1.3, 1.6],
  ["broadcast 1 KB binary to 1000", 2.3, 3],
  ["broadcast with ack to 200", 1.4, 1.7],
  ["200 rooms of 5", 1.4, 1.75],
  ["socket.to(room), 200 rooms of 5", 1.4, 1.75],
  ["long-polling echo", 1.3, 1.8],
  ["disconnect with 10 rooms", 1.3, 2.5],
  ["cluster message for a room elsewhere", 4, 9],
  ["broadcast 2 KB of JSON to 1000, perMessageDeflate", 6, 8],
  ["broadcast 16 KB of JSON to 1000, perMessageDeflate", 6, 10],
  ["echo of 2 KB of JSON with ack, perMessageDeflate", 1.2, 1.5],
  ["latency of echo at half of socket.io's full load", 1, 1],
];

const isBroadcast = (scenario) => scenario.startsWith("broadcast ");
const isExchange = (scenario) => scenario.startsWith("echo ") || scenario.startsWith("burst ");

/** Greatest ratio of roomcast's cost to that of other servers. */
const AT_MOST = [
  {
    own: "roomcast",
    other: "roomcast-uncompressed",
    limit: (scenario) => (isBroadcast(scenario) ? 1.5 : undefined),
  },
  { own: "roomcast-uws", other: "uws", limit: (scenario) => (isBroadcast(scenario) || isExchange(scenario) ? 1.5 : undefined) },
  {
    own: "roomcast",
    other: "preframed",
    limit(scenario) {
      if (isBroadcast(scenario)) return 1.15;
      if (scenario.startsWith("long-polling ")) return 1.25;
      return isExchange(scenario) || scenario.startsWith("connect, ") ? 1.6 : undefined;
    },
  },
];

/** Greatest figure of roomcast. */
const LESS_THAN_FIGURE = [
  ["memory after compressed messages, 10,000 clients: B of RSS over uncompressed", 4096],
  ["memory after compressed messages, 10,000 clients: B of heap and buffers over uncompressed", 4096],
];

/**
 * Compares rows of a report with the targets.
 * @returns tables `{ title, lines: [{ scenario, value, must, goal, verdict }] }`; `verdict` is "goal", "must" or "missed", `goal` may be missing
 */
export function checkTargets(rows) {
  const found = (scenario) => rows.find((row) => row.scenario === scenario || row.scenario.startsWith(`${scenario} (`));
  const compared = rows.filter(({ figure }) => figure !== ""); // the others are plain counts
  const tables = [
    {
      title: "Times less than socket.io, at least",
      lines: LESS_THAN_ORIGINAL.map(([scenario, must, goal]) => {
        const row = found(scenario);
        const value = row && ratioOf(row.byServer["socket.io"], row.byServer["roomcast"]);
        return { scenario, value, must, goal, verdict: value >= goal ? "goal" : value >= must ? "must" : "missed" };
      }),
    },
    {
      title: "On uWebSockets.js: times less than socket.io there, at least",
      lines: compared.map(({ scenario, byServer }) => {
        const value = ratioOf(byServer["socket.io-uws"], byServer["roomcast-uws"]);
        return { scenario, value, must: 1, verdict: value >= 1 ? "must" : "missed" };
      }),
    },
    ...AT_MOST.map(({ own, other, limit }) => ({
      title: `${SERVERS[own].title} beside ${SERVERS[other].title}: times as much, at most`,
      lines: compared.map(({ scenario, byServer }) => {
        const less = ratioOf(byServer[other], byServer[own]);
        const value = less === undefined || limit(scenario) === undefined ? undefined : 1 / less;
        return { scenario, value, must: limit(scenario), verdict: value <= limit(scenario) ? "must" : "missed" };
      }),
    })),
  ];
  tables.push({
    title: "Figures of roomcast, at most",
    lines: LESS_THAN_FIGURE.map(([scenario, must]) => {
      const value = found(scenario)?.byServer["roomcast"]?.median;
      return { scenario, value, must, verdict: value <= must ? "must" : "missed" };
    }),
  });
  for (const table of tables) table.lines = table.lines.filter(({ value }) => value !== undefined);
  return tables.filter(({ lines }) => lines.length > 0);
}

/** Compares messages between servers with their targets. @param rows  as bench/cluster.mjs writes them */
export function checkCluster(rows) {
  const lines = rows
    .filter(({ must }) => must !== undefined)
    .map(({ scenario, ratio: value, must }) => ({ scenario, value, must, verdict: value >= must ? "must" : "missed" }));
  return [{ title: "Between servers: times less than the official adapter on socket.io, at least", lines }];
}

/** Greatest growth of the cost per unit with more clients or rooms than `FLAT_FROM`. */
export const FLAT = 0.2;
export const FLAT_FROM = 1000;

/**
 * Compares growth with that limit. If a line has a floor (a loop that does only the unavoidable work, and may grow as well), the growth
 * of its ratio to the floor counts.
 * @param panels  `{ title, xTitle, lines: [{ name, growth: [[step, share], …], floorName, growthBesideFloor }] }`; the last two if there is a floor
 * @returns a table as those of `checkTargets`
 */
export function checkGrowth(panels) {
  const lines = panels.flatMap(({ title, xTitle, lines }) => {
    const own = lines.find(({ name }) => name === "roomcast");
    if (own === undefined || own.growth.length === 0) return [];
    const scenario = `${title}, to ${own.growth.at(-1)[0]} ${xTitle}`;
    const value = worstOf(own.growth);
    if (value <= FLAT || own.growthBesideFloor === undefined) return [{ scenario, value, must: FLAT }];
    const note = `${scenario}; alone ${value.toFixed(2)}, beside ${own.floorName}`;
    return [{ scenario: note, value: worstOf(own.growthBesideFloor), must: FLAT }];
  });
  for (const line of lines) line.verdict = line.value <= line.must ? "must" : "missed";
  return lines.length === 0 ? [] : [{ title: `Growth of roomcast from ${FLAT_FROM} on, as a share, at most`, lines }];
}

/** The greatest growth of a line. */
export const worstOf = (growth) => Math.max(...growth.map(([, share]) => share));

/** The tables in Markdown. */
export function describeTargets(tables) {
  return tables.flatMap(({ title, lines }) => {
    const hasGoals = lines.some(({ goal }) => goal !== undefined);
    return [
      `### ${title}`,
      "",
      `| scenario | measured | must |${hasGoals ? " goal |" : ""} |`,
      `|---|--:|--:|${hasGoals ? "--:|" : ""}---|`,
      ...lines.map(
        ({ scenario, value, must, goal, verdict }) =>
          `| ${scenario} | ${value.toFixed(2)} | ${must} |${hasGoals ? ` ${goal} |` : ""} ${verdict === "missed" ? "**missed**" : verdict === "goal" ? "goal" : "reached"} |`,
      ),
      "",
    ];
  });
}

/** One line for all targets, and one for each missed target; no lines if no scenario has a target. */
export function summariseTargets(tables) {
  const lines = tables.flatMap(({ title, lines }) => lines.map((line) => ({ title, ...line })));
  if (lines.length === 0) return [];
  const missed = lines.filter(({ verdict }) => verdict === "missed");
  return [
    `targets: ${lines.length - missed.length} of ${lines.length} reached`,
    ...missed.map(({ title, scenario, value, must }) => `  missed: ${scenario}: ${value.toFixed(2)}, must ${must} (${title})`),
  ];
}
