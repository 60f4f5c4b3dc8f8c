import assert from "node:assert/strict";
import { once as onceEvent } from "node:events";
import { test } from "node:test";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import Koa from "koa";
import express from "express";
import { createServer } from "node:http";
import { connect } from "../../support/client.js";
import { assertRoomcast, Server } from "./support/roomcast.js";

/** Each starts a server whose `/route` answers "from the route", as the framework's documentation does. */
const frameworks = {
  "koa, over createServer(app.callback())"() {
    const app = new Koa();
    app.use((context) => {
      if (context.path === "/route") context.body = "from the route";
    });
    return createServer(app.callback()).listen(0, "127.0.0.1");
  },
  "koa, over app.listen()"() {
    const app = new Koa();
    app.use((context) => {
      if (context.path === "/route") context.body = "from the route";
    });
    return app.listen(0, "127.0.0.1");
  },
  "hono, over serve() of @hono/node-server"() {
    const app = new Hono();
    app.get("/route", (context) => context.text("from the route"));
    return serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" });
  },
  "express, over createServer(app)"() {
    const app = express();
    app.get("/route", (request, response) => response.send("from the route"));
    return createServer(app).listen(0, "127.0.0.1");
  },
  "express, over app.listen()"() {
    const app = express();
    app.get("/route", (request, response) => response.send("from the route"));
    return app.listen(0, "127.0.0.1");
  },
};

for (const [name, start] of Object.entries(frameworks)) {
  test(`a server beside ${name}: events on every transport, and the routes still answer [MEM-1, EXP-4]`, async (t) => {
    assertRoomcast();
    const httpServer = start();
    const io = new Server(httpServer);
    t.after(() => io.close());
    io.on("connection", (socket) => {
      socket.on("shout", (text, acknowledge) => acknowledge(text.toUpperCase()));
    });
    if (!httpServer.listening) await onceEvent(httpServer, "listening");
    const url = `http://127.0.0.1:${httpServer.address().port}`;
    for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
      const socket = await connect(t, url, "/", { transports });
      assert.equal(await socket.emitWithAck("shout", "hello"), "HELLO");
    }
    const route = await fetch(`${url}/route`);
    assert.equal(await route.text(), "from the route");
    assert.equal((await fetch(`${url}/none`)).status, 404);
    const bundle = await fetch(`${url}/socket.io/socket.io.js`);
    assert.match(bundle.headers.get("content-type"), /javascript/);
    await bundle.arrayBuffer();
  });
}
