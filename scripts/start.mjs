/**
 * `npm start`: builds if dist/ is missing or older than the sources, then serves the chat example on port 3000 or `PORT`.
 */
import { build, isFresh, say } from "./freshness.mjs";

const port = process.env.PORT ?? "3000";
if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) stop(`PORT is expected to be a number from 0 to 65535, met ${JSON.stringify(port)}`);
if (!isFresh() && !build()) stop("the build failed");

process.on("uncaughtException", (error) => {
  if (error.syscall !== "listen") {
    console.error(error);
    process.exit(1);
  }
  const reason = { EADDRINUSE: "is in use", EACCES: "may not be opened by this user" }[error.code] ?? `cannot be opened: ${error.message}`;
  stop(`port ${port} ${reason}; choose another one: PORT=3001 npm start`);
});
await import("../examples/chat/server.js");

function stop(text) {
  say(text);
  process.exit(1);
}
