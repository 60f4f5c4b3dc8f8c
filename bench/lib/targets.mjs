// What the figures have to reach: against socket.io, on uWebSockets.js, beside servers written by hand, and as clients and rooms grow.
import { SERVERS } from "./servers.mjs";
import { ratioOf } from "./stats.mjs";

/** How many times less than socket.io: what must be reached, and what would be good. */
const LESS_THAN_ORIGINAL = [
  ["connect, websocket only", 1.5, 2],
  ["connect, polling then upgrade", 1.3, 1.6],
  ["idle memory, 10,000 clients: RSS", 2.3, 2.8],
  ["idle memory, 10,000 clients: heap", 3, 4.5],
  ["echo with ack, 1 in flight", 1.7, 2.3],
  ["echo with ack, 8 in flight", 3, 4],
  ["ingest, 20 per chunk", 1.6, 2.3],
  ["burst of 20 to one client", 4.5, 8],
  ["broadcast 64 B to 1000", 1.45, 1.9],
  ["broadcast 64 B to 1000, 5 per tick", 3.5, 4.9],
  ["broadcast 16 KB to 1000", 1.3, 1.6],
  ["broadcast 1 KB binary to 1000", 2.3, 3],
  ["broadcast with ack to 200", 1.4, 1.7],
  ["200 rooms of 5", 1.4, 1.75],
  ["socket.to(room), 200 rooms of 5", 1.4, 1.75],
  ["long-polling echo", 1.4, 1.8],
  ...["1 room", "10 rooms", "100 rooms"].flatMap((rooms) => [
    [`join and leave ${rooms}: join`, 1.7, 3],
    [`join and leave ${rooms}: leave`, 1.2, 2],
    [`disconnect with ${rooms}`, 1.5, 2.5],
  ]),
  ["cluster message for a room elsewhere", 4, 9],
  ["latency of echo at half of socket.io's full load", 1, 1],
];

const isBroadcast = (scenario) => scenario.startsWith("broadcast ");
const isExchange = (scenario) => scenario.startsWith("echo ") || scenario.startsWith("burst ");

/** How many times as much as servers written by hand may take. */
const AT_MOST = [
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

/**
 * Compares rows of a report with the targets.
 * @returns tables `{ title, lines: [{ scenario, value, must, goal, verdict }] }`; `verdict` is "goal", "must" or "missed", `goal` may be missing
 */
export function checkTargets(rows) {
  const found = (scenario) => rows.find((row) => row.scenario === scenario || row.scenario.startsWith(`${scenario} (`));
  const compared = rows.filter(({ figure }) => figure !== ""); // others are plain counts
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
  for (const table of tables) table.lines = table.lines.filter(({ value }) => value !== undefined);
  return tables.filter(({ lines }) => lines.length > 0);
}

/** What a unit costs with more clients or rooms than `FLAT_FROM` may be greater by this share … */
export const FLAT = 0.2;
export const FLAT_FROM = 1000;

/**
 * … or, where a loop that does nothing but what cannot be left out grows as well, the number of times that it is above that loop.
 * @param panels  `{ title, xTitle, lines: [{ name, growth: [[step, share], …], floorName, growthBesideFloor }] }`; the last two where there is such a loop
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

/** One line about all of them, and one for each that is missed; nothing where no scenario has a target. */
export function summariseTargets(tables) {
  const lines = tables.flatMap(({ title, lines }) => lines.map((line) => ({ title, ...line })));
  if (lines.length === 0) return [];
  const missed = lines.filter(({ verdict }) => verdict === "missed");
  return [
    `targets: ${lines.length - missed.length} of ${lines.length} reached`,
    ...missed.map(({ title, scenario, value, must }) => `  missed: ${scenario}: ${value.toFixed(2)}, must ${must} (${title})`),
  ];
}
