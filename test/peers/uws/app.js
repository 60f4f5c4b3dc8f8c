/** Apps of uWebSockets.js for tests: the package of this folder's own package.json, which has binaries for Node.js 20. */
import { createRequire } from "node:module";
import { within } from "../../support/wait.js";

const require = createRequire(import.meta.url);

/** Gives the library; throws where it has no binary for this Node.js. */
export function loadUws() {
  return require("uwebsockets");
}

/** Whether there is a binary for this Node.js. */
export function hasUws() {
  try {
    return loadUws() !== undefined;
  } catch {
    return false;
  }
}

/**
 * Makes an app.
 * @param options  of `SSLApp`; null for plain HTTP
 * @returns `{ uws, app, listen(t, close) }`; `listen` gives the port, and ends everything with the test
 */
export async function createApp(options = null) {
  const uws = loadUws();
  const app = options === null ? uws.App() : uws.SSLApp(options);
  const listen = async (t, close = () => {}, port = 0) => {
    const token = await within(
      new Promise((resolve, reject) => {
        app.listen("127.0.0.1", port, (listening) => (listening ? resolve(listening) : reject(new Error("uWebSockets.js cannot listen"))));
      }),
      "uWebSockets.js to listen",
    );
    t?.after(async () => {
      await within(Promise.resolve(close()), "the server to close");
      app.close();
    });
    return uws.us_socket_local_port(token);
  };
  return { uws, app, listen };
}
