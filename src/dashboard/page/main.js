// The page: asks the server for figures in its interval, and shows the view that the address names.
import { Details } from "./details.js";
import { byId, bytes, count, duration, el, linkButton, setText } from "./elements.js";
import { showFigures, showLog } from "./overview.js";
import { WindowList } from "./window-list.js";

const VIEWS = ["overview", "sockets", "rooms", "cluster", "log"];
const SAMPLES = 120;

let state = { allow: [], token: "" };
let samples = [];
let timer = 0;
let isPaused = false;
let isAsking = false;

/** JSON of a path below the page; null if what was asked for is gone. Without a session the login comes. */
async function ask(path) {
  const response = await fetch(path, { cache: "no-store" });
  if (response.status === 401) location.reload();
  if (response.status === 404) return null;
  if (!response.ok) throw new Error((await response.text()).trim());
  return response.json();
}

function post(path, body) {
  return fetch(path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "X-Dashboard-Token": state.token, "Content-Type": "application/json" },
  });
}

/** @returns `text`: the number of sockets, or why it was not done */
async function act(body) {
  try {
    const response = await post("api/act", body);
    if (!response.ok) return { ok: false, text: (await response.text()).trim() };
    return { ok: true, text: (await response.json()).sockets };
  } catch {
    return { ok: false, text: "The server does not answer." };
  }
}

const details = new Details({ ask: (path) => ask(path).catch(() => null), act, allow: () => state.allow, search: searchSockets });
const open = (namespace, id) => void details.openSocket(namespace, id);
const lists = {
  sockets: new WindowList(byId("view-sockets"), kindOfSockets(), askQuietly),
  rooms: new WindowList(byId("view-rooms"), kindOfRooms(), askQuietly),
};

/** The status of the page tells about failures; a list keeps what it has. */
function askQuietly(path) {
  return ask(path).catch(() => null);
}

function kindOfSockets() {
  return {
    path: "api/sockets",
    name: "Sockets",
    hint: "id, room or address",
    columns: [
      { title: "Socket" },
      { title: "Namespace", wide: true, size: "small" },
      { title: "Address", wide: true, size: "medium" },
      { title: "Transport", wide: true, size: "small" },
      { title: "Rooms", number: true, size: "small" },
      { title: "Waiting", number: true, size: "small" },
      { title: "Age", number: true, size: "small" },
    ],
    sorts: [
      ["newest", "newest first"],
      ["oldest", "oldest first"],
      ["waiting", "most bytes waiting"],
      ["rooms", "most rooms"],
      ["address", "by address"],
    ],
    keyOf: ({ namespace, id }) => `${namespace} ${id}`,
    row: ({ namespace, id, address, transport, rooms, waitingBytes, since }) => [
      linkButton(id, () => open(namespace, id)),
      namespace,
      address,
      transport,
      count(rooms - 1),
      bytes(waitingBytes),
      duration((state.figures.at - since) / 1000),
    ],
    onSearch: (search, namespace) => void searchElsewhere(search, namespace),
  };
}

function kindOfRooms() {
  return {
    path: "api/rooms",
    name: "Rooms",
    hint: "part of a name",
    columns: [{ title: "Room" }, { title: "Namespace", size: "medium" }, { title: "Here", number: true, size: "small" }],
    sorts: [
      ["largest", "largest first"],
      ["name", "by name"],
    ],
    keyOf: ({ namespace, room }) => `${namespace} ${room}`,
    row: ({ namespace, room, sockets }) => [linkButton(room, () => void details.openRoom(namespace, room)), namespace, count(sockets)],
  };
}

function searchSockets(text, namespace) {
  location.hash = "#sockets";
  showView();
  lists.sockets.searchFor(text, namespace);
}

/** Asks the other servers, once for each search. */
async function searchElsewhere(search, namespace) {
  const { extra } = lists.sockets;
  if (search === "" || state.figures.nodes.length < 2) return extra.replaceChildren();
  const query = new URLSearchParams({ search, namespace });
  const found = await askQuietly(`api/elsewhere?${query}`);
  if (found === null || lists.sockets.search.value !== search) return;
  const { rows, total, silent } = found;
  const shown = rows.length === 0 ? "too many to list" : `the first ${count(rows.length)} are shown`;
  const texts = [`${count(total)} found`, ...(rows.length < total ? [shown] : []), ...(silent > 0 ? [`${silent} did not answer`] : [])];
  const items = rows.map((row) =>
    el(
      "li",
      {},
      linkButton(row.id, () => open(row.namespace, row.id)),
      el("span", { class: "muted" }, `${row.namespace} ${row.address}`),
    ),
  );
  const title = el("h3", {}, "On other servers ", el("span", { class: "muted", role: "status" }, texts.join("; ")));
  extra.replaceChildren(el("article", { class: "elsewhere" }, title, ...(items.length > 0 ? [el("ul", {}, ...items)] : [])));
}

function showView() {
  const wanted = location.hash.slice(1);
  if (wanted === "content") return; // the link to the content
  const view = VIEWS.includes(wanted) ? wanted : "overview";
  for (const name of VIEWS) {
    byId(`view-${name}`).hidden = name !== view;
    const link = document.querySelector(`nav a[href="#${name}"]`);
    if (name === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (state.figures !== undefined) void lists[view]?.load();
}

async function tick() {
  if (isAsking || isPaused) return;
  isAsking = true;
  clearTimeout(timer);
  try {
    show(await ask(`api/state?since=${samples.at(-1)?.number ?? 0}`));
  } catch (error) {
    showStatus(error instanceof TypeError ? "no answer" : error.message, "bad");
  } finally {
    isAsking = false;
    if (!document.hidden) timer = setTimeout(tick, state.intervalMs ?? 1000);
  }
}

function show(next) {
  const { figures } = next;
  const isRestarted = next.samples.length > 0 && next.samples[0].number <= (samples.at(-1)?.number ?? 0);
  samples = [...(isRestarted ? [] : samples), ...next.samples].slice(-SAMPLES);
  state = next;
  setText(byId("node"), figures.nodes.find(({ isSelf }) => isSelf)?.address ?? "");
  byId("logout").hidden = !next.isLogin;
  const { ready, reasons, adapter } = figures.health;
  if (!ready) showStatus(`not ready: ${reasons.join(", ")}`, "bad");
  else if (adapter.status === "degraded") showStatus("link interrupted", "warn");
  else showStatus("ready", "good");
  showFigures(figures, samples, open);
  showLog(next.log);
  const names = figures.namespaces.map(({ name }) => name).sort();
  for (const list of Object.values(lists)) {
    list.setNamespaces(names);
    if (list.isVisible) void list.load();
  }
  void details.refresh({ isTick: true });
}

function showStatus(text, kind) {
  const status = byId("status");
  setText(status, text);
  if (status.className !== `pill ${kind}`) status.className = `pill ${kind}`;
}

byId("pause").addEventListener("click", ({ target }) => {
  isPaused = !isPaused;
  target.setAttribute("aria-pressed", isPaused);
  setText(target, isPaused ? "Resume" : "Pause");
  if (isPaused) showStatus("paused", "warn");
  else void tick();
});
byId("logout").addEventListener("click", async () => {
  await post("logout", {});
  location.reload();
});
addEventListener("hashchange", showView);
document.addEventListener("visibilitychange", () => !document.hidden && void tick());
document.addEventListener("keydown", (event) => {
  const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey || byId("details").open) return;
  event.preventDefault();
  if (!lists.rooms.isVisible) location.hash = "#sockets";
  showView();
  (lists.rooms.isVisible ? lists.rooms : lists.sockets).search.focus();
});

showView();
void tick();
