// The session cookie, option `cookie`.
import type { serialize } from "cookie";
import type { CookieOptions } from "./options";

/** The value of `Set-Cookie` for a session; attributes that are `false` are left out (ENG-105). */
export function cookieFor(options: CookieOptions, sid: string): string {
  const { name, ...attributes } = options;
  const given = Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== false && value !== undefined));
  if (given["httpOnly"]) given["httpOnly"] = true;
  const cookie = require("cookie") as { serialize: typeof serialize };
  return cookie.serialize(name!, sid, given as never);
}
