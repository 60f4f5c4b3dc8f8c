/**
 * Many WebSocket clients in a process of their own: `fork("crowd.mjs", [port, count])`. Says "ready" when all are connected; answers the message
 * "talk" by one event of each of the first hundred.
 */
import { Client, textFrame } from "../../bench/load/client.mjs";

const AT_ONCE = 100;
const [port, count] = process.argv.slice(2).map(Number);
const clients = [];

for (let i = 0; i < count; i += AT_ONCE) {
  const group = Array.from({ length: Math.min(AT_ONCE, count - i) }, () => new Client({ port }));
  await Promise.all(group.map((client) => client.open()));
  clients.push(...group);
}
for (const client of clients) client.onFrame = () => {};
const hello = textFrame('42["hello"]');
process.once("disconnect", () => process.exit()); // with the test that has started it
process.on("message", () => {
  for (const client of clients.slice(0, AT_ONCE)) client.socket.write(hello);
});
process.send("ready");
