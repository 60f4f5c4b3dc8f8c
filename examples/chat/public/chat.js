/** The page of the chat: one socket, whose `auth` carries nickname and room, so that a reconnection needs no other step. */
const byId = (id) => document.getElementById(id);
const typingPauseMs = 2500;
const answerLimitMs = 5000;

const [, roomInAddress] = /^#([a-z0-9-]{1,20})$/.exec(location.hash) ?? [];
const me = { nickname: "", key: sessionStorage.getItem("key") ?? newKey(), room: roomInAddress ?? "lobby" };
sessionStorage.setItem("key", me.key);

const socket = io({ autoConnect: false, auth: (send) => send(me) });
const typingTimers = new Map();
let shownIds = new Set();
let typingSince = null;
let hasBeenConnected = false;
let backTimer = null;

byId("nickname").value = sessionStorage.getItem("nickname") ?? "";
byId("nickname").focus();

byId("welcome-form").addEventListener("submit", (event) => {
  event.preventDefault();
  me.nickname = byId("nickname").value.trim();
  byId("welcome-error").textContent = "";
  socket.connect();
});

byId("message-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("text").value.trim();
  if (text === "") return;
  byId("text").value = "";
  stopTyping();
  const item = showMessage({ from: me.nickname, text, at: Date.now() }, "waiting");
  socket.timeout(answerLimitMs).emit("message", text, (error, answer) => {
    item.classList.remove("waiting");
    if (!error && answer.message) return void shownIds.add(answer.message.id);
    item.classList.add("failed");
    item.querySelector("time").textContent = answer?.error ?? "not delivered";
  });
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

socket.on("connect", () => {
  sessionStorage.setItem("nickname", me.nickname);
  byId("whoami").textContent = me.nickname;
  byId("welcome").hidden = true;
  byId("chat").hidden = false;
  if (hasBeenConnected) showBack();
  else byId("text").focus();
  hasBeenConnected = true;
  showStatus();
  socket.io.engine.on("upgrade", showStatus);
});

socket.on("connect_error", (error) => {
  if (socket.active) return showBanner("The server does not answer. Trying again…");
  hasBeenConnected = false;
  hideBanner();
  byId("welcome").hidden = false;
  byId("chat").hidden = true;
  byId("welcome-error").textContent = error.message;
  byId("nickname").select();
});

socket.on("disconnect", () => {
  showStatus();
  for (const name of [...typingTimers.keys()]) showTyping(name, false);
  byId("people").replaceChildren();
  showBanner(socket.active ? "Connection lost. Reconnecting…" : "This nickname is now used in another window. Reload to come back.");
});

socket.on("entered", (room, history) => {
  if (byId("room-title").textContent !== `#${room}`) {
    byId("messages").replaceChildren();
    shownIds = new Set();
  } else if (history.every(({ id }) => !shownIds.has(id))) {
    shownIds = new Set(); // a restarted server counts from one again
  }
  me.room = room;
  window.history.replaceState(null, "", `#${room}`);
  byId("room-title").textContent = `#${room}`;
  for (const message of history) if (!shownIds.has(message.id)) showMessage(message);
  markCurrentRoom();
});

socket.on("message", (room, message) => {
  if (room !== me.room) return;
  showTyping(message.from, false);
  showMessage(message);
});

socket.on("typing", showTyping);

socket.on("people", (room, names) => {
  if (room === me.room) byId("people").replaceChildren(...names.map((name) => element("li", { textContent: name })));
});

socket.on("rooms", (rooms) => {
  const hadFocus = document.activeElement?.closest("#rooms") ? document.activeElement.dataset.room : null;
  byId("rooms").replaceChildren(...rooms.map(roomItem));
  markCurrentRoom();
  if (hadFocus)
    byId("rooms")
      .querySelector(`[data-room="${CSS.escape(hadFocus)}"]`)
      ?.focus();
});

function roomItem({ name, people }) {
  const button = element("button", { type: "button", onclick: () => enterRoom(name) });
  button.dataset.room = name;
  const count = element("span", { className: "count", textContent: people });
  count.setAttribute("aria-label", `${people} here`);
  button.append(element("span", { textContent: `#${name}` }), count);
  const item = element("li");
  item.append(button);
  return item;
}

function enterRoom(room) {
  stopTyping();
  for (const name of [...typingTimers.keys()]) showTyping(name, false);
  socket.timeout(answerLimitMs).emit("enter", room, (error, answer) => {
    if (error || answer.error) showBanner(answer?.error ?? "The server does not answer.");
    else if (socket.connected) hideBanner();
  });
}

function markCurrentRoom() {
  for (const button of byId("rooms").querySelectorAll("button")) {
    button.setAttribute("aria-current", String(button.dataset.room === me.room));
  }
}

function showMessage({ id, from, text, at }, state = "") {
  if (id) shownIds.add(id);
  const item = element("li", { className: `${from === me.nickname ? "mine" : ""} ${state}` });
  const meta = element("div", { className: "meta" });
  const time = new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  meta.append(element("strong", { textContent: from }), element("time", { textContent: time }));
  item.append(meta, element("div", { className: "text", textContent: text }));
  byId("messages").append(item);
  byId("messages").scrollTop = byId("messages").scrollHeight;
  return item;
}

function showTyping(name, isTyping) {
  clearTimeout(typingTimers.get(name));
  typingTimers.delete(name);
  // The hint that somebody stopped may get lost (it is volatile): no hint outlives two pauses.
  if (isTyping) typingTimers.set(name, setTimeout(showTyping, 2 * typingPauseMs, name, false));
  const names = [...typingTimers.keys()];
  byId("typing").textContent = names.length === 0 ? "" : `${names.join(", ")} ${names.length === 1 ? "is" : "are"} typing…`;
}

function stopTyping() {
  if (typingSince === null) return;
  clearTimeout(typingSince);
  typingSince = null;
  socket.volatile.emit("typing", false);
}

function showStatus() {
  const state = socket.connected ? "online" : "offline";
  byId("status").dataset.state = state;
  byId("status").textContent = socket.connected ? `online · ${socket.io.engine.transport.name}` : state;
}

function showBanner(text, kind = "lost") {
  clearTimeout(backTimer);
  Object.assign(byId("banner"), { textContent: text, hidden: false }).dataset.kind = kind;
}

function showBack() {
  showBanner("Back online.", "back");
  backTimer = setTimeout(hideBanner, 4000);
}

function hideBanner() {
  byId("banner").hidden = true;
}

function element(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}

/** `crypto.randomUUID` exists on https and localhost only. */
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("");
}
