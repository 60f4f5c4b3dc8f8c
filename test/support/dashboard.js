/** Requests to a dashboard, with exact headers. */
import { request } from "node:http";
import { request as requestSecurely } from "node:https";
import { requireFromTarget } from "./packages.js";
import { isReference } from "./target.js";

export const { dashboard } = isReference ? {} : requireFromTarget("roomcast/dashboard");

/**
 * Asks for something at or below `/dashboard`.
 * @param more  `method`, `headers`, `body` (an object is sent as JSON), `path` of the mount, `tls`
 * @returns     `{ status, headers, text, json() }`
 */
export function ask(port, below = "/", { method = "GET", headers = {}, body, path = "/dashboard", tls = false } = {}) {
  const payload = typeof body === "object" ? JSON.stringify(body) : body;
  return new Promise((resolve, reject) => {
    const options = { port, host: "127.0.0.1", path: path + below, method, headers, rejectUnauthorized: false, agent: false };
    const sent = (tls ? requestSecurely : request)(options, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        resolve({ status: response.statusCode, headers: response.headers, text, json: () => JSON.parse(text) });
      });
    });
    sent.on("error", reject);
    sent.end(payload);
  });
}

export const state = async (port, headers) => (await ask(port, "/api/state", { headers })).json();

/** What a page of the same origin sends with a POST. */
export const ownOrigin = (port) => ({ origin: `http://127.0.0.1:${port}` });

/** Does an action as the page does it. */
export async function act(port, body, headers = {}) {
  const { token } = await state(port, headers);
  return ask(port, "/api/act", { method: "POST", body, headers: { ...ownOrigin(port), "x-dashboard-token": token, ...headers } });
}

/** Sends the form of the login. */
export function login(port, username, password, headers = {}, path = undefined) {
  const body = new URLSearchParams({ username, password }).toString();
  return ask(port, "/login", { method: "POST", body, headers: { ...ownOrigin(port), ...headers }, path });
}
