/** Starts the chat of app.js. TOKEN_SECRET keeps users signed in over a restart; without it each start has a secret of its own. */
const { randomBytes } = require("node:crypto");
const { createApp } = require("./app.js");

const { httpServer } = createApp({
  secret: process.env.TOKEN_SECRET ?? randomBytes(32).toString("base64url"),
  tokenSeconds: Number(process.env.TOKEN_SECONDS ?? 300),
});
httpServer.listen(Number(process.env.PORT ?? 3000), () => console.log(`The chat runs on http://localhost:${httpServer.address().port}`));
