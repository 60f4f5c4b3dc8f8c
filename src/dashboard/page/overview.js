// The views of figures: overview, cluster and log.
import { byId, bytes, clock, count, duration, el, fillTable, linkButton, ms, rate, setText, sparkline } from "./elements.js";

/** Title, value, note below it, curve, and the least height of its scale: of the figures `f` and of a sample `s`. */
const TILES = [
  ["Sessions", (f) => count(f.stats.sessions), (f, s) => `+${rate(s.opened)} −${rate(s.closed)} per second`, (s) => s.sessions],
  ["Sockets", (f) => count(f.sockets), (f) => `in ${count(f.rooms)} rooms`, (s) => s.sockets],
  ["Received per second", (f, s) => rate(s.received), (f) => `${count(f.listenerErrors)} errors of listeners`, (s) => s.received],
  ["Sent per second", (f, s) => rate(s.sent + s.delivered), (f, s) => `${rate(s.delivered)} broadcast`, (s) => s.sent + s.delivered],
  [
    "Waiting to be sent",
    (f) => bytes(f.stats.outbox.bytes),
    (f) => `${count(f.stats.outbox.packets)} packets`,
    (s) => s.waitingBytes,
    1000,
  ],
  [
    "Listeners, 95 %",
    (f, s) => (s.eventMs === null ? "–" : `${ms(s.eventMs)} ms`),
    (f) => `of ${count(f.latencies.event?.count ?? 0)} events`,
    (s) => s.eventMs ?? 0,
  ],
  ["Event loop lag", (f) => `${f.health.loopLagMs} ms`, (f) => `${count(f.stats.deadlines.process)} deadlines`, (s) => s.loopLagMs, 100],
  ["Memory", (f) => bytes(f.memoryBytes), (f) => `running for ${duration(f.uptimeSeconds)}`, (s) => s.memoryBytes],
];
const LATENCIES = { handshake: "Handshakes", event: "Listeners", ack: "Acks" };
const REFUSALS = ["unknown transport", "unknown session", "bad handshake method", "bad request", "forbidden", "unsupported protocol"];
const ONE = [{ title: "Name" }, { title: "Count", number: true }];

const tiles = TILES.map(([title, value, note, curve, least = 1]) => {
  const parts = { value: el("dd", { class: "value" }), note: el("dd", { class: "note" }), line: sparkline() };
  byId("tiles").append(el("div", { class: "tile" }, el("dt", {}, title), parts.value, parts.note, el("dd", {}, parts.line.svg)));
  return { ...parts, valueOf: value, noteOf: note, curve, least };
});

/** @param open  opens the details of a socket */
export function showFigures(figures, samples, open) {
  const last = samples.at(-1);
  for (const tile of tiles) {
    setText(tile.value, tile.valueOf(figures, last));
    setText(tile.note, tile.noteOf(figures, last));
    tile.line.draw(samples.map(tile.curve), tile.least);
  }
  showOverview(figures, open);
  showCluster(figures);
}

function showOverview({ latencies, namespaces, namespacesInAll, slow, limits, ends, refusals, dropped }, open) {
  const number = (title, wide = false) => ({ title, number: true, wide });
  fillTable(
    byId("latencies"),
    [{ title: "Of" }, number("Count"), number("50 %"), number("95 %"), number("99 %", true), number("Most")],
    Object.entries(LATENCIES).map(([name, title]) => {
      const { count: times = 0, p50 = null, p95 = null, p99 = null, max = null } = latencies[name] ?? {};
      return [title, count(times), ms(p50), ms(p95), ms(p99), ms(max)];
    }),
  );
  setText(byId("namespace-count"), namespacesInAll > namespaces.length ? `largest ${namespaces.length} of ${count(namespacesInAll)}` : "");
  fillTable(
    byId("namespaces"),
    [{ title: "Name" }, number("Joining", true), number("Acks pending", true), number("Rooms"), number("Sockets")],
    namespaces.map(({ name, sockets, rooms, acks, joining }) => [name, count(joining), count(acks), count(rooms), count(sockets)]),
  );
  fillTable(
    byId("slow"),
    [{ title: "Socket" }, { title: "Address", wide: true }, number("Waiting")],
    slow.map(({ id, namespace, address, waitingBytes }) => [linkButton(id, () => open(namespace, id)), address, bytes(waitingBytes)]),
    "No bytes wait for any client.",
  );
  fillTable(byId("limits"), ONE, limits.map(counted), "No limit was met.");
  fillTable(byId("ends"), ONE, ends.map(counted), "No connection has ended.");
  const refused = refusals.map(([code, times]) => [`refused: ${REFUSALS[code] ?? code}`, count(times)]);
  fillTable(byId("refusals"), ONE, [...refused, ...dropped.map(([name, times]) => [`dropped: ${name}`, count(times)])], "Nothing.");
}

const counted = ([name, times]) => [name, count(times)];

function showCluster({ at, nodes, health, adapter, stats }) {
  const number = (title, wide = false) => ({ title, number: true, wide });
  const clients = nodes.reduce((sum, node) => sum + node.clients, 0);
  setText(byId("cluster-sum"), `${count(nodes.length)} with ${count(clients)} clients`);
  fillTable(
    byId("nodes"),
    [
      { title: "Server" },
      { title: "Version", wide: true },
      number("Running for", true),
      number("Lag, ms", true),
      number("State"),
      number("Clients"),
    ],
    nodes.map((node) => [
      node.isSelf ? `${node.address} (this one)` : node.address,
      node.version,
      duration((at - node.since) / 1000),
      count(Math.round(node.lag)),
      node.lag > 1000 ? el("span", { class: "warn" }, "late") : el("span", { class: "good" }, "alive"),
      count(node.clients),
    ]),
    "The adapter does not tell.",
  );
  const pair = [{ title: "" }, { title: "", number: true }];
  fillTable(byId("health"), pair, [
    ["Ready for new clients", health.ready ? "yes" : `no: ${health.reasons.join(", ")}`],
    ["Answers in time", health.live ? "yes" : "no"],
    ["Drains", health.draining.active ? `since ${clock(health.draining.since)}` : "no"],
    ...Object.entries(stats.transports).map(([name, sessions]) => [`Sessions by ${name}`, count(sessions)]),
  ]);
  setText(byId("adapter-name"), adapter.name);
  const since = health.adapter.since === undefined ? "" : ` since ${clock(health.adapter.since)}`;
  const state = { ok: "link works", degraded: "link interrupted", none: "no link to other servers" }[health.adapter.status];
  fillTable(byId("adapter"), pair, [
    ["State", el("span", { class: health.adapter.status === "degraded" ? "bad" : "" }, state + since)],
    ...Object.entries(adapter.counters).map(([name, times]) => [`Messages: ${name}`, count(times)]),
  ]);
  fillTable(byId("tables"), pair, [
    ["Polls", count(stats.requests.polls)],
    ["POST requests", count(stats.requests.posts)],
    ["Upgrades", count(stats.upgrades)],
    ["Joins", count(stats.joins)],
    ["Connections closing", count(stats.closingConnections)],
    ["Incomplete input", bytes(stats.heldInput.bytes)],
    ["Timed acknowledgements", count(stats.timedAcks)],
    ["Deadlines", count(stats.deadlines.process)],
  ]);
  for (const id of ["health", "adapter", "tables"]) byId(id).tHead.hidden = true;
}

export function showLog(entries) {
  fillTable(
    byId("entries"),
    [{ title: "When" }, { title: "What" }, { title: "Target" }, { title: "Who", wide: true }, { title: "Outcome" }],
    entries
      .toReversed()
      .map(({ at, action, room, event, namespace, target, user, address, outcome, sockets, error }) => [
        clock(at),
        [action, room ?? event].filter((part) => part !== undefined).join(" "),
        target === undefined ? "" : `${namespace} ${target}`,
        [user, address].filter((part) => part).join(" "),
        error === undefined ? `${outcome}${sockets === undefined ? "" : `, ${count(sockets)} sockets`}` : `${outcome}: ${error}`,
      ]),
    "Nothing was done yet.",
  );
}
