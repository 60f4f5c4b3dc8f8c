/** A chat for users who have signed in: rooms by right, private messages to all devices of a user, and an end when the token expires. */
const { createServer } = require("node:http");
const { Server } = require("roomcast");
const { createLogin } = require("./login.js");
const { createTokens } = require("./tokens.js");

/** Room → the roles that may enter it. */
const rooms = new Map([
  ["lobby", ["guest", "staff"]],
  ["staff", ["staff"]],
]);

/** @returns `{ io, httpServer }`, which does not listen yet */
function createApp({ secret, tokenSeconds = 300 }) {
  const login = createLogin(createTokens(secret, tokenSeconds), (session) => {
    io.in(`session:${session}`).disconnectSockets(true, { reason: "signed out" });
  });
  const httpServer = createServer((req, res) => void login.handle(req, res));
  const io = new Server(httpServer, {
    origins: "same",
    maxHttpBufferSize: 20_000,
    limits: { messagesPerSecond: 20 },
    // A client that comes back is authenticated again: it may have been signed out meanwhile.
    connectionStateRecovery: { skipMiddlewares: false },
  });

  io.use((socket, next) => {
    const user = login.userOf(socket.handshake.auth.token);
    if (user === null) return next(Object.assign(new Error("not signed in"), { data: { code: "TOKEN" } }));
    socket.data = user;
    next();
  });

  io.on("connection", (socket) => {
    const { name, role, session } = socket.data;
    const roomOf = (room) => rooms.get(room)?.includes(role) === true;
    socket.join([`user:${name}`, `session:${session}`]);
    let expiry = endAt(socket, socket.data.expiresAt);
    tellPeople();

    answer(socket, "enter", (room) => {
      if (!roomOf(room)) return { error: "You may not enter this room." };
      socket.join(`room:${room}`);
      return { room };
    });
    answer(socket, "say", (room, text) => {
      if (!isText(text) || !isText(room) || !socket.rooms.has(`room:${room}`))
        return { error: "Enter the room, and say 1 to 1000 characters." };
      socket.to(`room:${room}`).emit("said", { room, from: name, text });
      return { sent: true };
    });
    answer(socket, "whisper", async (to, text) => {
      if (!isText(text) || !isText(to)) return { error: "Say 1 to 1000 characters to somebody." };
      if ((await io.in(`user:${to}`).count()) === 0) return { error: `${to} is not here.` };
      socket.to([`user:${to}`, `user:${name}`]).emit("whispered", { from: name, to, text }); // and to one's own other devices
      return { sent: true };
    });
    answer(socket, "renew", (token) => {
      const user = login.userOf(token);
      if (user?.session !== session) return { error: "not renewed" };
      clearTimeout(expiry);
      expiry = endAt(socket, user.expiresAt);
      return { expiresAt: user.expiresAt };
    });

    socket.on("disconnect", () => {
      clearTimeout(expiry);
      tellPeople();
    });
  });

  function tellPeople() {
    const names = Array.from(io.of("/").sockets.values(), ({ data }) => data.name);
    io.emit("people", [...new Set(names)].sort());
  }
  return { io, httpServer };
}

/** Answers an event with what `handle` returns. What asks for no answer is not handled. */
function answer(socket, event, handle) {
  socket.on(event, async (...args) => {
    const acknowledge = args.pop();
    if (typeof acknowledge === "function") acknowledge(await handle(...args));
  });
}

function endAt(socket, time) {
  return setTimeout(() => socket.disconnect(true, { reason: "token expired" }), Math.max(time - Date.now(), 0));
}

const isText = (value) => typeof value === "string" && value.trim() !== "" && value.length <= 1000;

module.exports = { createApp };
