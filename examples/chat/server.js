/** A chat with rooms, nicknames, typing hints and a list of who is there. The page in public/ needs no build step. */
const { createHash } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { createServer } = require("node:http");
const { join } = require("node:path");
const { Server } = require("roomcast");

const openRooms = ["lobby", "music", "help"];
const historyLength = 50;
const mostRooms = 100;
const mostPeople = 500;
const newsPauseMs = 200;
/** Events that a client may send at once, and how many more each second. */
const burst = 60;
const eventsPerSecond = 10;

const pageFiles = new Map([
  ["/", pageFile("index.html", "text/html; charset=utf-8")],
  ["/chat.css", pageFile("chat.css", "text/css; charset=utf-8")],
  ["/chat.js", pageFile("chat.js", "text/javascript; charset=utf-8")],
]);
const httpServer = createServer((req, res) => {
  const file = pageFiles.get(req.url.split("?")[0]);
  if (!file) return res.writeHead(404).end();
  res.writeHead(200, { "Content-Type": file.type, "Content-Length": file.body.length, "X-Content-Type-Options": "nosniff" });
  res.end(file.body);
});

// The longest message has 2,000 characters: 12 kB at most, where each is written as \uXXXX.
const io = new Server(httpServer, { maxHttpBufferSize: 20_000 });
/** Name → `{ name, history: { id, by, from, text, at }[], sockets: Set }`; the oldest message comes first. */
const rooms = new Map(openRooms.map((name) => [name, newRoom(name)]));
/** Nickname as it is compared → the socket that has it. */
const owners = new Map();
/** Rooms that somebody entered, left or wrote in since everybody was last told. */
const changedRooms = new Set();
let newsTimer = null;

io.use((socket, next) => {
  const { nickname, key, room } = socket.handshake.auth;
  if (!isNickname(nickname) || !isText(key, 64)) return next(new Error("Choose a nickname of 1 to 20 characters."));
  if (!isRoomName(room)) return next(new Error("There is no such room."));
  if (owners.size >= mostPeople) return next(new Error("The chat is full. Try again later."));
  const by = createHash("sha256").update(key).digest("base64url").slice(0, 16); // everybody may see this, the key nobody
  if (isTaken(nickname, by)) return next(new Error("Somebody here already has this nickname."));
  socket.data = { nickname: nickname.trim(), by, room: null, credit: burst, creditAt: Date.now() };
  next();
});

io.on("connection", (socket) => {
  // A page may come back before the server knows that it was gone: the same key takes its nickname over.
  const { nickname, by } = socket.data;
  if (isTaken(nickname, by)) return socket.disconnect(true);
  owners.get(compared(nickname))?.disconnect(true);
  owners.set(compared(nickname), socket);
  enter(socket, canOpen(socket.handshake.auth.room) ? socket.handshake.auth.room : openRooms[0]);

  answer(socket, "enter", (name) => {
    if (!isRoomName(name)) return { error: "Room names have 1 to 20 small letters, digits or dashes." };
    if (!canOpen(name)) return { error: "There are too many rooms. Enter one of those." };
    if (name !== socket.data.room.name) {
      leave(socket);
      enter(socket, name);
    }
    return { room: name };
  });

  // The tag is the page's own name for the message: what is sent again is not shown twice.
  answer(socket, "message", (text, tag) => {
    if (!isText(text, 2000) || !isText(tag, 64)) return { error: "Messages have 1 to 2000 characters." };
    const { room, nickname: from } = socket.data;
    const id = `${by}-${tag}`;
    const known = room.history.find((message) => message.id === id);
    if (known) return { message: known };
    const message = { id, by, from, text: text.trim(), at: Date.now() };
    if (room.history.push(message) > historyLength) room.history.shift();
    socket.to(channel(room.name)).emit("message", room.name, message);
    tell(room);
    return { message };
  });

  answer(socket, "rename", (name) => {
    if (!isNickname(name)) return { error: "Choose a nickname of 1 to 20 characters." };
    const owner = owners.get(compared(name));
    if (owner && owner !== socket) return { error: "Somebody here already has this nickname." };
    owners.delete(compared(socket.data.nickname));
    socket.data.nickname = name.trim();
    owners.set(compared(name), socket);
    tell(socket.data.room);
    return { nickname: socket.data.nickname };
  });

  socket.on("typing", (isTyping) => {
    if (!mayAct(socket)) return;
    socket.to(channel(socket.data.room.name)).volatile.emit("typing", socket.data.nickname, isTyping === true);
  });

  socket.on("disconnect", () => {
    leave(socket);
    if (owners.get(compared(socket.data.nickname)) === socket) owners.delete(compared(socket.data.nickname));
  });
});

/** Answers an event with what `handle` returns. What asks for no answer, or comes too fast, is not handled. */
function answer(socket, event, handle) {
  socket.on(event, (...args) => {
    const acknowledge = args.pop();
    if (typeof acknowledge !== "function") return;
    acknowledge(mayAct(socket) ? handle(...args) : { error: "That was too fast. Wait a moment." });
  });
}

function mayAct({ data }) {
  const now = Date.now();
  data.credit = Math.min(burst, data.credit + ((now - data.creditAt) / 1000) * eventsPerSecond);
  data.creditAt = now;
  if (data.credit < 1) return false;
  data.credit -= 1;
  return true;
}

function enter(socket, name) {
  if (!rooms.has(name)) rooms.set(name, newRoom(name));
  const room = rooms.get(name);
  socket.data.room = room;
  room.sockets.add(socket);
  socket.join(channel(name));
  socket.emit("entered", name, room.history, socket.data.by);
  tell(room);
}

function leave(socket) {
  const { room } = socket.data;
  room.sockets.delete(socket);
  socket.leave(channel(room.name));
  if (room.sockets.size === 0 && !openRooms.includes(room.name)) rooms.delete(room.name);
  tell(room);
}

/** Who is where is told a few times a second at most, however many come, go and write. */
function tell(room) {
  changedRooms.add(room);
  newsTimer ??= setTimeout(tellNow, newsPauseMs);
}

function tellNow() {
  newsTimer = null;
  for (const { name, sockets } of changedRooms) {
    const names = Array.from(sockets, ({ data }) => data.nickname);
    io.to(channel(name)).emit("people", name, names.sort());
  }
  changedRooms.clear();
  const summary = ({ name, sockets, history }) => ({ name, people: sockets.size, latest: history.at(-1)?.id ?? null });
  io.emit("rooms", Array.from(rooms.values(), summary));
}

// Every socket is also in a room named by its id: with the prefix nobody can enter another one's.
const channel = (name) => `chat:${name}`;
const canOpen = (name) => rooms.has(name) || rooms.size < mostRooms;
const compared = (nickname) => nickname.trim().normalize("NFKC").toLowerCase();
const isText = (value, longest) => typeof value === "string" && value.trim() !== "" && value.trim().length <= longest;
const isNickname = (value) => isText(value, 20) && !/\p{C}/u.test(value);
const isRoomName = (value) => typeof value === "string" && /^[a-z0-9-]{1,20}$/.test(value);

function isTaken(nickname, by) {
  const owner = owners.get(compared(nickname));
  return owner !== undefined && owner.data.by !== by;
}

function newRoom(name) {
  return { name, history: [], sockets: new Set() };
}

function pageFile(name, type) {
  return { type, body: readFileSync(join(__dirname, "public", name)) };
}

httpServer.listen(Number(process.env.PORT ?? 3000), () => console.log(`The chat runs on http://localhost:${httpServer.address().port}`));
