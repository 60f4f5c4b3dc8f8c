// Of the examination of `roomcast doctor`: whether all requests of a session reach one server, and what the namespace answers.
import type { FindingId } from "./findings";
import { cookiesOf, NoResponse } from "./http";
import { engineErrorOf, type Probe } from "./probe";

/** Sessions that are opened, and requests of each. */
const SESSIONS = 4;
const REQUESTS = 4;
const SEPARATOR = "\u001e";

/** Is told what is wrong. */
export type Found = (id: FindingId, seen: string, values?: Record<string, string>) => void;

/** A request that did not reach its session, and the cookies that the server had set. */
interface LostRequest {
  readonly seen: string;
  readonly cookie: string;
  readonly setCookie: readonly string[];
}

/**
 * Sets the cookie of the probe where requests reach their session only with it.
 * @returns whether requests reach their session
 */
export async function examineStickiness(probe: Probe, found: Found, facts: Record<string, string>): Promise<boolean> {
  const lost = await lostRequest(probe, found);
  if (lost === null) return true;
  probe.cookie = lost.cookie;
  if (lost.cookie === "" || (await lostRequest(probe, found)) !== null) {
    found("sticky", lost.seen);
    return false;
  }
  const { origin, url } = probe.options;
  if (origin !== null && siteOf(new URL(origin)) !== siteOf(url)) {
    const cookie = lost.setCookie.join("; ");
    const isSent = /samesite=none/i.test(cookie) && /secure/i.test(cookie);
    if (!isSent) found("sticky-cookie", `${lost.seen}; Set-Cookie: ${cookie}`, { ORIGIN: JSON.stringify(origin) });
  }
  facts["sticky"] = "by cookie: clients need withCredentials";
  return true;
}

/** Opens sessions, and sends several requests of each, on connections of their own. @returns the first that is lost */
async function lostRequest(probe: Probe, found: Found): Promise<LostRequest | null> {
  const { revision } = probe.options;
  const hasCookie = probe.cookie !== "";
  let isAnswered = true;
  for (let index = 0; index < SESSIONS; index++) {
    if (hasCookie) probe.cookie = "";
    const session = await probe.open();
    if (session === null) continue;
    const { handshake, reply: first } = session;
    const cookie = cookiesOf(first);
    if (hasCookie) probe.cookie = cookie;
    for (let turn = 0; turn < REQUESTS; turn++) {
      const body = turn > 0 ? "6" : revision === 4 ? probe.connectPacket : "2";
      const reply = await probe.send({ sid: handshake.sid }, { method: "POST", body: revision === 4 ? body : `${body.length}:${body}` });
      if (reply.status === 400 && engineErrorOf(reply.body) === 1) {
        probe.cookie = cookie;
        await probe.leave(handshake);
        return { seen: `400 ${reply.body} to request ${turn + 2} of a session`, cookie, setCookie: first.headers["set-cookie"] ?? [] };
      }
      if (reply.status !== 200) break;
      if (turn > 0 || !isAnswered) continue;
      isAnswered = await readJoin(probe, handshake.sid, found);
      if (!isAnswered) break; // a request that is given up ends its session
    }
    await probe.leave(handshake);
  }
  return null;
}

/** @returns whether there was a response */
async function readJoin(probe: Probe, sid: string, found: Found): Promise<boolean> {
  const { namespace, revision } = probe.options;
  const values = { NAMESPACE: JSON.stringify(namespace) };
  try {
    const reply = await probe.send({ sid });
    const refusal = reply.body.split(SEPARATOR).find((packet) => packet.startsWith("44"));
    if (refusal !== undefined && revision === 4) found("namespace", `${namespace}: ${refusal.slice(refusal.indexOf("{"))}`, values);
    return true;
  } catch (error) {
    if (error instanceof NoResponse && revision === 4) found("namespace-silent", `${namespace}: ${error.message}`, values);
    return false;
  }
}

/** Scheme and the last two labels of a name: roughly what `SameSite` of a cookie goes by. */
function siteOf({ protocol, hostname }: URL): string {
  const isAddress = /^[\d.]+$|^\[/.test(hostname);
  return `${protocol}//${isAddress ? hostname : hostname.split(".").slice(-2).join(".")}`;
}
