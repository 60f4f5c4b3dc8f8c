import { once } from "node:events";
import { connect, createServer } from "node:net";

/**
 * Starts an address whose connections lead to `target`, and can be cut; `isMute` drops what comes back. The target may change.
 * @param target  a URL with a port of 127.0.0.1
 * @param onEnd   gets the function that ends it
 */
export async function startRelay(target, onEnd) {
  const ends = new Set();
  const relay = { target, isMute: false, url: "", cut: () => ends.forEach((socket) => socket.destroy()) };
  const server = createServer((near) => {
    const far = connect(Number(new URL(relay.target).port), "127.0.0.1");
    near.pipe(far);
    far.on("data", (chunk) => relay.isMute || near.write(chunk));
    for (const socket of [near, far]) {
      ends.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => [near, far].forEach((each) => (ends.delete(each), each.destroy())));
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onEnd(() => {
    server.close();
    relay.cut();
  });
  const url = new URL(target);
  url.port = server.address().port;
  relay.url = url.href.replace(/\/$/, "");
  return relay;
}
