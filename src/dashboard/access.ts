// Who may look: requests of this machine, those that a function lets through, and those with the cookie of a login.
import { createHash, createHmac, randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { BlockList, isIP } from "node:net";
import { promisify } from "node:util";
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
const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8);
LOOPBACK.addAddress("::1", "ipv6");
/** A page of another name that resolves to this machine must not get in (DNS rebinding): the host has to be one that only this machine has. */
const LOOPBACK_HOST = /^(localhost|[\w-]+\.localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;

const NO_AUTH =
  "This dashboard answers requests of its own machine only: those of http://localhost that no proxy has forwarded. Set the option `auth` of dashboard() to open it to others.";
const NOT_ALLOWED = "The function `auth` of dashboard() does not let this request through.";
const NO_LOGIN = "Log in first.";

/** Decides about requests. Sessions are signed, not stored: every server with the same name and password accepts them. */
export class Access {
  private readonly auth: ResolvedOptions["auth"];
  private readonly opensLoopback: boolean;
  /** Signs sessions and tokens. Made from the password when it is first needed; random without one. */
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
    return { visitor: { user, address, token: await this.sign(`token ${session}`) } };
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
    const session = `${front}.${await this.sign(`session ${front}`)}`;
    return `${COOKIE}=${session}; HttpOnly; SameSite=Strict; Max-Age=${SESSION_MS / 1000}${isEncrypted(request) ? "; Secure" : ""}`;
  }

  /** Gives the header `Set-Cookie` that ends a session in its browser. */
  endSession(): string {
    return `${COOKIE}=; HttpOnly; SameSite=Strict; Max-Age=0`;
  }

  private async isValid(session: string): Promise<boolean> {
    const end = session.lastIndexOf(".");
    const front = session.slice(0, end);
    if (!isSame(session.slice(end + 1), await this.sign(`session ${front}`))) return false;
    return parseInt(front, 36) > Date.now();
  }

  private async sign(text: string): Promise<string> {
    const key = await (this.key ??= this.makeKey());
    return createHmac("sha256", key).update(text).digest("base64url");
  }

  private async makeKey(): Promise<Buffer> {
    if (this.auth === null || typeof this.auth === "function") return randomBytes(32);
    const { username, password } = this.auth;
    return (await promisify(scrypt)(password, `roomcast dashboard ${username}`, 32)) as Buffer;
  }
}

/** Compares texts of any length in a time that doesn't depend on where they differ. */
export function isSame(met: string, expected: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(met), digest(expected));
}

/**
 * Whether a request was made on this machine, by a browser or a tool and not by a proxy. Proxies that add no header speak HTTP/1.0, or pass on the
 * host of the outside, or mark the connection; one that does none of it needs the option `loopback: false`.
 */
function isDirectLoopback(request: IncomingMessage): boolean {
  if (!isLoopback(request.socket.remoteAddress ?? "")) return false;
  if (!LOOPBACK_HOST.test(hostOf(request) ?? "")) return false;
  if (request.httpVersion === "1.0") return false;
  return FORWARDING.every((name) => request.headers[name] === undefined);
}

/** Also in the IPv6 form with all groups, as uWebSockets.js gives it. */
function isLoopback(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && LOOPBACK.check(address, family === 4 ? "ipv4" : "ipv6");
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
