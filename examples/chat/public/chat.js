/** The page of the chat: one socket, whose `auth` carries nickname and room, so that a reconnection needs no other step. */
const byId = (id) => document.getElementById(id);
const typingPauseMs = 2500;
const answerLimitMs = 5000;
const mostShown = 500;
const nearEndPx = 40;

const [, roomInAddress] = /^#([a-z0-9-]{1,20})$/.exec(location.hash) ?? [];
const me = { ...takeIdentity(), room: roomInAddress ?? "lobby" };

const messages = byId("messages");
/** Messages on the page: id → item of the list. */
const shown = new Map();
/** Messages of this page without an answer: tag → item of the list. */
const unanswered = new Map();
/** Room → id of the newest message that was seen there; what is newer is marked. */
const seen = new Map(JSON.parse(sessionStorage.getItem("seen") ?? "[]"));
const typingTimers = new Map();
let roomsNow = [];
let by = null; // what the server names this page by, whatever its nickname is
let isAtEnd = true;
let unreadWhileHidden = 0;
let typingSince = null;
let hasBeenConnected = false;
let bannerTimer = null;
let socket = null;

if (typeof io === "undefined") {
  showWelcome("The client file /socket.io/socket.io.js could not be loaded. Start the chat with its own server, then reload.");
  byId("welcome-form").querySelector("button").disabled = true;
} else {
  socket = io({ autoConnect: false, auth: (send) => send({ nickname: me.nickname, key: me.key, room: me.room }) });
  listen();
  byId("nickname").value = me.nickname;
  if (me.isBack) socket.connect();
  else byId("nickname").select();
}

/**
 * Who this window was before it was reloaded. A window that was opened from another, or is a copy of it, starts with a copy of that one's storage;
 * but only a window that has gone has left the word that it is gone.
 */
function takeIdentity() {
  const [nickname, key] = ["nickname", "key"].map((name) => sessionStorage.getItem(name));
  const isCopy = key !== null && sessionStorage.getItem("gone") === null && !document.wasDiscarded;
  sessionStorage.removeItem("gone");
  addEventListener("pagehide", () => sessionStorage.setItem("gone", "yes"));
  addEventListener("pageshow", ({ persisted }) => persisted && sessionStorage.removeItem("gone"));
  if (key !== null && !isCopy) return { nickname: nickname ?? "", key, isBack: sessionStorage.getItem("joined") !== null };
  const own = { nickname: nickname ? `${nickname.slice(0, 18)} 2` : "", key: newKey(), isBack: false };
  sessionStorage.clear();
  sessionStorage.setItem("key", own.key);
  return own;
}

/** `crypto.randomUUID` exists on https and localhost only. */
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("");
}

function listen() {
  byId("welcome-form").addEventListener("submit", (event) => {
    event.preventDefault();
    me.nickname = byId("nickname").value.trim();
    byId("welcome-error").textContent = "";
    socket.disconnect().connect();
  });

  byId("message-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = byId("text").value.trim();
    if (text === "") return;
    byId("text").value = "";
    stopTyping();
    const item = addItem({ by, from: me.nickname, text, at: Date.now() });
    scrollToEnd();
    send(item, text, newKey());
  });

  byId("text").addEventListener("input", () => {
    clearTimeout(typingSince);
    if (typingSince === null) socket.volatile.emit("typing", true);
    typingSince = setTimeout(stopTyping, typingPauseMs);
  });

  byId("room-form").addEventListener("submit", (event) => {
    event.preventDefault();
    enterRoom(byId("room-name").value);
    byId("room-name").value = "";
  });

  byId("leave").addEventListener("click", () => {
    socket.disconnect();
    showWelcome();
  });

  byId("rename").addEventListener("click", () => {
    openMenu(false);
    byId("new-nickname").value = me.nickname;
    byId("rename-error").textContent = "";
    byId("rename-dialog").showModal();
    byId("new-nickname").select();
  });
  byId("rename-cancel").addEventListener("click", () => byId("rename-dialog").close());
  byId("rename-form").addEventListener("submit", (event) => {
    event.preventDefault();
    socket.timeout(answerLimitMs).emit("rename", byId("new-nickname").value, (error, answer) => {
      if (error || answer.error) return void (byId("rename-error").textContent = answer?.error ?? "The server does not answer.");
      showName(answer.nickname);
      byId("rename-dialog").close();
    });
  });

  byId("menu-button").addEventListener("click", () => openMenu(byId("menu-button").ariaExpanded !== "true"));
  addEventListener("keydown", ({ key }) => {
    if (key !== "Escape" || byId("menu-button").ariaExpanded !== "true") return;
    openMenu(false);
    byId("menu-button").focus();
  });

  let height = messages.clientHeight;
  messages.addEventListener("scroll", () => {
    if (messages.clientHeight !== height) return; // it has just got another size, of which the observer is told next
    isAtEnd = messages.scrollHeight - messages.scrollTop - messages.clientHeight < nearEndPx;
    if (isAtEnd) byId("newer").hidden = true;
  });
  // A keyboard or a banner takes room from the log: a reader who is at the end stays there.
  new ResizeObserver(() => {
    height = messages.clientHeight;
    if (isAtEnd) scrollToEnd();
  }).observe(messages);
  byId("newer").addEventListener("click", () => {
    scrollToEnd();
    byId("text").focus();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) unreadWhileHidden = 0;
    showTitle();
  });

  socket.on("connect", () => {
    sessionStorage.setItem("joined", "yes");
    showName(me.nickname);
    byId("welcome").hidden = true;
    byId("chat").hidden = false;
    if (hasBeenConnected) showBanner("Back online.", "good", 4000);
    else {
      hideBanner();
      byId("text").focus();
    }
    hasBeenConnected = true;
    showStatus();
    socket.io.engine.on("upgrade", showStatus);
  });

  socket.on("connect_error", (error) => {
    if (socket.active) return showBanner("The server does not answer. Trying again…");
    showWelcome(error.message);
  });

  socket.on("disconnect", (reason) => {
    for (const name of [...typingTimers.keys()]) showTyping(name, false);
    byId("people").replaceChildren();
    showStatus();
    if (socket.active) showBanner("Connection lost. Reconnecting…");
    else if (reason === "io server disconnect") showWelcome("This nickname is now used in another window.");
  });

  socket.on("entered", (room, history, own) => {
    by = own;
    if (byId("room-title").textContent !== `#${room}`) {
      shown.clear();
      unanswered.clear();
      byId("list").replaceChildren();
      isAtEnd = true;
      byId("newer").hidden = true;
    }
    me.room = room;
    window.history.replaceState(null, "", `#${room}`);
    byId("room-title").textContent = `#${room}`;
    for (const message of history) showMessage(message);
    byId("empty").hidden = byId("list").children.length > 0;
    if (isAtEnd) scrollToEnd();
    showRooms();
  });

  socket.on("message", (room, message) => {
    if (room !== me.room) return;
    showTyping(message.from, false);
    showMessage(message);
    if (isAtEnd) scrollToEnd();
    else byId("newer").hidden = false;
    if (document.hidden) unreadWhileHidden += 1;
    showTitle();
  });

  socket.on("typing", showTyping);

  socket.on("people", (room, names) => {
    if (room === me.room) byId("people").replaceChildren(...names.map((name) => element("li", { textContent: name })));
  });

  socket.on("rooms", (all) => {
    const isFirst = roomsNow.length === 0 && seen.size === 0;
    roomsNow = all;
    for (const { name, latest } of all) if (isFirst || name === me.room) seen.set(name, latest);
    for (const name of [...seen.keys()]) if (!all.some((room) => room.name === name)) seen.delete(name);
    sessionStorage.setItem("seen", JSON.stringify([...seen]));
    showRooms();
  });
}

function showWelcome(reason = "") {
  hasBeenConnected = false;
  sessionStorage.removeItem("joined");
  byId("rename-dialog").close();
  hideBanner();
  openMenu(false);
  byId("chat").hidden = true;
  byId("welcome").hidden = false;
  byId("welcome-error").textContent = reason;
  byId("nickname").value = me.nickname;
  byId("nickname").select();
  document.title = "roomcast chat";
}

function enterRoom(room) {
  stopTyping();
  for (const name of [...typingTimers.keys()]) showTyping(name, false);
  if (byId("menu-button").ariaExpanded === "true") {
    openMenu(false);
    byId("menu-button").focus();
  }
  socket.timeout(answerLimitMs).emit("enter", room, (error, answer) => {
    if (socket.connected && (error || answer.error)) showBanner(answer?.error ?? "The server does not answer.", "bad", 6000);
  });
}

/** Only narrow pages have a button that opens the menu; on wide ones it is always there. */
function openMenu(isOpen) {
  byId("menu-button").ariaExpanded = String(isOpen);
}

function showRooms() {
  const focused = document.activeElement?.closest("#rooms") ? document.activeElement.dataset.room : null;
  byId("rooms").replaceChildren(...roomsNow.map(roomItem));
  byId("menu-mark").hidden = !roomsNow.some(hasUnread);
  if (focused !== null) [...byId("rooms").querySelectorAll("button")].find(({ dataset }) => dataset.room === focused)?.focus();
  showTitle();
}

function hasUnread({ name, latest }) {
  return name !== me.room && latest !== null && latest !== seen.get(name);
}

function roomItem(room) {
  const { name, people } = room;
  const button = element("button", { type: "button", onclick: () => enterRoom(name) });
  button.dataset.room = name;
  button.ariaCurrent = String(name === me.room);
  button.append(element("span", { className: "room-name", textContent: `#${name}` }));
  if (hasUnread(room)) {
    const mark = element("span", { className: "mark" });
    mark.append(element("span", { className: "visually-hidden", textContent: "new messages" }));
    button.append(mark);
  }
  const count = element("span", { className: "count", textContent: people });
  count.append(element("span", { className: "visually-hidden", textContent: " here" }));
  button.append(count);
  const item = element("li");
  item.append(button);
  return item;
}

/** Sends a message, and once more when asked to: by its tag the server knows it, should only the answer have been lost. */
function send(item, text, tag) {
  unanswered.set(tag, item);
  showState(item, "waiting", "sending…");
  socket.timeout(answerLimitMs).emit("message", text, tag, (error, answer) => {
    if (!unanswered.delete(tag)) return; // it was seen in the history meanwhile
    if (!error && answer.message) return settle(item, answer.message);
    showState(item, "failed", answer?.error ?? "not delivered");
    const again = element("button", { type: "button", className: "again", textContent: "Send again" });
    again.addEventListener("click", () => {
      send(item, text, tag);
      byId("text").focus();
    });
    item.append(again);
    if (isAtEnd) scrollToEnd();
  });
}

function settle(item, { id, at }) {
  shown.set(id, item);
  seen.set(me.room, id);
  showState(item, "", timeOf(at));
}

function showState(item, state, text) {
  item.querySelector(".again")?.remove();
  item.classList.remove("waiting", "failed");
  if (state !== "") item.classList.add(state);
  item.querySelector("time").textContent = text;
}

function showMessage(message) {
  seen.set(me.room, message.id);
  if (shown.has(message.id)) return;
  const tag = message.id.slice(message.by.length + 1);
  const own = message.by === by ? unanswered.get(tag) : undefined;
  if (own) {
    unanswered.delete(tag);
    settle(own, message);
  } else {
    shown.set(message.id, addItem(message));
  }
}

function addItem({ by: author, from, text, at }) {
  const item = element("li", { className: author === by ? "mine" : "" });
  const meta = element("div", { className: "meta" });
  meta.append(element("strong", { textContent: from }), element("time", { textContent: timeOf(at) }));
  item.append(meta, element("div", { className: "text", textContent: text }));
  const list = byId("list");
  list.append(item);
  if (list.children.length > mostShown) list.firstElementChild.remove();
  byId("empty").hidden = true;
  return item;
}

function timeOf(at) {
  return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

function scrollToEnd() {
  isAtEnd = true;
  messages.scrollTop = messages.scrollHeight;
  byId("newer").hidden = true;
}

function showTyping(name, isTyping) {
  clearTimeout(typingTimers.get(name));
  typingTimers.delete(name);
  // The hint that somebody stopped may get lost (it is volatile): no hint outlives two pauses.
  if (isTyping) typingTimers.set(name, setTimeout(showTyping, 2 * typingPauseMs, name, false));
  const names = [...typingTimers.keys()];
  if (names.length === 0) byId("typing").textContent = "";
  else if (names.length > 3) byId("typing").textContent = `${names.length} people are typing…`;
  else byId("typing").textContent = `${names.join(", ")} ${names.length === 1 ? "is" : "are"} typing…`;
}

function stopTyping() {
  if (typingSince === null) return;
  clearTimeout(typingSince);
  typingSince = null;
  socket.volatile.emit("typing", false);
}

function showName(nickname) {
  me.nickname = nickname;
  sessionStorage.setItem("nickname", nickname);
  byId("whoami").textContent = nickname;
}

function showStatus() {
  byId("status").dataset.state = socket.connected ? "online" : "offline";
  byId("status").textContent = socket.connected ? `online · ${socket.io.engine.transport.name}` : "offline";
  showTitle();
}

function showTitle() {
  if (byId("chat").hidden) return;
  const marks = [];
  if (!socket.connected) marks.push("offline");
  if (unreadWhileHidden > 0) marks.push(`${unreadWhileHidden} new`);
  document.title = `${marks.length > 0 ? `(${marks.join(", ")}) ` : ""}#${me.room} · roomcast chat`;
}

/** Without `forMs` it stays until something else is shown. */
function showBanner(text, kind = "lost", forMs = Infinity) {
  clearTimeout(bannerTimer);
  Object.assign(byId("banner"), { textContent: text, hidden: false }).dataset.kind = kind;
  if (forMs !== Infinity) bannerTimer = setTimeout(hideBanner, forMs);
}

function hideBanner() {
  clearTimeout(bannerTimer);
  byId("banner").hidden = true;
}

function element(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}
