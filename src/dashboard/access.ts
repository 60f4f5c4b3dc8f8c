// Who may look: requests of this machine, those that a function lets through, and those with the cookie of a login.
import { createHash, createHmac, randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import { isLoopback, isLoopbackHost } from "../support/loopback";
import type { DashboardCredentials, ResolvedOptions } from "./options";

/** Somebody who may look. */
export interface Visitor {
  /** Null on loopback, and with a function as `auth`. */
  readonly user: string | null;
  readonly address: string;
  /** What each action has to carry; pages of other origins cannot read it. */
  readonly token: string;
}

/** `login`: a name and a password are needed first. Otherwise a text that says what is missing. */
export type Verdict = { readonly visitor: Visitor } | { readonly visitor: null; readonly isLogin: boolean; readonly text: string };

const COOKIE = "roomcast-dashboard";
const SESSION_MS = 12 * 3_600_000;
/** Headers that proxies add. One of them makes a request of a loopback address one of another machine. */
const FORWARDING = [
  "forwarded",
  "via",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-real-ip",
  "x-client-ip",
  "cf-connecting-ip",
];
/** Header lines of a browser or a tool. Beyond some 1,000 Node.js drops the last ones without a word, and among them that of the proxy. */
const DIRECT_HEADERS_MAX = 100;

const NO_AUTH =
  "This dashboard answers requests of its own machine only: those of http://localhost that no proxy has forwarded. Set the option `auth` of dashboard() to open it to others.";
const NOT_ALLOWED = "The function `auth` of dashboard() does not let this request through.";
const NO_LOGIN = "Log in first.";

/** Decides about requests. Sessions are signed, not stored: every server with the same name and password accepts them. */
export class Access {
  private readonly auth: ResolvedOptions["auth"];
  private readonly opensLoopback: boolean;
  /** Signs the tokens of visitors without a login: who has one could try passwords on it if they were signed with the key of the password. */
  private readonly ownKey = randomBytes(32);
  /** Signs sessions and their tokens. Made from the password when it is first needed. */
  private key: Promise<Buffer> | null = null;

  constructor({ auth, loopback }: Pick<ResolvedOptions, "auth" | "loopback">) {
    this.auth = auth;
    this.opensLoopback = loopback;
  }

  /** @throws what the function `auth` throws */
  async judge(request: IncomingMessage): Promise<Verdict> {
    const address = request.socket.remoteAddress ?? "";
    if (this.opensLoopback && isDirectLoopback(request)) return this.admit(address, null, "");
    if (this.auth === null) return { visitor: null, isLogin: false, text: NO_AUTH };
    if (typeof this.auth === "function") {
      if ((await this.auth(request)) === true) return this.admit(address, null, "");
      return { visitor: null, isLogin: false, text: NOT_ALLOWED };
    }
    const session = cookieOf(request);
    if (session !== null && (await this.isValid(session))) return this.admit(address, this.auth.username, session);
    return { visitor: null, isLogin: true, text: NO_LOGIN };
  }

  private async admit(address: string, user: string | null, session: string): Promise<Verdict> {
    const key = session === "" ? this.ownKey : await this.sessionKey();
    return { visitor: { user, address, token: sign(key, `token ${session}`) } };
  }

  /** Whether a name and a password are right. Takes the same time whatever is wrong. */
  matches({ username, password }: DashboardCredentials): boolean {
    if (this.auth === null || typeof this.auth === "function") return false;
    const isName = isSame(username, this.auth.username);
    const isPassword = isSame(password, this.auth.password);
    return isName && isPassword;
  }

  /** Gives the header `Set-Cookie` of a new session. It has no path: that is the folder of the login, also behind a proxy that changes paths. */
  async openSession(request: IncomingMessage): Promise<string> {
    const front = `${(Date.now() + SESSION_MS).toString(36)}.${randomBytes(16).toString("base64url")}`;
    const session = `${front}.${sign(await this.sessionKey(), `session ${front}`)}`;
    return `${COOKIE}=${session}; HttpOnly; SameSite=Strict; Max-Age=${SESSION_MS / 1000}${isEncrypted(request) ? "; Secure" : ""}`;
  }

  /** Gives the header `Set-Cookie` that ends a session in its browser. */
  endSession(): string {
    return `${COOKIE}=; HttpOnly; SameSite=Strict; Max-Age=0`;
  }

  private async isValid(session: string): Promise<boolean> {
    const end = session.lastIndexOf(".");
    const front = session.slice(0, end);
    if (!isSame(session.slice(end + 1), sign(await this.sessionKey(), `session ${front}`))) return false;
    return parseInt(front, 36) > Date.now();
  }

  private sessionKey(): Promise<Buffer> {
    const { username, password } = this.auth as DashboardCredentials;
    return (this.key ??= promisify(scrypt)(password, `roomcast dashboard ${username}`, 32) as Promise<Buffer>);
  }
}

function sign(key: Buffer, text: string): string {
  return createHmac("sha256", key).update(text).digest("base64url");
}

/** Compares texts of any length in a time that doesn't depend on where they differ. */
export function isSame(met: string, expected: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(met), digest(expected));
}

/**
 * Whether a request was made on this machine, by a browser or a tool and not by a proxy, as far as it shows: one that speaks HTTP/1.1, adds no header
 * and passes on the host that its visitors choose does not. Therefore `auth` ends this exception by default.
 */
function isDirectLoopback(request: IncomingMessage): boolean {
  if (!isLoopback(request.socket.remoteAddress ?? "")) return false;
  if (!isLoopbackHost(hostOf(request))) return false;
  if (request.httpVersion === "1.0" || request.rawHeaders.length > 2 * DIRECT_HEADERS_MAX) return false;
  return FORWARDING.every((name) => request.headers[name] === undefined);
}

/**
 * Whether a request that changes something comes from a page of this origin, by what the browser says about it. Requests without such a header are
 * refused, too: every browser sends one with a POST.
 */
export function isSameOrigin(request: IncomingMessage): boolean {
  const { headers } = request;
  const site = headers["sec-fetch-site"];
  if (site !== undefined) return site === "same-origin";
  const host = /^https?:\/\/([^/]+)$/i.exec(headers.origin ?? "")?.[1].toLowerCase();
  if (host === undefined) return false;
  const forwarded = headers["x-forwarded-host"];
  return [hostOf(request), typeof forwarded === "string" ? forwarded : undefined].some((own) => own?.toLowerCase() === host);
}

function hostOf({ headers }: IncomingMessage): string | undefined {
  const authority = headers[":authority"];
  return typeof authority === "string" ? authority : headers.host;
}

function isEncrypted(request: IncomingMessage): boolean {
  if ((request.socket as { encrypted?: boolean }).encrypted === true) return true;
  return (
    String(request.headers["x-forwarded-proto"] ?? "")
      .split(",")[0]
      .trim() === "https"
  );
}

function cookieOf({ headers }: IncomingMessage): string | null {
  for (const part of (headers.cookie ?? "").split(";")) {
    const [name, value] = part.trim().split("=", 2);
    if (name === COOKIE && value !== undefined && value !== "") return value;
  }
  return null;
}
