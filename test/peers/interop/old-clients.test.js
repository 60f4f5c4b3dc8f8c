// What clients of revision 3 see differently, and what a program sees of them; everything else is in suite.js.
import { test } from "node:test";
import assert from "node:assert/strict";
import { once } from "../../support/client.js";
import { clients, transports } from "./clients.js";
import { hosts, serve } from "./hosts.js";
import { ask, join, open, plain } from "./peer.js";

const bytes = Buffer.from([0, 1, 250]);

for (const client of Object.values(clients).filter(({ revision }) => revision === 3)) {
  for (const transport of transports) {
    for (const host of hosts) {
      const row = { client, transport, host };
      const where = `${client.title}, ${transport.title}, ${host.title}`;

      test(`${where}: connects when allowEIO3 is set; its session and its socket have the same id [EX-194, EIO3-2]`, async (t) => {
        const server = await serve(t, host, { allowEIO3: true });
        const { client, socket } = await join(t, row, server);
        assert.deepEqual([socket.conn.protocol, socket.id, client.id], [3, socket.conn.id, socket.conn.id]);
        for (const [from, to] of [
          [client, socket],
          [socket, client],
        ]) {
          const heard = once(to, "news");
          from.emit("news", "é", { raw: bytes });
          assert.deepEqual(plain(await heard), plain(["é", { raw: bytes }]));
          to.on("ask", (value, answer) => answer(value));
          assert.deepEqual(plain(await ask(from, "ask", bytes)), [plain(bytes)]);
        }
      });

      test(`${where}: is refused where allowEIO3 is not set [EX-194]`, async (t) => {
        const { io, url } = await serve(t, host);
        io.on("connection", () => assert.fail("it was refused"));
        await once(open(t, row, url), "connect_error");
        assert.equal(io.engine.clientsCount, 0);
      });

      test(`${where}: gives its namespace a query, which is its auth there [EX-195]`, async (t) => {
        const { io, url } = await serve(t, host, { allowEIO3: true });
        const admitted = once(io.of("/admin"), "connection");
        open(t, row, `${url}/admin?token=1`);
        const [socket] = await admitted;
        assert.equal(socket.handshake.auth.token, "1");
        assert.equal(socket.id, `/admin#${socket.conn.id}`);
      });

      test(`${where}: hears the data of the error by which a middleware refuses it [EX-196]`, async (t) => {
        for (const namespace of ["/", "/admin"]) {
          const { io, url } = await serve(t, host, { allowEIO3: true });
          io.of(namespace).use((_, next) => next(Object.assign(new Error("not you"), { data: { code: 7, why: namespace } })));
          assert.deepEqual(await once(open(t, row, `${url}${namespace}`), "error"), [{ code: 7, why: namespace }]);
        }
      });
    }
  }
}
