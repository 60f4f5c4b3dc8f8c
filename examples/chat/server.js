/** A chat with rooms, nicknames, typing hints and a list of who is there. The page in public/ needs no build step. */
const { readFileSync } = require("node:fs");
const { createServer } = require("node:http");
const { join } = require("node:path");
const { Server } = require("roomcast");

const openRooms = ["lobby", "music", "help"];
const historyLength = 50;
const pageFiles = new Map([
  ["/", { name: "index.html", type: "text/html; charset=utf-8" }],
  ["/chat.css", { name: "chat.css", type: "text/css; charset=utf-8" }],
  ["/chat.js", { name: "chat.js", type: "text/javascript; charset=utf-8" }],
]);
const httpServer = createServer((req, res) => {
  const file = pageFiles.get(req.url.split("?")[0]);
  if (!file) return res.writeHead(404).end();
  res.writeHead(200, { "Content-Type": file.type, "X-Content-Type-Options": "nosniff" });
  res.end(readFileSync(join(__dirname, "public", file.name)));
});

const io = new Server(httpServer);
/** Messages of a room, the oldest first: room name → `{ id, from, text, at }[]`. */
const historyByRoom = new Map();
let lastMessageId = 0;

// A page may come back before the server knows that it was gone: the same key takes its nickname over.
io.use((socket, next) => {
  const { nickname, key, room } = socket.handshake.auth;
  if (!isText(nickname, 20) || !isText(key, 64)) return next(new Error("Choose a nickname of 1 to 20 characters."));
  if (!isRoomName(room)) return next(new Error("There is no such room."));
  const owner = everybody().find((other) => other.data.nickname === nickname.trim());
  if (owner && owner.data.key !== key) return next(new Error("Somebody here already has this nickname."));
  owner?.disconnect(true);
  socket.data = { nickname: nickname.trim(), key, room: null };
  next();
});

io.on("connection", (socket) => {
  enter(socket, socket.handshake.auth.room);

  socket.on("enter", (room, acknowledge) => {
    if (typeof acknowledge !== "function") return;
    if (!isRoomName(room)) return acknowledge({ error: "Room names have 1 to 20 small letters, digits or dashes." });
    if (room !== socket.data.room) {
      leave(socket);
      enter(socket, room);
    }
    acknowledge({ room });
  });

  socket.on("message", (text, acknowledge) => {
    if (typeof acknowledge !== "function") return;
    if (!isText(text, 2000)) return acknowledge({ error: "Messages have 1 to 2000 characters." });
    const message = { id: ++lastMessageId, from: socket.data.nickname, text: text.trim(), at: Date.now() };
    const history = historyByRoom.get(socket.data.room);
    if (history.push(message) > historyLength) history.shift();
    socket.to(channel(socket.data.room)).emit("message", socket.data.room, message);
    acknowledge({ message });
  });

  socket.on("typing", (isTyping) => {
    socket.to(channel(socket.data.room)).volatile.emit("typing", socket.data.nickname, isTyping === true);
  });

  socket.on("disconnect", () => leave(socket));
});

function enter(socket, room) {
  socket.data.room = room;
  if (!historyByRoom.has(room)) historyByRoom.set(room, []);
  socket.join(channel(room));
  socket.emit("entered", room, historyByRoom.get(room));
  tellWhoIsWhere(room);
}

function leave(socket) {
  const { room } = socket.data;
  socket.leave(channel(room));
  socket.data.room = null;
  if (!openRooms.includes(room) && peopleIn(room).length === 0) historyByRoom.delete(room);
  tellWhoIsWhere(room);
}

function tellWhoIsWhere(room) {
  const names = peopleIn(room).map(({ data }) => data.nickname);
  io.to(channel(room)).emit("people", room, names.sort());
  const rooms = [...new Set([...openRooms, ...historyByRoom.keys()])].map((name) => ({ name, people: peopleIn(name).length }));
  io.emit("rooms", rooms);
}

// Every socket is also in a room named by its id: with the prefix nobody can enter another one's.
const channel = (room) => `chat:${room}`;
const everybody = () => [...io.of("/").sockets.values()];
const peopleIn = (room) => everybody().filter(({ data }) => data.room === room);
const isText = (value, longest) => typeof value === "string" && value.trim() !== "" && value.trim().length <= longest;
const isRoomName = (value) => typeof value === "string" && /^[a-z0-9-]{1,20}$/.test(value);

httpServer.listen(Number(process.env.PORT ?? 3000), () => console.log(`The chat runs on http://localhost:${httpServer.address().port}`));
