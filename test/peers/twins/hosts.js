/** What a server can be attached to. */
import { once } from "node:events";
import { createServer } from "node:http";
import { createApp } from "../uws/app.js";

/** Node's HTTP server. */
export function createHttp() {
  const httpServer = createServer();
  return {
    attach: (io) => io.attach(httpServer),
    async listen() {
      httpServer.listen(0, "127.0.0.1");
      await once(httpServer, "listening");
      return httpServer.address().port;
    },
    close() {}, // the server has closed it
  };
}

/** uWebSockets.js. */
export async function createUws() {
  const { app, listen } = await createApp();
  return {
    attach: (io) => io.attachApp(app),
    listen: () => listen(null),
    close: () => app.close(),
  };
}
