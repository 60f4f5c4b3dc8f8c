/** The page: it keeps its token in memory, renews it before it expires, and shows who says what. */
const $ = (id) => document.getElementById(id);
let token = null;
let renewal = null;
let me = "";

const socket = io({ autoConnect: false, auth: (use) => use({ token }) });

async function post(path, body = {}) {
  const headers = { "Content-Type": "application/json", ...(token === null ? {} : { Authorization: `Bearer ${token}` }) };
  const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  return response.ok ? response.json() : Promise.reject(new Error(String(response.status)));
}

/** Takes a new token, and plans when to renew it: after two thirds of its life. */
function keep(given) {
  token = given.token;
  clearTimeout(renewal);
  renewal = setTimeout(renew, given.validMs * (2 / 3));
}

async function renew() {
  try {
    keep(await post("/renew"));
    if (socket.connected) await socket.timeout(5000).emitWithAck("renew", token);
  } catch {
    renewal = setTimeout(renew, 1000); // until it works, or the server ends the connection
  }
}

function showSignIn(text) {
  clearTimeout(renewal);
  token = null;
  socket.disconnect();
  $("sign-in").hidden = false;
  $("chat").hidden = true;
  $("status").textContent = text;
}

function show(text, isPrivate = false) {
  const line = document.createElement("li");
  line.textContent = text;
  line.classList.toggle("private", isPrivate);
  $("log").append(line);
}

$("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  me = $("name").value;
  try {
    keep(await post("/login", { name: me, password: $("password").value }));
    $("password").value = "";
    socket.connect();
  } catch (error) {
    $("status").textContent = error.message === "429" ? "Too many attempts. Wait a minute." : "Name or password is wrong.";
  }
});

$("sign-out").addEventListener("click", () => post("/logout").catch(() => showSignIn("Signed out.")));

$("send").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [kind, target] = $("to").value.split(":");
  const text = $("text").value;
  const answer = await socket
    .timeout(5000)
    .emitWithAck(kind === "room" ? "say" : "whisper", target, text)
    .catch(() => ({ error: "No answer. Try again." }));
  if (answer.error) return ($("status").textContent = answer.error);
  $("text").value = "";
  show(kind === "room" ? `${target} · you: ${text}` : `you to ${target}: ${text}`, kind !== "room");
});

let open = [];
let present = [];

function showTargets() {
  const chosen = $("to").value;
  const others = present.filter((name) => name !== me);
  $("people").textContent = present.join(", ");
  const options = [...open.map((room) => [`room:${room}`, `# ${room}`]), ...others.map((name) => [`user:${name}`, name])];
  const elements = options.map(([value, label]) => Object.assign(document.createElement("option"), { value, textContent: label }));
  $("to").replaceChildren(...elements);
  if (options.some(([value]) => value === chosen)) $("to").value = chosen;
}

socket.on("connect", async () => {
  $("sign-in").hidden = true;
  $("chat").hidden = false;
  $("status").textContent = `Signed in as ${me}.`;
  const answers = await Promise.all(["lobby", "staff"].map((room) => socket.emitWithAck("enter", room)));
  open = answers.flatMap(({ room }) => room ?? []);
  showTargets();
});
socket.on("people", (names) => {
  present = names;
  showTargets();
});
socket.on("said", ({ room, from, text }) => show(`${room} · ${from}: ${text}`));
socket.on("whispered", ({ from, to, text }) => show(`${from} to ${to === me ? "you" : to}: ${text}`, true));
socket.on("disconnect_reason", (text) => showSignIn(`Disconnected: ${text}.`));
socket.on("disconnect", () => token !== null && ($("status").textContent = "The connection is lost. Trying again …"));
socket.on("connect_error", (error) => error.data?.code === "TOKEN" && showSignIn("Please sign in again."));
